//! A fenced comet never writes, and no lease ends early (Jepsen's lock tests, etcd #11457, #12528, #15247: W6).

use std::collections::BTreeMap;

use super::{Property, instances};
use crate::facts::{Comet, Facts};
use crate::history::{Attach, History, Op, Operation, Refusal};
use crate::settings::Settings;
use crate::verdict::{Verdict, Violation};

/// See [`check`].
pub const PROPERTY: Property = Property {
    name: "leases",
    source: "lock and lease tests of Jepsen and etcd (W6)",
    needs: &["attach", "keep-alive", "bind"],
    check,
    covers: None,
};

/// - Once a shard refused a life as fenced at an index, or admitted a later life there, it admits nothing
///   of that life at a larger index and no read from there on shows it.
/// - Incarnations are given once, and rise over the whole cluster; an attach repeated answers the same.
///   An instance that another one superseded gets no life any more.
/// - A life is answered as ended only with a reason: a later life, its own detach, or a lease that may
///   have run out since the last acknowledged keep-alive. Once so answered it never lives again, nor once a
///   later life was given or its detach acknowledged.
pub fn check(history: &History<'_>, settings: &Settings) -> Verdict {
    let facts = Facts::new(history, settings);
    let mut violations = Vec::new();
    fences(&facts, &mut violations);
    incarnations(history, &mut violations);
    instances::check(history, &mut violations);
    ends(history, &facts, &mut violations);
    Verdict::of(violations)
}

fn fences(facts: &Facts<'_, '_>, violations: &mut Vec<Violation>) {
    for (shard, comet, track) in facts.fences().tracks() {
        for allowed in track.allowed() {
            let by = if allowed.is_read {
                Some(allowed.log_index)
            } else {
                allowed.log_index.checked_sub(1)
            };
            let Some(fence) = by.and_then(|index| track.at_least(index)) else { continue };
            if fence.fence > allowed.fence {
                let text = format!(
                    "shard {shard} {} incarnation {} of {} at index {}, although it was fenced below {}",
                    if allowed.is_read { "showed" } else { "admitted" },
                    allowed.fence,
                    facts.comets.name(comet),
                    allowed.log_index,
                    fence.fence
                );
                violations.push(Violation::new([fence.event, allowed.event], text));
            }
        }
    }
    violations.sort_by(|a, b| a.events.cmp(&b.events));
}

fn incarnations(history: &History<'_>, violations: &mut Vec<Violation>) {
    type Attempt<'a> = (&'a str, &'a str, u64);
    let mut moments: Vec<(u64, bool, usize)> = Vec::new();
    for (at, operation) in history.operations.iter().enumerate() {
        if matches!(operation.op(), Op::Attach(_)) && operation.is_ok() {
            moments.push((operation.began(), true, at));
            moments.push((operation.told_by(), false, at));
        } else if matches!(operation.op(), Op::Attach(_)) {
            moments.push((operation.began(), true, at));
        }
    }
    moments.sort_unstable();
    let mut highest = (0, u64::MAX);
    let mut floors: BTreeMap<Attempt<'_>, (u64, u64)> = BTreeMap::new();
    let mut given: BTreeMap<u64, (Attempt<'_>, u64)> = BTreeMap::new();
    let mut answers: BTreeMap<Attempt<'_>, (u64, u64)> = BTreeMap::new();
    for (event, began, at) in moments {
        let Op::Attach(attach) = history.operations[at].op() else { continue };
        let attempt = (attach.comet.as_str(), attach.instance.as_str(), attach.attempt);
        if began {
            floors.entry(attempt).or_insert(highest);
            continue;
        }
        let Some(incarnation) = attach.incarnation else { continue };
        let mut violated = |other, text| violations.push(Violation::new([other, event], text));
        let (floor, seen) = floors.get(&attempt).copied().unwrap_or((0, u64::MAX));
        if incarnation <= floor {
            let text = format!(
                "{attempt:?} got incarnation {incarnation}, but {floor} was given before it began"
            );
            violated(seen, text);
        }
        let (owner, seen) = *given.entry(incarnation).or_insert((attempt, event));
        if owner != attempt {
            violated(
                seen,
                format!("incarnation {incarnation} was given to {attempt:?} and {owner:?}"),
            );
        }
        let (answer, seen) = *answers.entry(attempt).or_insert((incarnation, event));
        if answer != incarnation {
            violated(
                seen,
                format!("{attempt:?} got incarnation {incarnation}, and {answer} before"),
            );
        }
        if highest.1 == u64::MAX || incarnation > highest.0 {
            highest = (incarnation, event);
        }
    }
}

/// The life that an answer speaks of, and whether it says that it has ended.
fn answered<'a>(operation: &Operation<'a>) -> Option<(&'a str, u64, bool)> {
    let op = operation.op();
    let (comet, incarnation) = match op {
        Op::KeepAlive(life) => (life.comet.as_str(), life.incarnation),
        op => op.writer()?,
    };
    match operation.refusal() {
        Some(Refusal::Fenced { .. } | Refusal::Superseded) => Some((comet, incarnation, true)),
        // Only the control shard knows of lives; a shard may hear of an end later.
        _ if operation.is_ok() && matches!(op, Op::KeepAlive(_)) => {
            Some((comet, incarnation, false))
        }
        _ => None,
    }
}

