//! Refusals and empty removals: each had a reason at its index.

use super::Address;
use crate::facts::{Identity, Lives};
use crate::history::{Bind, Op, Operation, Policy, Refusal, Scope, Unbind};
use crate::verdict::Violation;

/// Judges binds that were refused as gone or outranked, and what unbinds say that they removed.
pub(super) fn check(address: &Address<'_, '_>, lives: &Lives<'_>, violations: &mut Vec<Violation>) {
    let room = Room::new(lives);
    for operation in &address.operations {
        let violation = match (operation.op(), operation.refusal()) {
            (Op::Bind(bind), Some(Refusal::Gone)) => gone(address, lives, operation, bind),
            (Op::Bind(bind), Some(Refusal::Outranked)) => {
                outranked(address, lives, &room, operation, bind)
            }
            (Op::Unbind(unbind), None) if operation.is_ok() => {
                removed(address, lives, operation, unbind)
            }
            _ => None,
        };
        violations.extend(violation);
    }
}

fn gone(
    address: &Address<'_, '_>,
    lives: &Lives<'_>,
    operation: &Operation<'_>,
    bind: &Bind,
) -> Option<Violation> {
    let comet = address.facts.comets.find(&bind.comet)?;
    let identity = Identity { comet, incarnation: bind.incarnation, conn: bind.conn };
    let before = operation.told_by();
    let life = lives.place(identity).map(|place| &lives.all[place]);
    let removed = life.is_some_and(|life| lives.may_be_removed(life) < before);
    if removed || address.facts.settled.covers(comet, bind.incarnation, bind.conn, before) {
        return None;
    }
    let text = format!(
        "{} refused {}#{} conn {} as gone, but nothing removed or settled it",
        address.key, bind.comet, bind.incarnation, bind.conn
    );
    Some(Violation::new([operation.began(), before], text))
}

/// How many connections may have been at an address at a time.
struct Room {
    /// Events at which binds began, in order.
    began: Vec<u64>,
    /// Indexes at which connections were certainly gone, in order.
    gone: Vec<u64>,
}

impl Room {
    fn new(lives: &Lives<'_>) -> Self {
        let bound = lives.all.iter().filter(|life| life.bind.is_some());
        let (mut began, mut gone): (Vec<_>, Vec<_>) =
            bound.map(|life| (life.began, life.gone.log_index)).unzip();
        began.sort_unstable();
        gone.sort_unstable();
        Self { began, gone }
    }

    fn taken_at_most(&self, index: u64, before: u64) -> usize {
        let came = self.began.partition_point(|began| *began < before);
        came.saturating_sub(self.gone.partition_point(|gone| *gone < index))
    }
}

fn outranked(
    address: &Address<'_, '_>,
    lives: &Lives<'_>,
    room: &Room,
    operation: &Operation<'_>,
    bind: &Bind,
) -> Option<Violation> {
    let index = operation.log_index()?;
    let event = operation.told_by();
    let Some(policy) = bind.policy.filter(|policy| policy.scope != Scope::All) else {
        let text = format!("a bind of {} without a limit was outranked", address.key);
        return Some(Violation::new([operation.began(), event], text));
    };
    let places = places(policy);
    let taken = match policy.scope {
        Scope::Platform => {
            let rivals = lives.all.iter().filter(|life| {
                life.began < event
                    && life.gone.log_index >= index
                    && life.competes(policy, bind.platform.as_deref())
            });
            rivals.count()
        }
        _ => room.taken_at_most(index, event),
    };
    if taken >= places {
        return None;
    }
    let text = format!(
        "a bind of {} was outranked at index {index}, where at most {taken} of {places} places were \
         taken",
        address.key
    );
    Some(Violation::new([operation.began(), event], text))
}

/// How many connections a policy lets stay beside each other in its scope.
pub(super) fn places(policy: Policy) -> usize {
    match policy.scope {
        Scope::Platform => 1,
        _ => policy.n.max(1) as usize,
    }
}

fn removed(
    address: &Address<'_, '_>,
    lives: &Lives<'_>,
    operation: &Operation<'_>,
    unbind: &Unbind,
) -> Option<Violation> {
    let comet = address.facts.comets.find(&unbind.comet)?;
    let identity = Identity { comet, incarnation: unbind.incarnation, conn: unbind.conn };
    let life = &lives.all[lives.place(identity)?];
    let (index, event) = (operation.log_index()?, operation.told_by());
    match unbind.removed {
        Some(true) if life.bind.is_none() || life.began > event => {
            let text = format!("{} was removed before it was bound", address.name(life));
            Some(Violation::new([operation.began(), event], text))
        }
        Some(true) if life.gave_way.log_index < index => {
            let text = format!(
                "{} was removed at index {index}, but had given way at index {}",
                address.name(life),
                life.gave_way.log_index
            );
            Some(Violation::new([life.gave_way.event, event], text))
        }
        Some(false) => {
            // A repeat of this very unbind finds what its first attempt left, which says `removed` too,
            // unless the conn was settled meanwhile.
            let settled =
                address.facts.settled.covers(comet, unbind.incarnation, unbind.conn, event);
            let excused = settled
                || life.unbinds[1] < event
                || life.evicted < event
                || lives.silent_eviction(life) < event;
            if life.born.log_index >= index || excused {
                return None;
            }
            let text = format!(
                "an unbind found no {} at index {index}, but it was there at index {} and nothing else \
                 removed it",
                address.name(life),
                life.born.log_index
            );
            Some(Violation::new([life.acknowledged, life.born.event, event], text))
        }
        _ => None,
    }
}
