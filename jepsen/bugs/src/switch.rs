//! Switch: the one bug that is on in this process.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::OnceLock;

use super::Bug;

/// Names the bug that a real process begins with.
pub const VARIABLE: &str = "ORRERY_SEEDED_BUG";

static ON: OnceLock<Option<Bug>> = OnceLock::new();

/// Turns a bug on for the whole process, for good. Says whether it is on now: whoever asked before keeps the
/// answer that it got.
pub fn turn_on(bug: Bug) -> bool {
    *ON.get_or_init(|| Some(bug)) == Some(bug)
}

/// The bug that is on.
///
/// # Panics
/// When the environment names one that does not exist: a run without it would prove nothing.
pub fn on() -> Option<Bug> {
    *ON.get_or_init(|| {
        let name = std::env::var(VARIABLE).ok()?;
        let bug = Bug::named(&name);
        assert!(bug.is_some(), "{VARIABLE} names no bug: {name}");
        bug
    })
}

/// Whether the product is to have this bug.
pub fn is(bug: Bug) -> bool {
    on() == Some(bug)
}

/// A number of which no two replicas agree.
pub fn chance() -> u64 {
    RandomState::new().hash_one(0_u8)
}
