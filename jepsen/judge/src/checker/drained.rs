//! Drained: a node that is to lead nothing stops leading, soon, where another one can lead instead.

use std::collections::BTreeMap;

use super::membership::{agree, is_as_placed};
use crate::facts::looks::{Look, looks};
use crate::facts::standings::placed;
use crate::history::{FaultOutcome, History, Op, PhaseName, Replica};
use crate::settings::{Settings, nanos};
use crate::verdict::Violation;

/// Faults that nothing which was agreed on depends on.
const HARMLESS: &str = "clock";

/// Faults that are over when they are done, but for a drain.
const CHANGES: &str = "admin";

/// Entries by which another replica may be behind: those of a moment.
const BEHIND_MAX: u64 = 100;

/// A leadership of a node that is drained: its term, and when it was seen first, by which event.
#[derive(Clone, Copy)]
struct Held {
    term: u64,
    since: u64,
    event: u64,
}

/// At looks that are further apart than the time to recover no drained node still leads a shard in the same term, if all
/// the while nothing else was broken or mended, its members were as they should be, and another voter that is active
/// had what it takes. Only in the main phase: later a fault may stay of which it is said that all are over.
pub(super) fn check(history: &History<'_>, settings: &Settings, violations: &mut Vec<Violation>) {
    let bound = nanos(settings.recovery);
    let quiet = Quiet::new(history);
    let mut held: BTreeMap<(u64, u32), Held> = BTreeMap::new();
    for look in looks(history) {
        let last = look.values().map(|(event, _)| event.index).max().unwrap_or_default();
        let before = std::mem::take(&mut held);
        let Some(quiet_since) = quiet.since(last) else { continue };
        for (led, now) in misled(&look) {
            let goes_on = |held: &&Held| held.term == now.term && held.since >= quiet_since;
            let Some(first) = before.get(&led).filter(goes_on) else {
                held.insert(led, now);
                continue;
            };
            if now.since > first.since.saturating_add(bound) {
                let ((node, shard), ms) = (led, (now.since - first.since) / 1_000_000);
                let text = format!(
                    "node {node} is drained and led shard {shard} for {ms} ms, although another could"
                );
                violations.push(Violation::new([first.event, now.event], text));
            } else {
                held.insert(led, *first);
            }
        }
    }
}

/// The shards that drained nodes lead and others could, by node and shard; none where the nodes do not agree on the
/// cluster.
fn misled(look: &Look<'_>) -> BTreeMap<(u64, u32), Held> {
    let mut misled = BTreeMap::new();
    for (node, (event, own)) in look {
        let is = |node: u64, state: &str| own.nodes.contains(&(node, state.to_owned()));
        if !is(*node, "draining") || !look.values().all(|(_, other)| agree(own, other)) {
            continue;
        }
        for replica in &own.replicas {
            let Some(term) = replica.leads else { continue };
            let could = |other: &u64| {
                other != node && is(*other, "active") && keeps_up(look, *other, replica)
            };
            if is_as_placed(replica, own) && placed(own, replica.shard).iter().any(could) {
                let held = Held { term, since: event.time, event: event.index };
                misled.insert((*node, replica.shard), held);
            }
        }
    }
    misled
}

/// Whether a node has what the leader's replica knows to be committed, all but the last of it.
fn keeps_up(look: &Look<'_>, node: u64, leader: &Replica) -> bool {
    let replicas = look.get(&node).map_or(&[][..], |(_, standing)| &standing.replicas);
    let own = replicas.iter().find(|replica| replica.shard == leader.shard);
    let last = own.and_then(|replica| replica.last);
    last.zip(leader.committed).is_some_and(|(last, committed)| last + BEHIND_MAX >= committed)
}

/// When something was broken or mended, and whether anything but members is broken from then on.
struct Quiet(Vec<(u64, u64, bool)>);

impl Quiet {
    fn new(history: &History<'_>) -> Self {
        let mut changes = Vec::new();
        let mut broken: BTreeMap<&str, usize> = BTreeMap::new();
        let mut is_main = false;
        for event in history.events {
            let mut under_way = false;
            match &event.op {
                Op::Phase(phase) => is_main = phase.name == PhaseName::Main,
                Op::Fault(fault) if fault.family == HARMLESS => continue,
                Op::Fault(fault) => match fault.outcome {
                    None => under_way = true,
                    Some(FaultOutcome::Skipped) => {}
                    Some(_) if fault.family == CHANGES => {}
                    Some(_) => *broken.entry(&fault.family).or_default() += 1,
                },
                Op::Heal(heal) if heal.families.is_empty() => broken.clear(),
                // What is over when it is done is never healed: it counts until everything is.
                Op::Heal(heal) => {
                    for family in &heal.families {
                        if let Some(many) = broken.get_mut(family.as_str()) {
                            *many = many.saturating_sub(1);
                        }
                    }
                }
                _ => continue,
            }
            let is_quiet = is_main && !under_way && broken.values().all(|many| *many == 0);
            changes.push((event.index, event.time, is_quiet));
        }
        Self(changes)
    }

    /// Since when it has been quiet at an event, if it is.
    fn since(&self, event: u64) -> Option<u64> {
        let before = self.0.partition_point(|(index, ..)| *index < event);
        let (_, time, is_quiet) = self.0.get(before.checked_sub(1)?)?;
        is_quiet.then_some(*time)
    }
}
