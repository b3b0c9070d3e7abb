//! Measure: how long shards went without an acknowledged write, read from a history alone.

use std::collections::BTreeMap;
use std::time::Duration;

use judge::history::{Event, FaultOutcome, Kind, Op};
use serde::{Deserialize, Serialize};

/// A write that began before a fault and ended so long after it was acknowledged after it: an answer that
/// was on its way takes less.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// What a history says of recoveries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Kills of routers that led a shard, while all other routers ran and no replica was on its way.
    pub leader_kills: u64,
    /// Power cuts, of any number of routers.
    pub power_cuts: u64,
    /// Milliseconds from the kill of a shard's leader to the first acknowledged write there, of each
    /// shard of each kill, in order. A shard that had none before the next fault or the end is not here.
    pub after_kill_ms: Vec<u64>,
    /// Milliseconds from the start after a power cut of all routers to each shard's first acknowledged
    /// write, likewise.
    pub after_power_ms: Vec<u64>,
    /// Shards that acknowledged nothing again before another fault or the end, after a kill: how long they were
    /// watched.
    #[serde(default)]
    pub silent_after_kill_ms: Vec<u64>,
    /// The same after a power cut.
    #[serde(default)]
    pub silent_after_power_ms: Vec<u64>,
}

impl Measured {
    /// Reads a history of a cluster of so many routers and data shards.
    pub fn of(events: &[Event], routers: usize, shards: u32) -> Self {
        let mut measured = Self::default();
        let writes = Writes::of(events);
        for (at, event) in events.iter().enumerate() {
            let Some((name, targets)) = installed(event) else { continue };
            match name.as_str() {
                "kill" => {
                    let led: Vec<u32> = targets.iter().filter_map(|text| shard_led(text)).collect();
                    measured.leader_kills += u64::from(!led.is_empty());
                    for shard in led {
                        match writes.gap(events, at, shard) {
                            Gap::Closed(ms) => measured.after_kill_ms.push(ms),
                            Gap::Open(ms) => measured.silent_after_kill_ms.push(ms),
                        }
                    }
                }
                "power-cut" => {
                    measured.power_cuts += 1;
                    if targets.len() < routers {
                        continue;
                    }
                    let Some(back) = heal_after(events, at, "power") else { continue };
                    for shard in 1..=shards {
                        match writes.gap(events, back, shard) {
                            Gap::Closed(ms) => measured.after_power_ms.push(ms),
                            Gap::Open(ms) => measured.silent_after_power_ms.push(ms),
                        }
                    }
                }
                _ => {}
            }
        }
        measured
    }
}

/// The name under which a fault says that its target led a shard.
pub(crate) fn leader_of(shard: u32) -> String {
    format!("leader-of-{shard}")
}

fn shard_led(target: &str) -> Option<u32> {
    // The control shard takes none of the writes that are counted here.
    target.strip_prefix("leader-of-")?.parse().ok().filter(|shard| *shard > 0)
}

/// The share `q` of some figures is at most this; none of none.
pub fn quantile(figures: &[u64], q: f64) -> Option<u64> {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().checked_sub(1)?;
    let at = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(at.saturating_sub(1).min(last)).copied()
}

/// What a fault that was installed is, and what it hit.
fn installed(event: &Event) -> Option<(String, &[String])> {
    let Op::Fault(fault) = &event.op else { return None };
    if fault.outcome != Some(FaultOutcome::Installed) {
        return None;
    }
    let told: serde_json::Value = serde_json::from_str(&fault.name).ok()?;
    Some((told.get("fault")?.as_str()?.to_owned(), &fault.targets))
}

fn heal_after(events: &[Event], at: usize, family: &str) -> Option<usize> {
    let is_it = |event: &Event| match &event.op {
        Op::Heal(heal) => heal.families.is_empty() || heal.families.iter().any(|it| it == family),
        _ => false,
    };
    (at..events.len()).find(|at| is_it(&events[*at]))
}

enum Gap {
    Closed(u64),
    Open(u64),
}

/// Acknowledged writes of each shard: when they began and ended.
struct Writes(BTreeMap<u32, Vec<(u64, u64)>>);

impl Writes {
    fn of(events: &[Event]) -> Self {
        let mut open: BTreeMap<i64, u64> = BTreeMap::new();
        let mut writes: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
        for event in events.iter().filter(|event| event.op.writer().is_some()) {
            let began = match event.kind {
                Kind::Invoke => {
                    open.insert(event.process, event.time);
                    continue;
                }
                _ => open.remove(&event.process).unwrap_or(event.time),
            };
            // A refusal with an index went through the log too.
            let acknowledged =
                event.kind == Kind::Ok || (event.kind == Kind::Fail && event.log_index.is_some());
            if let (true, Some(shard)) = (acknowledged, event.shard) {
                writes.entry(shard).or_default().push((began, event.time));
            }
        }
        Self(writes)
    }

