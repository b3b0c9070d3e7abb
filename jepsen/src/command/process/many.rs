//! Many: several runs, each in a process of its own.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;

use super::cell::Cell;
use super::{Process, RESULTS};
use crate::command::say;
use crate::command::stop::{Stopped, stopped};
use crate::verdict::Ending;
use crate::world::process::results::{self, Line};

/// Pause between two looks at the runs.
const LOOK: Duration = Duration::from_millis(100);

/// Runs: those that go on, and how the others ended.
#[derive(Default)]
struct Runs {
    running: Vec<(Cell, Child)>,
    ended: Vec<(String, Ending)>,
}

impl Process {
    /// Runs them, so many at a time. Whoever ends this ends all of them, and each unmakes what it has made.
    pub(super) fn many(&self, mut waiting: VecDeque<Cell>) -> anyhow::Result<Ending> {
        let mut runs = Runs::default();
        if self.resume {
            let done = self.done()?;
            let many = waiting.len();
            waiting.retain(|cell| {
                let line = self.line(cell, &cell.plan(self.seconds, &self.without));
                let before = done.iter().rev().find(|done| done.is_of(&line));
                let ended = before.map(|line| (cell.name(), Ending::of_word(&line.verdict)));
                let is_new = ended.is_none();
                runs.ended.extend(ended);
                is_new
            });
            say(&format!("{} of {many} runs have been run before", many - waiting.len()));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.all(runs, waiting))
    }

    async fn all(&self, mut runs: Runs, mut waiting: VecDeque<Cell>) -> anyhow::Result<Ending> {
        let mut stopped = Box::pin(stopped(false)?);
        while !waiting.is_empty() || !runs.running.is_empty() {
            while runs.running.len() < self.jobs.max(1)
                && let Some(cell) = waiting.pop_front()
            {
                let child = self.start(&cell)?;
                runs.running.push((cell, child));
            }
            tokio::select! {
                biased;
                why = &mut stopped => {
                    drop(runs);
                    say("what has not been run is run by the same command with --resume");
                    return Err(Stopped(why).into());
                }
                () = sleep(LOOK) => runs.look()?,
            }
        }
        let failed = runs.ended.iter().filter(|(_, ending)| *ending != Ending::Holds);
        let failed: Vec<&str> = failed.map(|(name, _)| name.as_str()).collect();
        say(&format!("{} runs, {} do not hold: {failed:?}", runs.ended.len(), failed.len()));
        Ok(runs.worst())
    }

    fn start(&self, cell: &Cell) -> anyhow::Result<Child> {
        let me = std::env::current_exe().context("find the harness's own binary")?;
        let mut command = Command::new(me);
        command.args(self.arguments(cell)).arg("--child").arg("--binary").arg(&self.binary);
        command.arg("--folder").arg(&self.folder);
        command.args(self.keep.then_some("--keep")).args(self.report.then_some("--report"));
        command.stdin(Stdio::piped()).spawn().context("start a run")
    }

    /// What has been run.
    fn done(&self) -> anyhow::Result<Vec<Line>> {
        let path = self.folder.join(RESULTS);
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(|| format!("open {}", path.display()))?,
        };
        results::read(BufReader::new(file)).with_context(|| path.display().to_string())
    }
}

impl Runs {
    /// Takes note of those that have ended.
    fn look(&mut self) -> anyhow::Result<()> {
        for at in (0..self.running.len()).rev() {
            let Some(status) = self.running[at].1.try_wait()? else { continue };
            let (cell, _) = self.running.swap_remove(at);
            self.ended.push((cell.name(), Ending::of(status.code())));
        }
        Ok(())
    }

    /// A violation outweighs a harness that failed, and that a run without a verdict. Of no run nothing is known.
    fn worst(&self) -> Ending {
        let order = [Ending::Violated, Ending::Harness, Ending::Unknown, Ending::Holds];
        let met = order.into_iter().find(|ending| self.ended.iter().any(|(_, met)| met == ending));
        met.unwrap_or(Ending::Unknown)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        // Each hears of it by its standard input, unmakes what it has made, and ends.
        for (_, child) in &mut self.running {
            drop(child.stdin.take());
        }
        for (_, child) in &mut self.running {
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_no_run_nothing_is_known_and_the_worst_outweighs_all_others() {
        let worst = |words: &[&str]| {
            let ended = words.iter().map(|word| (String::new(), Ending::of_word(word)));
            Runs { running: Vec::new(), ended: ended.collect() }.worst()
        };
        assert_eq!(worst(&[]), Ending::Unknown);
        assert_eq!(worst(&["holds"]), Ending::Holds);
        assert_eq!(worst(&["holds", "unknown"]), Ending::Unknown);
        assert_eq!(worst(&["unknown", "a word that is none"]), Ending::Harness);
        assert_eq!(worst(&["harness failure", "VIOLATED", "holds"]), Ending::Violated);
    }
}
