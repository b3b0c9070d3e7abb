//! Hunt: runs seed after seed with a bug turned on, until one is violated that is not without it.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::ops::Range;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use seeded_bugs::Bug;

use super::score::Found;
use crate::verdict::Ending;

/// How long one seed may take: a system with a bug may never come to rest.
const SEED_MAX: Duration = Duration::from_secs(180);

/// Pause between two looks at the seeds that run.
const LOOK: Duration = Duration::from_millis(20);

/// What the report says of a property that is violated.
const VIOLATED: &str = ": VIOLATED";

/// Where that is kept.
const TOLD: &str = "report.txt";

/// Runs seeds of a harness that has bugs.
pub(super) struct Hunt {
    binary: PathBuf,
    folder: PathBuf,
    jobs: usize,
    /// Most time for one bug.
    time_max: Duration,
    /// Most time for one seed.
    seed_max: Duration,
    /// How seeds end with no bug turned on.
    without: BTreeMap<u64, Ending>,
}

/// A seed that runs; it ends when this is dropped.
struct Running {
    seed: u64,
    began: Instant,
    child: Child,
    folder: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A seed that has ended.
struct Ended {
    seed: u64,
    ending: Ending,
    /// Its history, and what the harness printed.
    folder: PathBuf,
}

impl Ended {
    /// Leaves nothing of it.
    fn forget(&self) -> anyhow::Result<()> {
        let folder = &self.folder;
        fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))
    }

    /// The properties that its report says are violated.
    fn violated(&self) -> anyhow::Result<Vec<String>> {
        let told = self.folder.join(TOLD);
        let text = fs::read_to_string(&told).with_context(|| format!("read {}", told.display()))?;
        let name = |line: &str| line.split_once(VIOLATED).map(|(name, _)| name.to_owned());
        // The last line sums the seed up in the same word.
        Ok(text.lines().filter(|line| !line.starts_with("seed ")).filter_map(name).collect())
    }
}

impl Hunt {
    pub(super) fn new(binary: PathBuf, folder: PathBuf, jobs: usize, time_max: Duration) -> Self {
        Self { binary, folder, jobs, time_max, seed_max: SEED_MAX, without: BTreeMap::new() }
    }

    /// The first of these seeds that does not hold although no bug is turned on.
    ///
    /// # Errors
    /// When the harness cannot be run.
    pub(super) fn first_that_does_not_hold(
        &mut self,
        seeds: Range<u64>,
    ) -> anyhow::Result<Option<u64>> {
        let mut waiting: VecDeque<u64> = seeds.collect();
        let mut running = Vec::new();
        while let Some(ended) = self.next(None, &mut waiting, &mut running)? {
            ended.forget()?;
            self.without.insert(ended.seed, ended.ending);
        }
        Ok(self.without.iter().find(|(_, ending)| **ending != Ending::Holds).map(|(seed, _)| *seed))
    }

    /// Looks for a bug.
    ///
    /// # Errors
    /// When the harness cannot be run.
    #[expect(clippy::disallowed_methods, reason = "how long it takes is told in real time")]
    pub(super) fn hunt(&mut self, bug: Bug, seeds: Range<u64>) -> anyhow::Result<Found> {
        let (began, first) = (Instant::now(), seeds.start);
        let mut waiting: VecDeque<u64> = seeds.collect();
        let mut running: Vec<Running> = Vec::new();
        let mut found = Found::nothing(bug);
        let mut best: Option<Ended> = None;
        while let Some(ended) = self.next(Some(bug), &mut waiting, &mut running)? {
            found.take(ended.ending);
            if ended.ending == Ending::Violated && self.holds_without(ended.seed)? {
                // Lower seeds are waited for, so that the number says something.
                waiting.clear();
                running.retain(|other| other.seed < ended.seed);
                if let Some(higher) = best.replace(ended) {
                    higher.forget()?;
                }
            } else {
                ended.forget()?;
            }
            if began.elapsed() > self.time_max {
                break;
            }
        }
        if let Some(best) = best {
            found.seed = Some(best.seed);
            found.seeds = best.seed + 1 - first;
            found.properties = best.violated()?;
        }
        found.seconds = began.elapsed().as_secs_f64();
        Ok(found)
    }

    /// Whether a seed holds with no bug turned on: only then was the bug what violated it.
    fn holds_without(&mut self, seed: u64) -> anyhow::Result<bool> {
        if !self.without.contains_key(&seed) {
            let (mut waiting, mut running) = (VecDeque::from([seed]), Vec::new());
            while let Some(ended) = self.next(None, &mut waiting, &mut running)? {
                ended.forget()?;
                self.without.insert(ended.seed, ended.ending);
            }
        }
        Ok(self.without.get(&seed) == Some(&Ending::Holds))
    }

