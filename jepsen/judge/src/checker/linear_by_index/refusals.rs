//! Refusals and empty removals: each had a reason at its index. What was gone is never said to be bound.

use std::collections::BTreeMap;

use super::Address;
use crate::facts::{Identity, Life, Lives};
use crate::history::{Bind, Op, Operation, Policy, Refusal, Scope, Unbind};
use crate::verdict::Violation;

/// Judges binds that were refused as gone or outranked, and what unbinds say that they removed.
pub(super) fn check(address: &Address<'_, '_>, lives: &Lives<'_>, violations: &mut Vec<Violation>) {
    let (room, asked) = (Room::new(lives), Asked::new(address));
    for operation in &address.operations {
        let violation = match (operation.op(), operation.refusal()) {
            (Op::Bind(bind), Some(Refusal::Gone)) => gone(address, lives, operation, bind),
            (Op::Bind(bind), Some(Refusal::Outranked)) => {
                let since = asked.since(address, operation, bind);
                outranked(address, lives, &room, since, operation, bind)
            }
            (Op::Bind(bind), None) if operation.is_ok() => back(address, lives, operation, bind),
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

/// A late copy of a bind whose connection is gone, and that took effect all the same.
fn back(
    address: &Address<'_, '_>,
    lives: &Lives<'_>,
    operation: &Operation<'_>,
    bind: &Bind,
) -> Option<Violation> {
    let life = &lives.all[lives.place(identity(address, bind)?)?];
    let index = operation.log_index()?;
    if life.gone.log_index >= index {
        return None;
    }
    let text = format!(
        "{} was bound at index {index}, but was gone at index {}",
        address.name(life),
        life.gone.log_index
    );
    Some(Violation::new([life.gone.event, operation.began(), operation.told_by()], text))
}

/// When each bind of an address was asked for first.
struct Asked(BTreeMap<Identity, u64>);

impl Asked {
    fn new(address: &Address<'_, '_>) -> Self {
        let mut first = BTreeMap::new();
        // In order of their beginnings.
        for operation in &address.operations {
            if let Op::Bind(bind) = operation.op()
                && let Some(identity) = identity(address, bind)
            {
                first.entry(identity).or_insert(operation.began());
            }
        }
        Self(first)
    }

    /// Where the answer may be a repeat of an earlier one: the event since which that may have been given.
    fn since(
        &self,
        address: &Address<'_, '_>,
        operation: &Operation<'_>,
        bind: &Bind,
    ) -> Option<u64> {
        let first = self.0.get(&identity(address, bind)?)?;
        (*first < operation.began() || !operation.is_exact()).then_some(*first)
    }
}

fn identity(address: &Address<'_, '_>, bind: &Bind) -> Option<Identity> {
    let comet = address.facts.comets.find(&bind.comet)?;
    Some(Identity { comet, incarnation: bind.incarnation, conn: bind.conn })
}

/// How many connections may have been at an address at a time.
struct Room {
    /// Events at which binds began, in order.
    began: Vec<u64>,
    /// Indexes at which connections were certainly gone, in order.
    gone: Vec<u64>,
    /// Events that proved it, in order.
    seen_gone: Vec<u64>,
}

impl Room {
    fn new(lives: &Lives<'_>) -> Self {
        // What was unbound before its bind began never took a place.
        let came = |life: &&Life<'_>| life.bind.is_some() && life.seen_gone > life.began;
        let bound = lives.all.iter().filter(came);
        let (mut began, (mut gone, mut seen_gone)): (Vec<_>, (Vec<_>, Vec<_>)) =
            bound.map(|life| (life.began, (life.gone.log_index, life.seen_gone))).unzip();
        began.sort_unstable();
        gone.sort_unstable();
        seen_gone.sort_unstable();
        Self { began, gone, seen_gone }
    }

    fn taken_at_most(&self, index: u64, before: u64) -> usize {
        let came = self.began.partition_point(|began| *began < before);
        came.saturating_sub(self.gone.partition_point(|gone| *gone < index))
    }

    /// The same for any moment between two events.
    fn taken_at_most_since(&self, since: u64, before: u64) -> usize {
        let came = self.began.partition_point(|began| *began < before);
        came.saturating_sub(self.seen_gone.partition_point(|gone| *gone < since))
    }
}

fn outranked(
    address: &Address<'_, '_>,
    lives: &Lives<'_>,
    room: &Room,
    since: Option<u64>,
    operation: &Operation<'_>,
    bind: &Bind,
) -> Option<Violation> {
    let index = operation.log_index()?;
    let event = operation.told_by();
    // Whoever is refused by the policy is so for good.
    let life = lives.place(identity(address, bind)?).map(|place| &lives.all[place]);
    if let Some(life) = life.filter(|life| life.seq.is_some()) {
        let text = format!("{} was outranked at index {index}, and bound", address.name(life));
        return Some(Violation::new([life.born.event, event], text));
    }
    let Some(policy) = bind.policy.filter(|policy| policy.scope != Scope::All) else {
        let text = format!("a bind of {} without a limit was outranked", address.key);
        return Some(Violation::new([operation.began(), event], text));
    };
    let places = places(policy);
    let taken = match policy.scope {
        Scope::Platform => {
            let rivals = lives.all.iter().filter(|life| {
                let gone = match since {
                    Some(since) => life.seen_gone < since,
                    None => life.gone.log_index < index,
                };
                life.began < event && !gone && life.competes(policy, bind.platform.as_deref())
            });
            rivals.count()
        }
        _ => match since {
            Some(since) => room.taken_at_most_since(since, event),
            None => room.taken_at_most(index, event),
        },
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