    /// From an event to a shard's first acknowledged write after it; watched until a fault that may keep
    /// it from one.
    fn gap(&self, events: &[Event], from: usize, shard: u32) -> Gap {
        let at = events[from].time;
        let late = at + nanos(ON_ITS_WAY);
        let all = self.0.get(&shard).map_or(&[][..], Vec::as_slice);
        let first = all
            .iter()
            .filter(|(began, ended)| *ended > at && (*began >= at || *ended >= late))
            .map(|(_, ended)| *ended)
            .min();
        let disturbed = events[from + 1..].iter().find(|event| installed(event).is_some());
        let last = events.last().map_or(at, |event| event.time);
        let until = disturbed.map_or(last, |event| event.time);
        match first {
            Some(first) if first <= until => Gap::Closed((first - at) / 1_000_000),
            _ => Gap::Open((until - at) / 1_000_000),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How many faults of each kind were installed, skipped, and neither for certain.
pub fn faults(events: &[Event]) -> BTreeMap<String, [u64; 3]> {
    let mut counts: BTreeMap<String, [u64; 3]> = BTreeMap::new();
    for event in events {
        let Op::Fault(fault) = &event.op else { continue };
        let told = serde_json::from_str::<serde_json::Value>(&fault.name).unwrap_or_default();
        let kind = told.get("fault").and_then(|kind| kind.as_str()).unwrap_or(&fault.family);
        let of = match fault.outcome {
            Some(FaultOutcome::Installed) => 0,
            Some(FaultOutcome::Skipped) => 1,
            Some(FaultOutcome::Indeterminate) => 2,
            None => continue,
        };
        counts.entry(kind.to_owned()).or_default()[of] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use judge::history::{Fault, Heal, Listing, NEMESIS};

    use super::*;

    /// Events at times in milliseconds.
    #[derive(Default)]
    struct Story(Vec<Event>);

    impl Story {
        fn push(&mut self, ms: u64, process: i64, kind: Kind, op: Op) -> &mut Event {
            let index = self.0.len() as u64;
            self.0.push(Event::new(index, ms * 1_000_000, process, kind, op));
            self.0.last_mut().unwrap()
        }

        fn fault(&mut self, ms: u64, name: &str, targets: &[&str]) {
            let fault = Fault {
                name: format!("{{\"id\":1,\"fault\":\"{name}\"}}"),
                targets: targets.iter().map(|target| (*target).to_owned()).collect(),
                outcome: Some(FaultOutcome::Installed),
                ..Fault::default()
            };
            self.push(ms, NEMESIS, Kind::Info, Op::Fault(fault));
        }

        fn heal(&mut self, ms: u64, family: &str) {
            let heal = Heal { families: vec![family.to_owned()] };
            self.push(ms, NEMESIS, Kind::Info, Op::Heal(heal));
        }

        fn begin(&mut self, ms: u64, process: i64) {
            self.push(ms, process, Kind::Invoke, write());
        }

        fn end(&mut self, ms: u64, process: i64, shard: u32) {
            self.push(ms, process, Kind::Ok, write()).shard = Some(shard);
        }
    }

    fn write() -> Op {
        Op::ListRoom(Listing { comet: "c".to_owned(), incarnation: 1, version: 1 })
    }

    #[test]
    fn after_a_leader_is_killed_its_shards_own_writes_count() {
        let mut story = Story::default();
        story.begin(90, 1);
        story.begin(95, 2);
        story.fault(100, "kill", &["router-1", "leader-of-2", "leader-of-0"]);
        // Acknowledged before the kill, heard of after it.
        story.end(101, 1, 2);
        story.begin(300, 1);
        story.end(310, 1, 1);
        // Begun before, but too late an answer to come from the one that was killed.
        story.end(900, 2, 2);
        let measured = Measured::of(&story.0, 3, 2);
        assert_eq!((measured.leader_kills, measured.after_kill_ms), (1, vec![800]));
        assert!(measured.silent_after_kill_ms.is_empty());
    }

    #[test]
    fn after_a_power_cut_of_all_time_runs_from_their_start() {
        let mut story = Story::default();
        story.fault(100, "power-cut", &["router-1", "router-2", "router-3"]);
        story.heal(1_100, "power");
        story.begin(1_200, 1);
        story.end(2_100, 1, 1);
        story.fault(2_500, "pause", &["router-1"]);
        let measured = Measured::of(&story.0, 3, 2);
        assert_eq!((measured.power_cuts, measured.after_power_ms), (1, vec![1_000]));
        assert_eq!(measured.silent_after_power_ms, [1_400], "shard 2 until the next fault");
    }

    #[test]
    fn a_cut_of_some_is_counted_and_not_measured() {
        let mut story = Story::default();
        story.fault(100, "power-cut", &["router-1"]);
        story.heal(200, "power");
        let measured = Measured::of(&story.0, 3, 1);
        assert_eq!((measured.power_cuts, measured.after_power_ms.len()), (1, 0));
    }

    #[test]
    fn quantiles_are_figures_that_were_seen() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[3, 1, 2], 0.5), Some(2));
        assert_eq!(quantile(&[5, 1], 0.99), Some(5));
    }
}
