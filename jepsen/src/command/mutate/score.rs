//! Score: what was found, by which property, and how soon.

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use seeded_bugs::Bug;
use serde::Serialize;

use crate::verdict::Ending;

/// What became of one bug.
#[derive(Debug, Serialize)]
pub(super) struct Found {
    bug: &'static str,
    text: &'static str,
    like: &'static str,
    /// The first seed that shows it; none: it was not found.
    pub(super) seed: Option<u64>,
    /// The properties that it violates there.
    pub(super) properties: Vec<String>,
    /// How many seeds that took.
    pub(super) seeds: u64,
    /// How long.
    pub(super) seconds: f64,
    /// Seeds of which the harness could say nothing: its own failures and those of the system to serve.
    pub(super) no_verdict: u64,
}

impl Found {
    /// Not found, so far.
    pub(super) fn nothing(bug: Bug) -> Self {
        Self {
            bug: bug.name(),
            text: bug.text(),
            like: bug.source(),
            seed: None,
            properties: Vec::new(),
            seeds: 0,
            seconds: 0.0,
            no_verdict: 0,
        }
    }

    /// Takes note of a seed that has ended.
    pub(super) fn take(&mut self, ending: Ending) {
        self.seeds += 1;
        if matches!(ending, Ending::Harness | Ending::Unknown) {
            self.no_verdict += 1;
        }
    }
}

/// What became of all of them.
#[derive(Debug, Serialize)]
pub(super) struct Score {
    build_seconds: f64,
    bugs: Vec<Found>,
}

impl Score {
    pub(super) fn new(built: Duration) -> Self {
        Self { build_seconds: built.as_secs_f64(), bugs: Vec::new() }
    }

    pub(super) fn add(&mut self, found: Found) {
        self.bugs.push(found);
    }

    pub(super) fn all_found(&self) -> bool {
        self.bugs.iter().all(|found| found.seed.is_some())
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let file = File::create(path).with_context(|| format!("make {}", path.display()))?;
        Ok(serde_json::to_writer_pretty(BufWriter::new(file), self)?)
    }

    /// As a table for people.
    pub(super) fn table(&self) -> String {
        let mut table =
            "| bug | found by | seed | seeds | minutes |\n| --- | --- | --- | --- | --- |\n"
                .to_owned();
        for found in &self.bugs {
            let seed = found.seed.map_or("not found".to_owned(), |seed| seed.to_string());
            let properties = found.properties.join(", ");
            let Found { bug, seeds, seconds, .. } = found;
            // Writing to a text cannot fail.
            let _ = writeln!(
                table,
                "| {bug} | {properties} | {seed} | {seeds} | {:.1} |",
                seconds / 60.0
            );
        }
        let found = self.bugs.iter().filter(|found| found.seed.is_some()).count();
        let _ = write!(table, "{found} of {} found", self.bugs.len());
        table
    }
}

/// One bug, as soon as it is known.
pub(super) fn line(found: &Found) -> String {
    let Found { bug, seed, properties, seeds, seconds, no_verdict, .. } = found;
    match seed {
        Some(seed) => format!(
            "{bug}: found by {} with seed {seed}, after {seeds} seeds and {seconds:.0} s ({no_verdict} \
             without a verdict)",
            properties.join(", ")
        ),
        None => format!(
            "{bug}: NOT FOUND in {seeds} seeds and {seconds:.0} s ({no_verdict} without a verdict)"
        ),
    }
}
