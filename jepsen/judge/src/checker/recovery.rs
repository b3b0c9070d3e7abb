//! Every shard serves again soon after each heal (etcd's and Jepsen's membership tests: W7).

use std::collections::BTreeSet;

use super::Property;
use crate::history::{FaultOutcome, History, Op};
use crate::settings::{Settings, nanos};
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "recovery",
    source: "availability after each change (W7)",
    needs: &["serving"],
    check,
};

/// After each heal of all faults, every shard acknowledges a write within the recovery time, unless
/// another fault was installed before that time had passed, or the history ended.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    let bound = nanos(settings.recovery);
    let mut shards: BTreeSet<u32> = settings.gates.shards.iter().copied().collect();
    shards.extend(history.events.iter().filter_map(|event| match &event.op {
        Op::Serving(serving) => Some(serving.shard),
        _ => None,
    }));
    let last = history.events.last().map_or(0, |event| event.time);
    let mut violations = Vec::new();
    let mut judged = 0;
    for (at, heal) in history.events.iter().enumerate() {
        if !matches!(&heal.op, Op::Heal(heal) if heal.families.is_empty()) {
            continue;
        }
        let after = &history.events[at..];
        let disturbed = after.iter().find_map(|event| match &event.op {
            Op::Fault(fault) if fault.outcome != Some(FaultOutcome::Skipped) => Some(event.time),
            _ => None,
        });
        let until = heal.time.saturating_add(bound);
        let judgeable = until <= disturbed.unwrap_or(u64::MAX);
        let in_time = after.iter().take_while(|event| event.time <= until);
        let serving: BTreeSet<u32> = in_time
            .filter_map(|event| match &event.op {
                Op::Serving(serving) => Some(serving.shard),
                _ => None,
            })
            .collect();
        let silent: Vec<u32> = shards.difference(&serving).copied().collect();
        if silent.is_empty() {
            judged += 1;
        } else if judgeable && until <= last {
            judged += 1;
            let text = format!(
                "shards {silent:?} acknowledged no write within {:?} of the heal",
                settings.recovery
            );
            violations.push(Violation::new([heal.index], text));
        }
    }
    if judged == 0 {
        return Verdict::Unknown("no heal was followed by quiet long enough to be judged".into());
    }
    Verdict::of(violations)
}