fn ends(history: &History<'_>, facts: &Facts<'_, '_>, violations: &mut Vec<Violation>) {
    let mut ended: BTreeMap<(Comet, u64), u64> = BTreeMap::new();
    let mut answers: Vec<&Operation<'_>> = history.operations.iter().collect();
    answers.sort_by_key(|operation| operation.told_by());
    for operation in &answers {
        let Some((comet, incarnation, over)) = answered(operation) else { continue };
        let Some(number) = facts.comets.find(comet) else { continue };
        let event = operation.told_by();
        if !over {
            continue;
        }
        ended.entry((number, incarnation)).or_insert(event);
        let superseded = facts.ends.superseded(number, incarnation).is_some_and(|at| at < event);
        // An end that only this refusal tells is none.
        let detached = facts.ends.detached(number, incarnation).is_some_and(|at| at < event);
        if superseded || detached {
            continue;
        }
        match facts.ends.leased_until(number, incarnation) {
            Some(until) if until <= history.time(event) => {}
            Some(until) => {
                let text = format!(
                    "incarnation {incarnation} of {comet} was answered as ended, although its lease ran \
                     for another {} ms at least",
                    (until - history.time(event)) / 1_000_000
                );
                violations.push(Violation::new([operation.began(), event], text));
            }
            None => {
                let text = format!(
                    "incarnation {incarnation} of {comet} was answered as ended, but nothing ended it"
                );
                violations.push(Violation::new([operation.began(), event], text));
            }
        }
    }
    let mut given: BTreeMap<Comet, BTreeMap<u64, u64>> = BTreeMap::new();
    for operation in answers.iter().filter(|operation| operation.is_ok()) {
        let event = operation.told_by();
        match operation.op() {
            Op::Attach(Attach { comet, incarnation: Some(life), .. }) => {
                let lives = given.entry(facts.comets.number(comet)).or_default();
                lives.entry(*life).or_insert(event);
            }
            Op::Detach(life) => {
                let life = (facts.comets.number(&life.comet), life.incarnation);
                let first = ended.entry(life).or_insert(event);
                *first = event.min(*first);
            }
            _ => {}
        }
    }
    for operation in &answers {
        let Some((comet, incarnation, false)) = answered(operation) else { continue };
        let Some(number) = facts.comets.find(comet) else { continue };
        let later = given.get(&number).map(|lives| lives.range(incarnation + 1..));
        let later = later.into_iter().flatten().map(|(_, event)| *event);
        let over = ended.get(&(number, incarnation)).copied().into_iter().chain(later).min();
        if let Some(over) = over.filter(|over| *over < operation.began()) {
            let text = format!("incarnation {incarnation} of {comet} lived on after it had ended");
            violations.push(Violation::new([over, operation.told_by()], text));
        }
    }
}
