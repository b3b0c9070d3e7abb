//! A seq is never reused and rises per user (unique-ids and monotonic of Jepsen, applied to binds).

use std::collections::BTreeMap;

use super::Verdict;
use crate::history::{Event, Op, Phase};

/// A bind that ended before another of the same user began has the smaller seq, and no two connections
/// of a user ever have the same.
pub fn check(events: &[Event]) -> Verdict {
    let mut violations = Vec::new();
    let mut owners: BTreeMap<(&str, u64), (i64, u64)> = BTreeMap::new();
    let mut highest: BTreeMap<&str, u64> = BTreeMap::new();
    let mut floor_at_invoke: BTreeMap<i64, u64> = BTreeMap::new();
    for event in events {
        let Op::Bind { key, conn, seq } = &event.op else { continue };
        match (event.phase, seq) {
            (Phase::Invoke, _) => {
                let floor = highest.get(key.as_str()).copied().unwrap_or(0);
                // A repeat of an unknown bind keeps the floor of its first invocation.
                floor_at_invoke.entry(event.process).or_insert(floor);
            }
            (Phase::Ok, Some(seq)) => {
                let floor = floor_at_invoke.remove(&event.process).unwrap_or(0);
                if *seq <= floor {
                    violations.push(format!(
                        "event {}: {key} got seq {seq}, but {floor} was given before it began",
                        event.index
                    ));
                }
                let owner = (event.process, *conn);
                let first = *owners.entry((key, *seq)).or_insert(owner);
                if first != owner {
                    violations.push(format!(
                        "event {}: seq {seq} of {key} given to {owner:?} and to {first:?}",
                        event.index
                    ));
                }
                let top = highest.entry(key).or_default();
                *top = (*top).max(*seq);
            }
            (Phase::Ok, None) => {
                violations.push(format!("event {}: a bind ended ok without a seq", event.index));
            }
            (Phase::Fail, _) => {
                floor_at_invoke.remove(&event.process);
            }
            (Phase::Info, _) => {}
        }
    }
    Verdict::of(violations)
}
