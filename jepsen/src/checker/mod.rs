//! Checkers: one property a file, its source in the first line.

pub mod binds_survive;
pub mod seq_rises;
pub mod validity;

use crate::history::Event;

/// What a checker says. Unknown never passes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The property holds in this history.
    Holds,
    /// It does not, and why.
    Violated(Vec<String>),
    /// The history does not allow a verdict, and why.
    Unknown(String),
}

impl Verdict {
    /// What was found wrong, as a verdict.
    pub fn of(violations: Vec<String>) -> Self {
        if violations.is_empty() { Self::Holds } else { Self::Violated(violations) }
    }

    /// Whether a run may pass with it.
    pub fn passes(&self) -> bool {
        *self == Self::Holds
    }
}

/// A property of a history.
pub type Checker = fn(&[Event]) -> Verdict;

/// Every checker with its name.
pub const ALL: &[(&str, Checker)] = &[
    ("validity", validity::check),
    ("binds-survive", binds_survive::check),
    ("seq-rises", seq_rises::check),
];
