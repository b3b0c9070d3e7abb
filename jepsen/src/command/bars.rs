//! `jepsen bars`: what many runs of real processes add up to.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::say;
use crate::verdict::Ending;
use crate::world::process::results::{self, BARS};

/// What to add up.
#[derive(Debug, Args)]
pub struct Bars {
    /// Files of results, as `jepsen process` writes them.
    #[arg(default_value = "target/jepsen/process/results.jsonl")]
    results: Vec<PathBuf>,
}

impl Bars {
    /// Adds up. A bar that is not reached makes it unknown, one that is broken violated.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn run(&self) -> anyhow::Result<Ending> {
        let mut lines = Vec::new();
        for path in &self.results {
            let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
            let more = results::read(BufReader::new(file));
            lines.extend(more.with_context(|| path.display().to_string())?);
        }
        let mut ended = Ending::Holds;
        for bar in BARS {
            let sum = bar.sum(&lines);
            let passes = sum.is_some_and(|sum| bar.passes(sum));
            let (mark, bound) = (if passes { "ok" } else { "NOT YET" }, bar.bound);
            let most = if bar.at_most { "at most" } else { "at least" };
            let sum_text = sum.map_or("none".to_owned(), |sum| sum.to_string());
            say(&format!("{mark:8} {:45} {sum_text:>10}   {most} {bound}", bar.what));
            let broken = bar.at_most && sum.is_some() && !passes;
            ended = match (passes, broken) {
                (true, _) => ended,
                (false, true) => Ending::Violated,
                (false, false) if ended == Ending::Holds => Ending::Unknown,
                (false, false) => ended,
            };
        }
        for line in lines.iter().filter(|line| line.verdict != Ending::Holds.word()) {
            let what = line.scenario.clone().unwrap_or_else(|| line.families.join(","));
            let why = [line.broken.join("; "), line.findings.join("; ")].join(" ");
            say(&format!("seed {} ({what}): {}: {}", line.seed, line.verdict, why.trim()));
        }
        Ok(ended)
    }
}
