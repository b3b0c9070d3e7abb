//! No join is lost, no leave comes back, no member was never there (Jepsen's set-full, linearizable: W3).

mod listings;
mod members;
mod versions;

pub(super) use self::versions::Versions;
use super::Property;
use crate::facts::Facts;
use crate::history::{History, Op};
use crate::settings::Settings;
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "rooms",
    source: "Jepsen set-full, linearizable (W3)",
    needs: &["set-rooms", "list-room", "unlist-room", "read-room"],
    check,
    covers: None,
};

/// By log index: what a read of a room shows is explained, comet by comet and member by member, by one of
/// its versions: the newest acknowledged by that index, or a newer one that may have been in effect; and
/// versions never go backwards from one read to a later one. A comet that is fenced, a connection that is
/// gone, is not shown.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    let reads = history.operations.iter().filter(|operation| {
        operation.is_ok()
            && operation.log_index().is_some()
            && matches!(operation.op(), Op::ReadRoom(_))
    });
    if reads.count() == 0 {
        return Verdict::Unknown("no room was read at a log index".into());
    }
    let facts = Facts::new(history, settings);
    let mut violations: Vec<Violation> = Vec::new();
    listings::check(history, &facts, &mut violations);
    members::check(history, &facts, &mut violations);
    Verdict::of(violations)
}
