//! One process never sees the log go backwards (Jepsen's monotonic reads, per session).

use std::collections::BTreeMap;

use super::Property;
use crate::history::{History, Op};
use crate::settings::Settings;
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "sessions",
    source: "monotonic reads and read your writes, per process and shard",
    needs: &["locate", "read-room", "count", "comet-routes"],
    check,
    covers: None,
};

/// The index of each of a process's answers is not below those before it, shard by shard. Stale reads
/// are exempt: they may be answered by another replica each time.
pub fn check(history: &History<'_>, _: &Settings) -> Verdict {
    let mut violations = Vec::new();
    let mut seen: BTreeMap<(i64, u32), (u64, u64)> = BTreeMap::new();
    for operation in &history.operations {
        let stale = matches!(&operation.invoke.op, Op::Locate(locate) if locate.stale);
        let (Some(shard), Some(index)) = (operation.shard(), operation.log_index()) else {
            continue;
        };
        if stale {
            continue;
        }
        let event = operation.told_by();
        let process = operation.invoke.process;
        let (last, shown_by) = seen.entry((process, shard)).or_insert((index, event));
        if index < *last {
            let text = format!(
                "process {process} saw index {last} of shard {shard}, and then index {index}"
            );
            violations.push(Violation::new([*shown_by, event], text));
        } else {
            (*last, *shown_by) = (index, event);
        }
    }
    Verdict::of(violations)
}
