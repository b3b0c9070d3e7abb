//! The stage of the lease scripts: a lease of 10 s, a tick of 1 s.

use orrery_router_core::lease::{LeaseTimes, Leases};

use super::words::{self, Words};

const TIMES: LeaseTimes = LeaseTimes { lease_ms: 10_000, tick_ms: 1_000 };

pub(crate) struct Stage(Leases);

impl Default for Stage {
    fn default() -> Self {
        Self(Leases::start(TIMES, [], 0))
    }
}

impl super::Stage for Stage {
    fn run(&mut self, words: &mut Words<'_>) -> String {
        match words.next() {
            "lead" => {
                let at = words.need("at");
                let living = std::iter::from_fn(|| words.next_if_any()).map(words::comet);
                self.0 = Leases::start(TIMES, living, at);
                format!("{} leases", self.0.len())
            }
            "attached" => {
                self.0.attached(words.comet(), words.need("at"));
                format!("{} leases", self.0.len())
            }
            "ended" => {
                self.0.ended(&words.comet());
                format!("{} leases", self.0.len())
            }
            "survived" => {
                self.0.survived(&words.comet(), words.need("at"));
                format!("{} leases", self.0.len())
            }
            "keep_alive" => {
                let (comet, at) = (words.comet(), words.need("at"));
                format!("{:?}", self.0.keep_alive(&comet, at)).to_lowercase()
            }
            "poll" => show(self.0.poll(words.need("at"))),
            // Polls in time, each second after `from` up to `to`.
            "polls" => {
                let (from, to) = (words.need("from"), words.need("to"));
                let times = (from..=to).step_by(TIMES.tick_ms as usize);
                let polled = times.map(|at| (at, self.0.poll(at)));
                let due = polled.filter(|(_, due)| !due.is_empty());
                let shown: Vec<_> =
                    due.map(|(at, due)| format!("at {at}: {}", show(due))).collect();
                if shown.is_empty() { "nobody is due".to_owned() } else { shown.join("\n") }
            }
            other => words.fail(&format!("no command {other}")),
        }
    }
}

fn show(due: Vec<orrery_model::CometRef>) -> String {
    let due: Vec<_> = due.iter().map(ToString::to_string).collect();
    if due.is_empty() { "nobody is due".to_owned() } else { format!("due: {}", due.join(" ")) }
}
