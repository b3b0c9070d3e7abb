//! A run counts only if something happened (etcd's robustness tests, restate's tail check).

use std::collections::{BTreeMap, BTreeSet};

use super::{Property, digests, recovery};
use crate::history::{FaultOutcome, History, Op, Operation, PhaseName};
use crate::settings::{Gates, Settings};
use crate::verdict::Verdict;

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "validity",
    source: "etcd robustness tests; restate's tail check",
    needs: &[],
    check,
    covers: None,
};

/// The gates hold: the run came to its final phase, every shard acknowledged enough writes and answered enough
/// reads before, during and after the faults, every required fault was installed, every shard served at the end,
/// the control shard too, and had all its replicas compared, the last operations were answered, and the harness did
/// not fail. What does not hold makes the run one of unknown verdict, never one that violates.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    let gates = &settings.gates;
    let mut missing = Vec::new();
    if let Some(text) = harness_failure(history) {
        missing.push(format!("the harness failed: {text}"));
    }
    if !came_to_its_end(history) {
        missing.push("the run never came to its final phase".into());
    }
    faults(history, gates, &mut missing);
    counts(history, gates, &mut missing);
    serving(history, gates, &mut missing);
    control(history, gates, &mut missing);
    tail(history, gates, &mut missing);
    if gates.compared {
        missing.extend(digests::missing(history));
    }
    if missing.is_empty() { Verdict::Holds } else { Verdict::Unknown(missing.join("; ")) }
}

fn harness_failure<'a>(history: &History<'a>) -> Option<&'a str> {
    history.events.iter().find_map(|event| match &event.op {
        Op::HarnessFailure(failure) => Some(failure.text.as_str()),
        _ => None,
    })
}

/// Whether a history that tells of a run's phases tells of the last one: one that was cut between two lines does
/// not.
fn came_to_its_end(history: &History<'_>) -> bool {
    let phases = history.events.iter().filter_map(|event| match &event.op {
        Op::Phase(phase) => Some(phase.name),
        _ => None,
    });
    phases.max().is_none_or(|last| last == PhaseName::Final)
}

fn installed<'a>(history: &History<'a>) -> impl Iterator<Item = (u64, &'a str)> {
    history.events.iter().filter_map(|event| match &event.op {
        Op::Fault(fault) if fault.outcome == Some(FaultOutcome::Installed) => {
            Some((event.index, fault.family.as_str()))
        }
        _ => None,
    })
}

fn last_heal(history: &History<'_>) -> Option<u64> {
    let heals = history.events.iter().filter(|event| matches!(event.op, Op::Heal(_)));
    heals.map(|event| event.index).next_back()
}

fn faults(history: &History<'_>, gates: &Gates, missing: &mut Vec<String>) {
    let families: BTreeSet<&str> = installed(history).map(|(_, family)| family).collect();
    for required in gates.faults.iter().filter(|required| !families.contains(required.as_str())) {
        missing.push(format!("no fault of the family {required} was installed"));
    }
}

/// Where in a run something lies, by its first fault and its last heal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Before,
    During,
    After,
}

/// What each shard did in each part of a run.
#[derive(Debug, Default)]
struct Done {
    writes: BTreeMap<(Part, u32), usize>,
    reads: BTreeMap<(Part, u32), usize>,
}

/// Of all shards together, where none is named.
const ALL: u32 = 0;

