//! Commands: what the harness does when it is called.

pub mod bars;
pub mod check;
mod child;
pub mod doctor;
pub mod kill;
pub mod mutate;
pub mod process;
pub mod report;
pub mod seeded;
mod seeds;
pub mod shrink;
pub mod sim;
pub mod sum;

use std::io::Write as _;

/// Tells a person.
pub(crate) fn say(line: &str) {
    // Whoever closed the pipe does not want to hear it.
    let _ = writeln!(std::io::stdout(), "{line}");
}
