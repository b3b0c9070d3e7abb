//! W7 (etcd's and Jepsen's tests of membership): every shard serves again soon after each heal, and goes on serving
//! while its members change.

use std::collections::{BTreeMap, BTreeSet};

use super::Property;
use crate::history::{Event, FaultOutcome, History, Kind, Op, Operation};
use crate::settings::{Settings, nanos};
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "recovery",
    source: "availability after each change (W7)",
    needs: &["serving"],
    check,
    covers: None,
};

/// After each heal of all faults, every shard acknowledges a write within the recovery time, unless
/// another fault was installed before that time had passed, or the history ended; and of the comets that ask the
/// control shard for a life, or to go on with theirs, one is answered within that time. After each change of
/// members every shard that was written to answers a write within the same time, unless anything else was
/// broken meanwhile.
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
        if judgeable && until <= last && is_control_silent(history, heal.time, bound) {
            let text = format!(
                "the control shard answered no comet within {:?} of the heal",
                settings.recovery
            );
            violations.push(Violation::new([heal.index], text));
        }
    }
    changes(history, bound, &mut violations);
    if judged == 0 && violations.is_empty() {
        return Verdict::Unknown("no heal was followed by quiet long enough to be judged".into());
    }
    Verdict::of(violations)
}

/// Whether comets asked the control shard in the first half of the time after a heal, and none was answered in
/// all of it.
fn is_control_silent(history: &History<'_>, healed: u64, bound: u64) -> bool {
    let mut asked = false;
    for operation in &history.operations {
        let is_ask = matches!(operation.op(), Op::Attach(_) | Op::KeepAlive(_));
        if !is_ask || operation.invoke.time < healed {
            continue;
        }
        // Whoever asked late, and was answered in time, was answered.
        if is_answered(operation) && operation.end.is_some_and(|end| end.time <= healed + bound) {
            return false;
        }
        asked |= operation.invoke.time < healed + bound / 2;
    }
    asked
}

/// Faults that change who is a member of what.
const CHANGES: &str = "admin";

/// Faults that nothing that was agreed on depends on.
const HARMLESS: &str = "clock";

fn changes(history: &History<'_>, bound: u64, violations: &mut Vec<Violation>) {
    let shards: BTreeMap<&str, u32> = writes(history)
        .filter_map(|write| Some((write.key()?, write.shard().filter(|_| is_answered(write))?)))
        .collect();
    let last = history.events.last().map_or(0, |event| event.time);
    for (began, until, change) in quiet_changes(history, bound) {
        if until > last {
            continue;
        }
        let (mut tried, mut answered) = (BTreeSet::new(), BTreeSet::new());
        for write in writes(history) {
            let Some(shard) = write.key().and_then(|key| shards.get(key)) else { continue };
            // What was asked late may be answered late.
            if (began..began + bound / 2).contains(&write.invoke.time) {
                tried.insert(*shard);
            }
            let end = write.end.filter(|_| is_answered(write));
            if end.is_some_and(|end| (began..=until).contains(&end.time)) {
                answered.insert(*shard);
            }
        }
        let silent: Vec<u32> = tried.difference(&answered).copied().collect();
        if !silent.is_empty() {
            let text = format!(
                "shards {silent:?} answered no write within {} ms of a change of members",
                bound / 1_000_000
            );
            violations.push(Violation::new([change], text));
        }
    }
}

fn writes<'h, 'a>(history: &'h History<'a>) -> impl Iterator<Item = &'h Operation<'a>> {
    history.operations.iter().filter(|operation| operation.invoke.op.writer().is_some())
}

/// Whether the shard said anything to it.
fn is_answered(write: &Operation<'_>) -> bool {
    let judged = write.refusal().is_some_and(|refusal| refusal.is_judgement());
    write.kind() == Kind::Ok || judged
}

/// The changes of members during and after which nothing else was broken for long enough, each with when it
/// began and ended to count, and its event.
fn quiet_changes(history: &History<'_>, bound: u64) -> Vec<(u64, u64, u64)> {
    let mut broken: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<(u64, u64)> = Vec::new();
    let mut quiet = Vec::new();
    let mut end = |open: &mut Vec<(u64, u64)>, now: u64| {
        let over = |(at, _): &&(u64, u64)| at.saturating_add(bound) <= now;
        quiet.extend(open.iter().filter(over).map(|(at, event)| (*at, at + bound, *event)));
        open.clear();
    };
    for Event { op, time, index, .. } in history.events {
        match op {
            Op::Fault(fault) if fault.outcome.is_none_or(|o| o == FaultOutcome::Skipped) => {}
            Op::Fault(fault) if fault.family == CHANGES => {
                let counts = broken.is_empty() && fault.outcome == Some(FaultOutcome::Installed);
                open.extend(counts.then_some((*time, *index)));
            }
            Op::Fault(fault) if fault.family != HARMLESS => {
                end(&mut open, *time);
                broken.insert(&fault.family);
            }
            Op::Heal(heal) if heal.families.is_empty() => broken.clear(),
            Op::Heal(heal) => {
                heal.families.iter().for_each(|family| _ = broken.remove(family.as_str()));
            }
            _ => {}
        }
    }
    end(&mut open, u64::MAX);
    quiet
}