fn counts(history: &History<'_>, gates: &Gates, missing: &mut Vec<String>) {
    let first = installed(history).next().map_or(u64::MAX, |(index, _)| index);
    let last = last_heal(history).unwrap_or(if first == u64::MAX { 0 } else { u64::MAX });
    let mut done = Done::default();
    for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
        let part = match operation.told_by() {
            event if event < first => Part::Before,
            event if event < last => Part::During,
            _ => Part::After,
        };
        let shards = operation.shard().filter(|shard| *shard != ALL).into_iter().chain([ALL]);
        let counted = match operation.op() {
            Op::Locate(locate) if !locate.stale => &mut done.reads,
            op if op.writer().is_some() => &mut done.writes,
            _ => continue,
        };
        shards.for_each(|shard| *counted.entry((part, shard)).or_default() += 1);
    }
    let shards = if gates.shards.is_empty() { &[ALL][..] } else { &gates.shards[..] };
    let mut gate = |of: &BTreeMap<(Part, u32), usize>, what: &str, part, least, when: &str| {
        for shard in shards {
            let found = of.get(&(part, *shard)).copied().unwrap_or(0);
            if found < least {
                let whose = match *shard {
                    ALL => String::new(),
                    shard => format!(" of shard {shard}"),
                };
                missing.push(format!("only {found} of {least} {what}{whose} {when}"));
            }
        }
    };
    let (writes, reads) = (&done.writes, &done.reads);
    let (wrote, read) = ("writes were acknowledged", "linearizable reads were answered");
    gate(writes, wrote, Part::Before, gates.writes_before, "before the first fault");
    // A run that neither asks for faults nor has any is judged as a quiet one.
    if first != u64::MAX || !gates.faults.is_empty() {
        gate(writes, wrote, Part::During, gates.writes_during, "during the faults");
        gate(reads, read, Part::During, gates.reads_during, "during the faults");
        gate(writes, wrote, Part::After, gates.writes_after, "after the last heal");
        gate(reads, read, Part::After, gates.reads_after, "after the last heal");
    }
}

/// A lease is renewed without a write: where a comet began or ended a life, one must have been told that it did.
fn control(history: &History<'_>, gates: &Gates, missing: &mut Vec<String>) {
    let healed = last_heal(history).unwrap_or(0);
    let late = history.operations.iter().filter(|operation| operation.began() >= healed);
    let serves = |operation: &Operation<'_>| {
        let asks = matches!(operation.op(), Op::Attach(_) | Op::KeepAlive(_));
        asks && operation.is_ok()
    };
    if gates.control && !late.clone().any(serves) {
        missing.push("the control shard answered no comet after the last heal".into());
    }
    let mut writes = late.filter(|operation| recovery::is_control_write(operation.op())).peekable();
    let answered = |operation: &Operation<'_>| {
        operation.is_ok() || operation.refusal().is_some_and(|refusal| refusal.is_judgement())
    };
    if gates.control && writes.peek().is_some() && !writes.any(answered) {
        missing.push("the control shard began and ended no life after the last heal".into());
    }
}

fn serving(history: &History<'_>, gates: &Gates, missing: &mut Vec<String>) {
    let healed = last_heal(history).unwrap_or(0);
    let late = history.events.iter().filter(|event| event.index >= healed);
    let marked = late.filter_map(|event| match &event.op {
        Op::Serving(serving) => Some(serving.shard),
        _ => None,
    });
    let written = history.operations.iter().filter(|operation| {
        operation.is_ok() && operation.began() >= healed && operation.op().writer().is_some()
    });
    let serving: BTreeSet<u32> =
        marked.chain(written.filter_map(|operation| operation.shard())).collect();
    for shard in gates.shards.iter().filter(|shard| !serving.contains(shard)) {
        missing.push(format!("shard {shard} acknowledged no write after the last heal"));
    }
}

fn tail(history: &History<'_>, gates: &Gates, missing: &mut Vec<String>) {
    let mut ended: Vec<_> = history.operations.iter().filter(|o| o.end.is_some()).collect();
    ended.sort_by_key(|operation| operation.told_by());
    let tail = ended.iter().rev().take(gates.tail);
    let ok = tail
        .filter(|operation| {
            operation.is_ok() || operation.refusal().is_some_and(|r| r.is_judgement())
        })
        .count();
    if ok < gates.tail {
        missing.push(format!("only {ok} of the last {} operations were answered", gates.tail));
    }
}
