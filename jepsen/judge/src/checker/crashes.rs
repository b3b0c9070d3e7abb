//! No process ends by itself, and none panics (the first thing that every fuzzer looks for).

use super::Property;
use crate::history::{Ended, History, Op};
use crate::settings::Settings;
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "crashes",
    source: "no crash, as in AFL and TigerBeetle's VOPR",
    needs: &[],
    check,
    covers: None,
};

/// No process ended by itself, but for those whose end a fault on that very process explains, or its having
/// been removed or superseded; and no task panicked, not even in a process that went on.
pub fn check(history: &History<'_>, _: &Settings) -> Verdict {
    let violations = history.events.iter().filter_map(|event| {
        let text = match &event.op {
            Op::Ended(Ended { name, why, excuse: None }) => {
                format!("{name} ended by itself: {why}")
            }
            Op::Panicked(panicked) => format!("a task panicked: {}", panicked.text),
            _ => return None,
        };
        Some(Violation::new([event.index], text))
    });
    Verdict::of(violations.collect())
}
