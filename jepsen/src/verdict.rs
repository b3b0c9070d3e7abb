//! Verdict: judges a run's history and says so to people.

use std::fmt::Write as _;
use std::time::Duration;

use judge::checker::{self, Judged};
use judge::history::{Event, History, Op, PairError};
use judge::settings::{Gates, Settings};
use judge::verdict::Verdict;
use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// Violations that are told of each property.
const TOLD_MAX: usize = 5;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
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

    /// What this word tells; a word that is none tells of a harness that failed.
    pub fn of_word(word: &str) -> Self {
        let all = [Self::Holds, Self::Violated, Self::Unknown];
        all.into_iter().find(|ending| ending.word() == word).unwrap_or(Self::Harness)
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

/// What a run's checkers must know of its plan; families of faults of which one must have been installed.
pub fn settings(plan: &Plan, faults: Vec<String>) -> Settings {
    let shards = (1..=plan.swarm.shards).collect();
    Settings {
        lease: Duration::from_millis(plan.swarm.lease_ms),
        silence: plan.swarm.edge.silence(),
        gates: Gates { faults, shards, control: true, compared: true, ..Gates::default() },
        ..Settings::default()
    }
}

/// Judges a history; how it ended, and the report.
pub fn judge(events: &[Event], settings: &Settings, required: &[&str]) -> (Ending, String) {
    match judged(events, settings, required) {
        Ok(judged) => (ending(events, &judged, required), told(&judged)),
        Err(error) => (Ending::Harness, format!("the history is broken: {error}\n")),
    }
}

/// What every property says of a history.
///
/// # Errors
/// When its events do not pair: the harness that wrote them is broken.
pub fn judged(
    events: &[Event],
    settings: &Settings,
    required: &[&str],
) -> Result<Vec<Judged>, PairError> {
    Ok(checker::judge(&History::new(events)?, settings, required))
}

/// What that comes to. A harness that failed still may have seen a violation, and nothing else of it counts.
pub fn ending(events: &[Event], judged: &[Judged], required: &[&str]) -> Ending {
    if judged.iter().any(|one| matches!(one.verdict, Some(Verdict::Violated(_)))) {
        Ending::Violated
    } else if events.iter().any(|event| matches!(event.op, Op::HarnessFailure(_))) {
        Ending::Harness
    } else if checker::passes(judged, required) {
        Ending::Holds
    } else {
        Ending::Unknown
    }
}

/// The same for people, a line for each property.
pub fn told(judged: &[Judged]) -> String {
    let mut report = String::new();
    for one in judged {
        tell(&mut report, one);
    }
    report
}

fn tell(report: &mut String, one: &Judged) {
    let name = one.property.name;
    // Writing to a text cannot fail.
    let _ = match &one.verdict {
        None => Ok(()),
        Some(Verdict::Holds) => match &one.share {
            None => writeln!(report, "{name}: holds"),
            Some(share) => writeln!(report, "{name}: holds ({share})"),
        },
        Some(Verdict::Unknown(why)) => writeln!(report, "{name}: unknown: {why}"),
        Some(Verdict::Violated(all)) => {
            let _ = writeln!(report, "{name}: VIOLATED {} times", all.len());
            all.iter().take(TOLD_MAX).try_for_each(|one| writeln!(report, "  {one}"))
        }
    };
}

#[cfg(test)]
mod tests {
    use judge::history::{HarnessFailure, Kind, NEMESIS, Panicked};

    use super::*;

    #[test]
    fn a_harness_that_failed_gives_no_verdict_but_a_violation() {
        let of = |ops: &[Op]| {
            let event = |(at, op): (usize, &Op)| {
                Event::new(at as u64, at as u64, NEMESIS, Kind::Info, op.clone())
            };
            let events: Vec<Event> = ops.iter().enumerate().map(event).collect();
            judge(&events, &Settings::default(), &[]).0
        };
        let failed = Op::HarnessFailure(HarnessFailure { text: "no disk".to_owned() });
        let panicked = Op::Panicked(Panicked { text: "index 9".to_owned() });
        assert_eq!(of(&[]), Ending::Unknown);
        assert_eq!(of(std::slice::from_ref(&failed)), Ending::Harness);
        assert_eq!(of(&[failed, panicked]), Ending::Violated);
    }
}
