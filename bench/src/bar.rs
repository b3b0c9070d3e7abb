//! Bar: a figure that should be reached.

use std::fmt;

use serde::Serialize;

/// A figure that should be reached.
#[derive(Debug, PartialEq, Serialize)]
pub struct Bar {
    /// Of what.
    pub what: &'static str,
    /// What is asked for, in words.
    pub asked: String,
    /// What was measured, in words.
    pub measured: String,
    /// Whether it was reached.
    pub reached: bool,
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.reached { "bar reached" } else { "BAR MISSED " };
        write!(f, "{word}  {}: {} (asked: {})", self.what, self.measured, self.asked)
    }
}
