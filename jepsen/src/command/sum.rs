//! `jepsen sum`: what many runs came to, from the lines that `sim --json` says.

use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::say;
use crate::outcome::Outcome;
use crate::tally::Tally;
use crate::verdict::Ending;

/// What to sum up.
#[derive(Debug, Args)]
pub struct Sum {
    /// Files of lines that `sim --json` said.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Where the runs were, for the row of the record.
    #[arg(long, default_value = "simulation")]
    world: String,
}

impl Sum {
    /// Sums them up, and ends as the worst of them did.
    ///
    /// # Errors
    /// When a file cannot be read, or a line is none.
    pub fn run(&self) -> anyhow::Result<Ending> {
        let mut tally = Tally::default();
        for path in &self.files {
            let text =
                fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            for (number, line) in text.lines().enumerate() {
                let outcome: Outcome = serde_json::from_str(line)
                    .with_context(|| format!("{}, line {}", path.display(), number + 1))?;
                tally.add(&outcome);
            }
        }
        say(tally.to_string().trim_end());
        say("");
        say(&tally.row(&self.world));
        Ok(tally.worst())
    }
}
