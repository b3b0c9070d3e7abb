//! Findings: what was measured, told as it is found and once more in the end.

use std::fmt;
use std::time::Duration;

use orrery_bench::bar::Bar;
use orrery_bench::experiment::{Outcome, say};
use orrery_bench::latency::Latency;
use serde::Serialize;

use crate::NAME;

/// A figure.
#[derive(Debug, Serialize)]
struct Finding {
    what: String,
    figure: String,
}

/// What was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    findings: Vec<Finding>,
    bars: Vec<Bar>,
}

impl Findings {
    /// Adds a figure, and tells whoever watches.
    pub(crate) fn add(&mut self, what: impl Into<String>, figure: impl Into<String>) {
        let (what, figure) = (what.into(), figure.into());
        say(NAME, format_args!("{what}: {figure}"));
        self.findings.push(Finding { what, figure });
    }

    /// Adds what writes cost.
    pub(crate) fn writes(&mut self, when: &str, writes: &Writes) {
        self.add(format!("writes {when}"), writes.to_string());
    }

    /// Adds a figure that should be at most so long.
    pub(crate) fn bar(&mut self, what: &'static str, took: Duration, most: Duration) {
        self.bars.push(Bar {
            what,
            asked: format!("at most {} ms", most.as_millis()),
            measured: format!("{} ms", took.as_millis()),
            reached: took <= most,
        });
    }
}

/// What writes cost for a while.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writes {
    /// From write to acknowledgement.
    pub(crate) latency: Latency,
    /// The longest time without an acknowledgement in the shard where it was longest.
    pub(crate) gap: Duration,
    /// How long they were watched.
    pub(crate) lasting: Duration,
}

impl fmt::Display for Writes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Latency { count, p50_ms, p99_ms, p99_9_ms, max_ms, .. } = self.latency;
        write!(
            f,
            "p50 {p50_ms:.1} ms, p99 {p99_ms:.1}, p99.9 {p99_9_ms:.1}, max {max_ms:.1}, longest gap {:.1} \
             ({count} in {:.1} s)",
            self.gap.as_secs_f64() * 1e3,
            self.lasting.as_secs_f64(),
        )
    }
}

impl Outcome for Findings {
    const KEY: &'static str = "findings";

    /// Phases that break a promise fail.
    fn is_good(&self) -> bool {
        true
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { what, figure } in &self.findings {
            writeln!(f, "{what:<58} {figure}")?;
        }
        writeln!(f)?;
        self.bars.iter().try_for_each(|bar| writeln!(f, "{bar}"))
    }
}
