//! Verdict: what a checker says of a history.

use std::fmt;

use crate::limits::VIOLATIONS_MAX;

/// What a checker says. Unknown never passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The property holds in this history.
    Holds,
    /// It does not; at most [`VIOLATIONS_MAX`] are told.
    Violated(Vec<Violation>),
    /// The history allows no verdict, and why.
    Unknown(String),
}

impl Verdict {
    /// What was found wrong, as a verdict.
    pub fn of(mut violations: Vec<Violation>) -> Self {
        if violations.is_empty() {
            return Self::Holds;
        }
        violations.truncate(VIOLATIONS_MAX);
        Self::Violated(violations)
    }

    /// Whether a run may pass with it.
    pub fn passes(&self) -> bool {
        *self == Self::Holds
    }

    /// Whether it shows something wrong.
    pub fn is_violated(&self) -> bool {
        matches!(self, Self::Violated(_))
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Indices of the events that show it, in ascending order.
    pub events: Vec<u64>,
    /// What is wrong with them.
    pub text: String,
}

impl Violation {
    /// Something wrong that these events show.
    pub fn new(events: impl IntoIterator<Item = u64>, text: impl Into<String>) -> Self {
        let mut events: Vec<u64> = events.into_iter().filter(|event| *event != u64::MAX).collect();
        events.sort_unstable();
        events.dedup();
        Self { events, text: text.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "events {:?}: {}", self.events, self.text)
    }
}
