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
mod stop;
pub mod sum;

use std::io::Write as _;
use std::path::Path;

use machine::{Ledger, MachineError};

/// Tells a person.
pub(crate) fn say(line: &str) {
    // Whoever closed the pipe does not want to hear it.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Undoes what runs that were killed have left, and tells of it.
fn sweep(ledgers: &Path) -> Result<(), MachineError> {
    for undone in Ledger::sweep(ledgers)? {
        say(&format!("left by a run that was killed, undone: {undone}"));
    }
    Ok(())
}
