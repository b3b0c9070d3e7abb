//! Real time: an answer that was seen before another operation began has no larger index, and a smaller
//! one where that is a write, which needs an entry of its own time.

use std::collections::BTreeMap;

use crate::history::{History, Op};
use crate::verdict::Violation;

/// Compares the indexes of each shard with the order in which its operations began and ended.
pub(super) fn check(history: &History<'_>, violations: &mut Vec<Violation>) {
    let mut moments: Vec<(u64, bool, usize)> = Vec::new();
    for (at, operation) in history.operations.iter().enumerate() {
        let stale = matches!(&operation.invoke.op, Op::Locate(locate) if locate.stale);
        if operation.shard().is_some() && operation.log_index().is_some() && !stale {
            moments.push((operation.began(), true, at));
            moments.push((operation.told_by(), false, at));
        }
    }
    moments.sort_unstable();
    // For each shard, the largest index seen so far and the event that showed it.
    let mut seen: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut floors: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
    for (event, began, at) in moments {
        let operation = &history.operations[at];
        let (Some(shard), Some(index)) = (operation.shard(), operation.log_index()) else {
            continue;
        };
        let largest = seen.entry(shard).or_default();
        if began {
            floors.insert(at, *largest);
            continue;
        }
        let (floor, shown_by) = floors.remove(&at).unwrap_or_default();
        let is_write = operation.op().writer().is_some();
        if index < floor || (is_write && index == floor) {
            let text = format!(
                "{} in shard {shard} was answered at index {index}, but index {floor} had been seen \
                 before it began",
                operation.op().name()
            );
            violations.push(Violation::new([shown_by, operation.began(), event], text));
        }
        *largest = (*largest).max((index, event));
    }
}
