//! Report: what was measured of one system, as people and as programs read it.

use std::fmt::{self, Write as _};
use std::io::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::machine::Machine;
use crate::measure::Figures;

/// Figures of one system.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// What it is called.
    pub system: String,
    /// Where it was measured.
    pub machine: Machine,
    /// One load after the other.
    pub figures: Vec<Figures>,
}

/// The columns of [`row`].
pub const HEADER: &str = "                      per second      p50      p99    p99.9       max   failed  \
     cores: servers client others   MiB";

impl Report {
    /// Prints it: a table, or one JSON object.
    ///
    /// # Errors
    /// When nobody can read it.
    pub fn print(&self, json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if json {
            serde_json::to_writer_pretty(&mut out, self)?;
            return writeln!(out);
        }
        out.write_all(self.to_string().as_bytes())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\nlatencies in ms\n\n{HEADER}", self.system, self.machine)?;
        for figures in &self.figures {
            f.write_str(&row(&title(figures), figures))?;
            for note in notes(figures) {
                writeln!(f, "  {note}")?;
            }
        }
        Ok(())
    }
}

/// What a load is called.
pub fn title(figures: &Figures) -> String {
    let callers = if figures.callers == 1 { "caller" } else { "callers" };
    format!("{}, {} {callers}", figures.op.plural(), figures.callers)
}

/// A line of the table.
pub fn row(title: &str, figures: &Figures) -> String {
    let Figures { per_second, latency, cores, .. } = figures;
    let known = |value: Option<f64>, digits| match value {
        Some(value) => format!("{value:.digits$}"),
        None => "-".to_owned(),
    };
    let mut text = format!("{title:<22}{per_second:>10.0}");
    for ms in [latency.p50_ms, latency.p99_ms, latency.p99_9_ms] {
        let _ = write!(text, "{ms:>9.2}");
    }
    let _ = writeln!(
        text,
        "{:>10.2}{:>9}{:>16}{:>7}{:>7}{:>6}",
        latency.max_ms,
        figures.failures.values().sum::<u64>(),
        known(cores.servers, 2),
        known(cores.client, 2),
        known(cores.others, 2),
        known(figures.server_rss_mib, 0),
    );
    text
}

/// What must be said of a load beside its figures.
pub fn notes(figures: &Figures) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(way) = &figures.way {
        notes.push(way.clone());
    }
    if !figures.failures.is_empty() {
        let kinds = figures.failures.iter().map(|(kind, count)| format!("{count} {kind}"));
        let first = figures.first_failure.as_deref().unwrap_or_default();
        notes.push(format!("failed: {}; first: {first}", kinds.collect::<Vec<_>>().join(", ")));
    }
    notes
}
