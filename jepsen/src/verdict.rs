//! Verdict: judges a run's history and says so to people.

use std::fmt::Write as _;
use std::time::Duration;

use judge::checker::{self, Judged};
use judge::history::{Event, History};
use judge::settings::{Gates, Settings};
use judge::verdict::Verdict;

/// Violations that are told of each property.
const TOLD_MAX: usize = 5;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Every property holds.
    Holds,
    /// At least one is violated.
    Violated,
    /// At least one cannot be told.
    Unknown,
    /// The harness could not do its work.
    Harness,
}

impl Ending {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Holds => 0,
            Self::Violated => 1,
            Self::Unknown => 3,
            Self::Harness => 2,
        }
    }

    /// What a process that ended with this code said.
    pub fn of(code: Option<i32>) -> Self {
        match code {
            Some(0) => Self::Holds,
            Some(1) => Self::Violated,
            Some(3) => Self::Unknown,
            _ => Self::Harness,
        }
    }

    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Violated => "VIOLATED",
            Self::Unknown => "unknown",
            Self::Harness => "harness failure",
        }
    }
}

/// What a run's checkers must know.
pub fn settings(lease: Duration, gates: Gates) -> Settings {
    Settings { lease, gates, ..Settings::default() }
}

/// Judges a history; how it ended, and the report.
pub fn judge(events: &[Event], settings: &Settings, required: &[&str]) -> (Ending, String) {
    let history = match History::new(events) {
        Ok(history) => history,
        Err(error) => return (Ending::Harness, format!("the history is broken: {error}\n")),
    };
    let judged = checker::judge(&history, settings, required);
    let mut report = String::new();
    for one in &judged {
        tell(&mut report, one);
    }
    let ending = if checker::passes(&judged, required) {
        Ending::Holds
    } else if judged.iter().any(|one| matches!(one.verdict, Some(Verdict::Violated(_)))) {
        Ending::Violated
    } else {
        Ending::Unknown
    };
    (ending, report)
}

fn tell(report: &mut String, one: &Judged) {
    let name = one.property.name;
    // Writing to a text cannot fail.
    let _ = match &one.verdict {
        None => Ok(()),
        Some(Verdict::Holds) => writeln!(report, "{name}: holds"),
        Some(Verdict::Unknown(why)) => writeln!(report, "{name}: unknown: {why}"),
        Some(Verdict::Violated(all)) => {
            let _ = writeln!(report, "{name}: VIOLATED {} times", all.len());
            all.iter().take(TOLD_MAX).try_for_each(|one| writeln!(report, "  {one:?}"))
        }
    };
}
