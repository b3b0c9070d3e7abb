//! Seeds: many simulations side by side, and what they come to.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail};

use super::child::{Child, LOOK};
use super::say;
use super::sim::Sim;
use crate::outcome::Outcome;
use crate::run_report;
use crate::tally::{Tally, count};
use crate::verdict::Ending;

/// Seeds up to which each has a line of its own; of more, those that do not hold.
const LINES_MAX: u64 = 100;

/// Of how many seeds one line tells how far it is where no line of a terminal can be written over.
const PROGRESS_EVERY: usize = 50;

/// Simulates all seeds, each in a process of its own.
#[expect(
    clippy::disallowed_methods,
    reason = "this waits for processes, outside of any simulation"
)]
pub(super) fn run(sim: &Sim) -> anyhow::Result<Ending> {
    let jobs = match sim.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let mut arguments = vec!["--folder".to_owned(), sim.folder.display().to_string()];
    arguments.extend(sim.report.then(|| "--report".to_owned()));
    arguments.extend(sim.choice.arguments());
    let runs = if sim.twice { 2 } else { 1 };
    let seeds = sim.from..sim.from.saturating_add(sim.seeds);
    let mut waiting: VecDeque<(u64, u32)> =
        seeds.flat_map(|seed| (0..runs).map(move |run| (seed, run))).collect();
    let mut progress = Progress::new(sim, waiting.len());
    let mut running: Vec<(u64, Child)> = Vec::new();
    let mut tally = Tally::default();
    let mut ended_once = BTreeSet::new();
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < jobs
            && let Some((seed, run)) = waiting.pop_front()
        {
            running.push((seed, Child::start(seed, run, &arguments)?));
        }
        std::thread::sleep(LOOK);
        for at in (0..running.len()).rev() {
            let (seed, child) = &mut running[at];
            let Some(mut outcome) = child.ended()? else { continue };
            let seed = *seed;
            running.swap_remove(at);
            // Judged by whichever of its two runs ends last.
            let is_last = !sim.twice || !ended_once.insert(seed);
            if sim.twice && is_last && outcome.error.is_none() {
                outcome = match is_same(sim, seed) {
                    Ok(true) => outcome,
                    Ok(false) => Outcome::failed(seed, "two runs of the seed differ"),
                    Err(error) => Outcome::failed(seed, format!("{error:#}")),
                };
            }
            if outcome.ending == Ending::Holds && !sim.keep {
                outcome.history = None;
                if is_last {
                    (0..runs).try_for_each(|run| forget(&sim.history(seed, run)))?;
                }
            }
            tally.add(&outcome);
            progress.tell(&outcome, &tally)?;
        }
    }
    progress.end(&tally)?;
    Ok(tally.worst())
}

/// Whether both histories of a seed are the same.
fn is_same(sim: &Sim, seed: u64) -> anyhow::Result<bool> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let (first, second) = (read(&sim.history(seed, 0))?, read(&sim.history(seed, 1))?);
    if first.is_empty() {
        bail!("the history of seed {seed} is empty");
    }
    Ok(first == second)
}

/// Removes a history that nobody needs, and what lies beside it: thousands of them would fill any disk.
pub(super) fn forget(history: &Path) -> anyhow::Result<()> {
    run_report::remove(history)?;
    run_report::remove(&run_report::facts_path(history))?;
    run_report::remove(&run_report::entries_path(history))
}

/// A run in one line.
pub(super) fn line(outcome: &Outcome) -> String {
    let mut line = format!("seed {}: {}; ", outcome.seed, outcome.ending.word());
    if let Some(error) = &outcome.error {
        line.push_str(error);
        return line;
    }
    let mut why: Vec<&str> = outcome.violated.keys().map(String::as_str).collect();
    why.extend(outcome.unknown.keys().map(String::as_str));
    if !why.is_empty() {
        line.push_str(&format!("{}; ", why.join(", ")));
    }
    line.push_str(&format!(
        "{} operations ok, {} fail, {} info",
        count(outcome.ok),
        count(outcome.fail),
        count(outcome.info)
    ));
    let families: Vec<String> = outcome
        .faults
        .iter()
        .filter(|(_, of)| of.installed > 0)
        .map(|(family, of)| format!("{family} {}", of.installed))
        .collect();
    let families = match families.is_empty() {
        true => String::new(),
        false => format!(" ({})", families.join(", ")),
    };
    line.push_str(&format!(
        "; {} faults{families}; {:.1} s simulated in {:.1} s",
        outcome.installed(),
        outcome.simulated_s,
        outcome.real_s
    ));
    if let Some(history) = &outcome.history {
        line.push_str(&format!("; {}", history.display()));
    }
    line
}

/// Tells how far it is: people read the error output where the other is for machines.
struct Progress<'a> {
    sim: &'a Sim,
    runs: usize,
    began: Instant,
    /// Whether a line that is not whole stands in the terminal.
    is_open: bool,
    /// Whether there is a terminal whose line can be written over.
    is_terminal: bool,
}

impl<'a> Progress<'a> {
    #[expect(clippy::disallowed_methods, reason = "how long it takes is told in real time")]
    fn new(sim: &'a Sim, runs: usize) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        Self { sim, runs, began: Instant::now(), is_open: false, is_terminal }
    }

    fn tell(&mut self, outcome: &Outcome, tally: &Tally) -> anyhow::Result<()> {
        let holds = outcome.ending == Ending::Holds;
        self.close();
        if self.sim.json {
            say(&serde_json::to_string(outcome)?);
        } else if !holds || self.sim.seeds <= LINES_MAX {
            self.say(&line(outcome));
        }
        let done = tally.runs();
        if done == self.runs {
            return Ok(());
        }
        let elapsed = self.began.elapsed().as_secs_f64();
        let left = elapsed / done as f64 * (self.runs - done) as f64;
        let far = format!(
            "{} of {} runs, worst so far: {}; about {left:.0} s left",
            count(done),
            count(self.runs),
            tally.worst().word()
        );
        let is_due = self.sim.seeds > LINES_MAX && done.is_multiple_of(PROGRESS_EVERY);
        if self.is_terminal {
            let _ = write!(std::io::stderr(), "{far}");
            self.is_open = true;
        } else if is_due {
            self.say(&far);
        }
        Ok(())
    }

    fn end(&mut self, tally: &Tally) -> anyhow::Result<()> {
        self.close();
        self.say("");
        self.say(tally.to_string().trim_end());
        if let Some(seed) = tally.first_violated() {
            self.say(&format!("next: {}", self.sim.choice.command("shrink", seed)));
        }
        Ok(())
    }

    /// Takes back the line that is not whole.
    fn close(&mut self) {
        if std::mem::take(&mut self.is_open) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn say(&self, line: &str) {
        match self.sim.json {
            true => drop(writeln!(std::io::stderr(), "{line}")),
            false => say(line),
        }
    }
}