    /// Waits for the next seed that ends, with as many running as may; none once all have ended.
    #[expect(
        clippy::disallowed_methods,
        reason = "this waits for processes, outside of any simulation"
    )]
    fn next(
        &self,
        bug: Option<Bug>,
        waiting: &mut VecDeque<u64>,
        running: &mut Vec<Running>,
    ) -> anyhow::Result<Option<Ended>> {
        loop {
            while running.len() < self.jobs
                && let Some(seed) = waiting.pop_front()
            {
                running.push(self.start(bug, seed)?);
            }
            if running.is_empty() {
                return Ok(None);
            }
            for at in 0..running.len() {
                let one = &mut running[at];
                let ending = match one.child.try_wait()? {
                    Some(status) => Ending::of(status.code()),
                    // It says nothing: the harness gave up.
                    None if one.began.elapsed() > self.seed_max => Ending::Harness,
                    None => continue,
                };
                let one = running.remove(at);
                let (seed, folder) = (one.seed, one.folder.clone());
                return Ok(Some(Ended { seed, ending, folder }));
            }
            std::thread::sleep(LOOK);
        }
    }

    #[expect(clippy::disallowed_methods, reason = "how long it takes is told in real time")]
    fn start(&self, bug: Option<Bug>, seed: u64) -> anyhow::Result<Running> {
        let folder = self.folder.join(bug.map_or("none", Bug::name)).join(seed.to_string());
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        let told = folder.join(TOLD);
        let out = File::create(&told).with_context(|| format!("make {}", told.display()))?;
        let mut command = Command::new(&self.binary);
        command.args(["sim", "--seed", &seed.to_string(), "--folder"]).arg(&folder);
        if let Some(bug) = bug {
            command.args(["--bug", bug.name()]);
        }
        let child = command
            .stdin(Stdio::null())
            .stderr(out.try_clone()?)
            .stdout(out)
            .spawn()
            .with_context(|| format!("start {}", self.binary.display()))?;
        Ok(Running { seed, began: Instant::now(), child, folder })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const BUG: Bug = Bug::AckBeforeSync;

    /// A harness that ends seeds as this script says; `$3` is the seed, `$6` says whether a bug is on.
    fn hunt(name: &str, script: &str) -> Hunt {
        let folder = std::env::temp_dir().join(format!("hunt-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let binary = folder.join("harness");
        fs::write(&binary, format!("#!/bin/sh\necho 'rooms: VIOLATED 2 times'\n{script}\n"))
            .unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        Hunt::new(binary, folder, 2, Duration::from_secs(60))
    }

    fn end(hunt: &Hunt) {
        fs::remove_dir_all(&hunt.folder).unwrap();
    }

    #[test]
    fn a_bug_is_found_with_the_first_seed_that_holds_without_it() {
        let script = "case $3$6 in 2 | 2--bug | 4--bug | 5--bug) exit 1 ;; 3--bug) exit 2 ;; esac";
        let mut hunt = hunt("found", script);
        let found = hunt.hunt(BUG, 1..20).unwrap();
        assert_eq!((found.seed, found.seeds), (Some(4), 4));
        assert_eq!(found.properties, ["rooms"]);
        end(&hunt);
    }

    #[test]
    fn what_says_nothing_finds_nothing() {
        let mut hunt =
            hunt("nothing", "case $3 in 1) exit 2 ;; 2) exit 3 ;; 3) kill -9 $$ ;; esac");
        let found = hunt.hunt(BUG, 1..6).unwrap();
        assert_eq!((found.seed, found.seeds, found.no_verdict), (None, 5, 3));
        end(&hunt);
    }

    #[test]
    fn a_seed_that_does_not_answer_says_nothing_and_is_ended() {
        let script = "case $3$6 in 1--bug) exec sleep 600 ;; 2--bug) exit 1 ;; esac";
        let mut hunt = Hunt { seed_max: Duration::from_secs(2), ..hunt("silent", script) };
        let found = hunt.hunt(BUG, 1..4).unwrap();
        assert_eq!((found.seed, found.seeds), (Some(2), 2));
        // Only if it had nothing to wait for would the second one end first, and the first one not be told.
        assert_eq!(found.no_verdict, 1);
        let silent =
            Hunt { seed_max: Duration::from_secs(2), ..self::hunt("all", "exec sleep 600") };
        let (mut waiting, mut running) = (VecDeque::from([7]), Vec::new());
        let ended = silent.next(Some(BUG), &mut waiting, &mut running).unwrap().unwrap();
        assert_eq!((ended.seed, ended.ending), (7, Ending::Harness));
        assert!(running.is_empty());
        end(&hunt);
        end(&silent);
    }

    #[test]
    fn a_harness_that_was_not_built_is_named() {
        let mut hunt = hunt("unbuilt", "");
        hunt.binary = hunt.folder.join("nobody");
        let error = hunt.hunt(BUG, 1..3).unwrap_err();
        assert!(format!("{error:#}").contains("nobody"), "{error:#}");
        assert!(hunt.first_that_does_not_hold(1..3).is_err());
        end(&hunt);
    }

    #[test]
    fn a_canary_that_does_not_hold_is_named() {
        let mut hunt = hunt("canary", "[ $3 != 3 ]");
        assert_eq!(hunt.first_that_does_not_hold(1..3).unwrap(), None);
        assert_eq!(hunt.first_that_does_not_hold(3..5).unwrap(), Some(3));
        end(&hunt);
    }
}
