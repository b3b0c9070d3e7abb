//! Commands: what the harness does when it is called.

pub mod check;
pub mod kill;
pub mod sim;

use std::io::Write as _;

/// Tells a person.
pub(crate) fn say(line: &str) {
    // Whoever closed the pipe does not want to hear it.
    let _ = writeln!(std::io::stdout(), "{line}");
}
