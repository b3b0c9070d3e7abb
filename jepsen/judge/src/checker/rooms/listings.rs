//! Listings: which comets a room's own shard lists.

use std::collections::{BTreeMap, BTreeSet};

use super::versions::{Versions, Wrong};
use crate::facts::{Comet, Facts};
use crate::history::{History, Op, Operation};
use crate::verdict::Violation;

/// A read at an index, with the comets that it shows.
type Shown<'r, 'a> = (u64, &'r Operation<'a>, &'r [(String, u64)]);

/// Judges every read of a room's comets.
pub(super) fn check(history: &History<'_>, facts: &Facts<'_, '_>, violations: &mut Vec<Violation>) {
    for (room, places) in &facts.by_key {
        let mut listings: BTreeMap<(Comet, u64), Versions> = BTreeMap::new();
        let mut reads: Vec<Shown<'_, '_>> = Vec::new();
        for operation in places.iter().map(|at| &history.operations[*at]) {
            match operation.op() {
                op @ (Op::ListRoom(listing) | Op::UnlistRoom(listing)) => {
                    let Some(comet) = facts.comets.find(&listing.comet) else { continue };
                    let versions = listings.entry((comet, listing.incarnation)).or_default();
                    versions.take(operation, listing.version, matches!(op, Op::ListRoom(_)));
                }
                Op::ReadRoom(read) if operation.is_ok() => {
                    if let (Some(comets), Some(index)) = (&read.comets, operation.log_index()) {
                        reads.push((index, operation, comets));
                    }
                }
                _ => {}
            }
        }
        listings.values_mut().for_each(Versions::close);
        reads.sort_by_key(|(index, operation, _)| (*index, operation.told_by()));
        for (index, operation, comets) in reads {
            let of_read = Read { room, index, operation, facts };
            of_read.judge(comets, &mut listings, violations);
        }
    }
}

struct Read<'r, 'a> {
    room: &'r str,
    index: u64,
    operation: &'r Operation<'a>,
    facts: &'r Facts<'r, 'a>,
}

impl Read<'_, '_> {
    fn judge(
        &self,
        comets: &[(String, u64)],
        listings: &mut BTreeMap<(Comet, u64), Versions>,
        violations: &mut Vec<Violation>,
    ) {
        let event = self.operation.told_by();
        let mut shown: BTreeSet<(Comet, u64)> = BTreeSet::new();
        let mut named: BTreeSet<&str> = BTreeSet::new();
        for (name, incarnation) in comets {
            if !named.insert(name) {
                let text = format!("{} lists {name} twice", self.room);
                violations.push(Violation::new([event], text));
            }
            let comet = self.facts.comets.number(name);
            shown.insert((comet, *incarnation));
            if !listings.contains_key(&(comet, *incarnation)) {
                violations.push(self.wrong(comet, *incarnation, Wrong::Phantom));
            }
        }
        for ((comet, incarnation), versions) in listings {
            let is_shown = shown.contains(&(*comet, *incarnation));
            if !is_shown && self.may_be_fenced(*comet, *incarnation) {
                continue;
            }
            if let Err(wrong) = versions.read(self.index, event, is_shown) {
                violations.push(self.wrong(*comet, *incarnation, wrong));
            }
        }
    }

    fn may_be_fenced(&self, comet: Comet, incarnation: u64) -> bool {
        let track = self.facts.fences().track(self.operation.shard(), comet);
        if track.and_then(|t| t.at_least(self.index)).is_some_and(|f| f.fence > incarnation) {
            return true;
        }
        let ended = self.facts.ends.earliest(comet, incarnation);
        let allowed = track.and_then(|track| track.at_most_after(self.index));
        ended.is_some_and(|event| event < self.operation.told_by())
            && allowed.is_none_or(|allowed| allowed.fence > incarnation)
    }

    fn wrong(&self, comet: Comet, incarnation: u64, wrong: Wrong) -> Violation {
        let name = format!("{}#{incarnation}", self.facts.comets.name(comet));
        let (room, index) = (self.room, self.index);
        let (since, text) = match wrong {
            Wrong::Phantom => (u64::MAX, format!("{room} lists {name}, which was never listed")),
            Wrong::Lost { since } => (since, format!("{room} lost {name} at index {index}")),
            Wrong::CameBack { since } => {
                (since, format!("{room} lists {name} at index {index}, which was taken off"))
            }
        };
        Violation::new([since, self.operation.told_by()], text)
    }
}
