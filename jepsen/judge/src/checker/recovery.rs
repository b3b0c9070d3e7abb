//! W7 (etcd's and Jepsen's tests of membership): every shard serves again soon after each heal, and goes on serving
//! while its members change.

use std::collections::{BTreeMap, BTreeSet};

use super::Property;
use crate::facts::standings::CONTROL;
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
/// control shard anything, one is answered within that time, and so is one of those that begin or end a life, which is
/// a write: a lease is renewed without one. After each change of members every shard that was written to answers a
/// write within the same time, unless anything else was broken meanwhile; to the control shard those are such writes.
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
            let told = stood(history, &silent, until);
            violations.push(Violation::new(told.chain([heal.index]), text));
        }
        if !judgeable || until > last {
            continue;
        }
        let is_silent = |of: Of| is_control_silent(history, of, heal.time, bound);
        let what = if is_silent(is_ask) {
            "answered no comet"
        } else if is_silent(is_control_write) {
            "began and ended no life"
        } else {
            continue;
        };
        let text = format!("the control shard {what} within {:?} of the heal", settings.recovery);
        let told = stood(history, &[CONTROL], until);
        violations.push(Violation::new(told.chain([heal.index]), text));
    }
    changes(history, bound, &mut violations);
    if judged == 0 && violations.is_empty() {
        return Verdict::Unknown("no heal was followed by quiet long enough to be judged".into());
    }
    Verdict::of(violations)
}

/// What is asked of the control shard.
type Of = fn(&Op) -> bool;

/// Whether comets asked the control shard so in the first half of the time after a heal, and none was answered in all
/// of it.
fn is_control_silent(history: &History<'_>, of: Of, healed: u64, bound: u64) -> bool {
    let mut asked = false;
    for operation in &history.operations {
        if !of(operation.op()) || operation.invoke.time < healed {
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

/// Whether a comet asks the control shard.
fn is_ask(op: &Op) -> bool {
    matches!(op, Op::KeepAlive(_)) || is_control_write(op)
}

/// Whether that is answered only once it stands in the control shard's log.
pub(super) fn is_control_write(op: &Op) -> bool {
    matches!(op, Op::Attach(_) | Op::Detach(_))
}

/// The events that told last how these shards stood.
fn stood(history: &History<'_>, shards: &[u32], until: u64) -> impl Iterator<Item = u64> {
    let before = history.events.partition_point(|event| event.time <= until);
    let last = |shard: &u32| {
        let of_shard = |event: &&Event| match &event.op {
            Op::Standing(standing) => standing.replicas.iter().any(|held| held.shard == *shard),
            _ => false,
        };
        history.events[..before].iter().rfind(of_shard).map(|event| event.index)
    };
    shards.iter().filter_map(last).collect::<BTreeSet<u64>>().into_iter()
}

/// Faults that change who is a member of what.
const CHANGES: &str = "admin";

/// Faults that nothing that was agreed on depends on.
const HARMLESS: &str = "clock";

fn changes(history: &History<'_>, bound: u64, violations: &mut Vec<Violation>) {
    let shards: BTreeMap<&str, u32> = writes(history)
        .filter(|write| !is_control_write(write.op()))
        .filter_map(|write| Some((write.key()?, write.shard().filter(|_| is_answered(write))?)))
        .collect();
    let last = history.events.last().map_or(0, |event| event.time);
    for (began, until, change) in quiet_changes(history, bound) {
        if until > last {
            continue;
        }
        let (mut tried, mut answered) = (BTreeSet::new(), BTreeSet::new());
        for write in writes(history) {
            let of_key = || write.key().and_then(|key| shards.get(key)).copied();
            let control = is_control_write(write.op()).then_some(CONTROL);
            let Some(shard) = control.or_else(of_key) else { continue };
            // What was asked late may be answered late.
            if (began..began + bound / 2).contains(&write.invoke.time) {
                tried.insert(shard);
            }
            let end = write.end.filter(|_| is_answered(write));
            if end.is_some_and(|end| (began..=until).contains(&end.time)) {
                answered.insert(shard);
            }
        }
        let silent: Vec<u32> = tried.difference(&answered).copied().collect();
        if !silent.is_empty() {
            let text = format!(
                "shards {silent:?} answered no write within {} ms of a change of members",
                bound / 1_000_000
            );
            let told = stood(history, &silent, until);
            violations.push(Violation::new(told.chain([change]), text));
        }
    }
}

fn writes<'h, 'a>(history: &'h History<'a>) -> impl Iterator<Item = &'h Operation<'a>> {
    let is_write = |op: &Op| op.writer().is_some() || is_control_write(op);
    history.operations.iter().filter(move |operation| is_write(&operation.invoke.op))
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
