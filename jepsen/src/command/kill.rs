//! `jepsen kill`: one real router, killed again and again under load.

use std::path::PathBuf;

use clap::Args;
use judge::settings::{Gates, Settings};
use machine::Ledger;
use report::RunFacts;

use super::stop::{Stopped, stopped};
use super::{fresh, say, sweep};
use crate::entries::Stores;
use crate::verdict::Ending;
use crate::world::lone_router::{DATA, NODE};
use crate::{run_report, scenario};

/// What a history of kills must speak of.
const REQUIRED: &[&str] = &["seq-rises", "binds-survive"];

/// What to kill, and how often.
#[derive(Debug, Args)]
pub struct Kill {
    /// The orrery binary.
    #[arg(long, default_value = "target/release/orrery")]
    binary: PathBuf,
    /// How many times to kill it.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// Seed of the workload and of the moments of the kills.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Draws a page of the run also if it holds.
    #[arg(long)]
    report: bool,
    /// Where the history and the node's data go; made anew.
    #[arg(long, default_value = "target/jepsen/kill")]
    folder: PathBuf,
}

impl Kill {
    /// Kills it.
    ///
    /// # Errors
    /// When the harness cannot do its work.
    pub fn run(&self) -> anyhow::Result<Ending> {
        let folder = &self.folder;
        let ledgers = folder.with_extension("ledgers");
        sweep(&ledgers)?;
        let _claim = fresh(folder)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let ledger = Ledger::begin(&ledgers)?;
        let killing = async {
            let stopped = stopped(false)?;
            tokio::select! {
                biased;
                why = stopped => Err(Stopped(why).into()),
                events = scenario::kill(&self.binary, folder, ledger, self.rounds, self.seed) => events,
            }
        };
        let events = runtime.block_on(killing)?;
        let path = folder.join("history.jsonl");
        let mut stores = Stores::default();
        stores.copy(NODE, &folder.join(DATA), folder.join("store"));
        let (facts, stores) = (self.facts(), Some(&stores));
        let ended = run_report::end(&facts, &events, REQUIRED, &path, self.report, stores)?;
        say(ended.told.trim_end());
        say(&format!("history: {} ({} events)", path.display(), events.len()));
        if let Some(page) = &ended.page {
            say(&format!("page: {}", page.display()));
        }
        say(ended.ending.word());
        Ok(ended.ending)
    }

    /// What is known of a run before it begins.
    fn facts(&self) -> RunFacts {
        let gates = Gates { faults: vec!["kill".to_owned()], ..Gates::default() };
        let Self { rounds, seed, .. } = self;
        RunFacts {
            name: format!("{rounds} kills, seed {seed}"),
            world: "processes".to_owned(),
            seed: Some(*seed),
            replay: format!("target/release/jepsen kill --rounds {rounds} --seed {seed}"),
            drawn: vec![("rounds".to_owned(), rounds.to_string())],
            settings: Settings { gates, ..Settings::default() },
            shrunk: None,
        }
    }
}
