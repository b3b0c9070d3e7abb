//! `jepsen process`: real binaries on a real machine, broken in real ways.

mod cell;
mod many;
mod one;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use self::cell::{Cell, family, matrix};
use super::{doctor, sweep};
use crate::plan::{Family, scenario};
use crate::verdict::Ending;
use crate::world::process::LEDGERS;

/// The file of all results, a line each.
const RESULTS: &str = "results.jsonl";

/// What connects the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Connects {
    /// A switch of the harness's own: it cuts, delays, loses, repeats, reorders and narrows.
    Switch,
    /// The kernel's bridge and nftables: it cuts and loses.
    Bridge,
}

/// What to run.
#[derive(Debug, Args)]
pub struct Process {
    /// The orrery binary.
    #[arg(long, default_value = "target/release/orrery")]
    binary: PathBuf,
    /// Seconds of the main phase of each run.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Runs this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// A plan that has a name, instead of what the seed draws; an unknown name lists them.
    #[arg(long)]
    scenario: Option<String>,
    /// Families of faults, instead of those that the seed draws: partition, network, kill, pause, power,
    /// disk, clock, admin, damage.
    #[arg(long, value_delimiter = ',', value_parser = family)]
    families: Vec<Family>,
    /// Faults to leave out, by their ids.
    #[arg(long, value_delimiter = ',')]
    without: Vec<u32>,
    /// Goes through every scenario and every mix of families, one after the other, seed by seed.
    #[arg(long, conflicts_with_all = ["scenario", "families"])]
    matrix: bool,
    /// Leaves out what the file of results has already.
    #[arg(long)]
    resume: bool,
    /// Of several runs keeps the histories and logs also of those that hold.
    #[arg(long)]
    keep: bool,
    /// One of several: ends with its standard input, and what holds leaves nothing but its line of results.
    #[arg(long, hide = true, requires = "seed")]
    child: bool,
    /// Runs at the same time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// What connects the machines.
    #[arg(long, value_enum, default_value_t = Connects::Switch)]
    fabric: Connects,
    /// Draws a page of the run also if it holds.
    #[arg(long)]
    report: bool,
    /// Where histories and logs go, in a folder for each run, and the file of all results.
    #[arg(long, default_value = "target/jepsen/process")]
    folder: PathBuf,
}

impl Process {
    /// Runs.
    ///
    /// # Errors
    /// When the harness cannot do its work.
    pub fn run(&self) -> anyhow::Result<Ending> {
        if let Some(name) = &self.scenario
            && scenario::named(name).is_none()
        {
            bail!("there is no scenario {name}; there are\n{}", scenario::list());
        }
        if !self.binary.is_file() {
            bail!("there is no binary {}: build it, or say --binary", self.binary.display());
        }
        // Whoever began it has looked.
        if !self.child
            && let Some(missing) = doctor::missing()
        {
            bail!("{missing}");
        }
        sweep(Path::new(LEDGERS))?;
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("make the folder {}", self.folder.display()))?;
        let cell = |seed| match self.matrix {
            true => matrix(seed),
            false => {
                Cell { seed, scenario: self.scenario.clone(), families: self.families.clone() }
            }
        };
        match self.seed {
            Some(seed) => self.one(&cell(seed)),
            None if self.seeds == 1 && !self.resume => self.one(&cell(self.from)),
            None => self.many((self.from..self.from + self.seeds).map(cell).collect()),
        }
    }
}
