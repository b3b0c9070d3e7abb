//! `jepsen kill`: one real router, killed again and again under load.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use judge::history;
use judge::settings::{Gates, Settings};

use super::say;
use crate::scenario;
use crate::verdict::{self, Ending};

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
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let runtime = tokio::runtime::Runtime::new()?;
        let events =
            runtime.block_on(scenario::kill(&self.binary, folder, self.rounds, self.seed))?;
        let path = folder.join("history.jsonl");
        history::write(&events, BufWriter::new(File::create(&path)?))?;
        say(&format!("history: {} ({} events)", path.display(), events.len()));
        let gates = Gates { faults: vec!["kill".to_owned()], ..Gates::default() };
        let settings = Settings { gates, ..Settings::default() };
        let (ending, report) = verdict::judge(&events, &settings, &["seq-rises", "binds-survive"]);
        say(report.trim_end());
        say(ending.word());
        Ok(ending)
    }
}
