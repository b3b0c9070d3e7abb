//! `jepsen mutate`: turns on one seeded bug after the other and sees whether the simulation finds each.

mod build;
mod hunt;
mod score;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use seeded_bugs::Bug;

use self::hunt::Hunt;
use self::score::Score;
use super::say;
use super::seeded::named;
use crate::verdict::Ending;

/// What to turn on, and how long to look for it.
#[derive(Debug, Args)]
pub struct Mutate {
    /// Which bug, by its name; may be given several times. All of them where none is given.
    #[arg(long = "bug", value_parser = named)]
    bugs: Vec<Bug>,
    /// Lists the bugs, and ends.
    #[arg(long)]
    list: bool,
    /// The first seed of each.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Most seeds that are tried for one bug.
    #[arg(long, default_value_t = 100)]
    seeds_max: u64,
    /// Most minutes that are spent on one bug.
    #[arg(long, default_value_t = 30)]
    minutes_max: u64,
    /// Seeds that run at the same time; 0: one for each processor.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Seeds that must hold with no bug turned on, before anything is looked for.
    #[arg(long, default_value_t = 2)]
    canaries: u64,
    /// Cargo's profile of the harness with bugs: `seeded`, or `dev` where that is half built already.
    #[arg(long, default_value = "seeded")]
    profile: String,
    /// A harness that has bugs, built already.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where histories and the score go; made anew.
    #[arg(long, default_value = "target/jepsen/mutate")]
    folder: PathBuf,
}

impl Mutate {
    /// Looks for each bug.
    ///
    /// # Errors
    /// When the harness cannot do its work.
    pub fn run(&self) -> anyhow::Result<Ending> {
        let bugs = if self.bugs.is_empty() { Bug::ALL.to_vec() } else { self.bugs.clone() };
        if self.list {
            list(&bugs);
            return Ok(Ending::Holds);
        }
        let folder = &self.folder;
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let (binary, built) = match &self.binary {
            Some(binary) => (binary.clone(), Duration::ZERO),
            None => build::build(&self.profile)?,
        };
        say(&format!("the harness with bugs: {} (built in {built:.0?})", binary.display()));
        let jobs = match self.jobs {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            jobs => jobs,
        };
        let minutes = Duration::from_secs(60 * self.minutes_max);
        let mut hunt = Hunt::new(binary, folder.clone(), jobs, minutes);
        let canaries = self.from..self.from + self.canaries;
        if let Some(seed) = hunt.first_that_does_not_hold(canaries)? {
            say(&format!("seed {seed} does not hold with no bug turned on"));
            return Ok(Ending::Harness);
        }
        let mut score = Score::new(built);
        for bug in bugs {
            let found = hunt.hunt(bug, self.from..self.from + self.seeds_max)?;
            say(&score::line(&found));
            score.add(found);
            // After each: whoever ends this early has what was done.
            score.write(&folder.join("score.json"))?;
        }
        say(&score.table());
        Ok(if score.all_found() { Ending::Holds } else { Ending::Harness })
    }
}

fn list(bugs: &[Bug]) {
    for bug in bugs {
        say(&format!("{:28} {} (like {})", bug.name(), bug.text(), bug.source()));
    }
}
