//! Policies: a bind makes exactly those give way whom its policy names, and no read shows too many.

use super::Address;
use super::refusals::places;
use crate::facts::{Identity, Life, Lives};
use crate::history::{Bind, Keep, Op, Operation, Policy, Route, Scope};
use crate::verdict::Violation;

/// Judges the losers of each bind, and what each read shows of a limited address.
pub(super) fn check(address: &Address<'_, '_>, lives: &Lives<'_>, violations: &mut Vec<Violation>) {
    let reads = reads(address);
    for operation in address.operations.iter().filter(|operation| operation.is_ok()) {
        if let Op::Bind(bind) = operation.op() {
            losers(address, lives, operation, bind, &reads, violations);
        }
    }
    for (index, operation, routes) in &reads {
        crowd(address, lives, *index, operation, routes, violations);
    }
}

type Read<'a> = (u64, &'a Operation<'a>, &'a [Route]);

fn reads<'f>(address: &Address<'_, 'f>) -> Vec<Read<'f>> {
    let mut reads: Vec<Read<'f>> = Vec::new();
    for operation in address.operations.iter().filter(|operation| operation.is_ok()) {
        if let (Op::Locate(locate), Some(index)) = (operation.op(), operation.log_index()) {
            reads.push((index, operation, locate.routes.as_deref().unwrap_or_default()));
        }
    }
    reads.sort_by_key(|(index, ..)| *index);
    reads
}

fn find<'l, 'a>(
    address: &Address<'a, '_>,
    lives: &'l Lives<'a>,
    route: &Route,
) -> Option<&'l Life<'a>> {
    let comet = address.facts.comets.find(&route.comet)?;
    let identity = Identity { comet, incarnation: route.incarnation, conn: route.conn };
    lives.place(identity).map(|place| &lives.all[place])
}

fn losers(
    address: &Address<'_, '_>,
    lives: &Lives<'_>,
    operation: &Operation<'_>,
    bind: &Bind,
    reads: &[Read<'_>],
    violations: &mut Vec<Violation>,
) {
    let losers = bind.losers.as_deref().unwrap_or_default();
    if losers.is_empty() {
        return;
    }
    let (key, event) = (address.key, operation.told_by());
    let mut violated = |other: u64, text: String| {
        violations.push(Violation::new([other, event], text));
    };
    let Some(policy) = bind.policy.filter(|policy| policy.scope != Scope::All) else {
        violated(u64::MAX, format!("a bind of {key} without a limit made others give way"));
        return;
    };
    let plain = bind.rank.is_none() && bind.primary.is_none();
    if policy.keep == Keep::Oldest && plain {
        violated(u64::MAX, format!("a bind of {key} that keeps the oldest made others give way"));
    }
    let mut first_began = operation.began();
    let mut strongest = 0;
    for loser in losers {
        if bind.seq.is_some_and(|seq| loser.seq >= seq) {
            violated(u64::MAX, format!("seq {} of {key} gave way to an older one", loser.seq));
        }
        let Some(life) = find(address, lives, loser) else { continue };
        strongest = strongest.max(life.standing());
        if life.bind.is_none() || life.began > event {
            violated(life.began, format!("{} gave way before it was bound", address.name(life)));
        }
        if !life.competes(policy, bind.platform.as_deref()) {
            let name = address.name(life);
            violated(life.acknowledged, format!("{name} gave way to another platform"));
        }
        if let Some(comet) = address.facts.comets.find(&bind.comet) {
            let identity = Identity { comet, incarnation: bind.incarnation, conn: bind.conn };
            let own = lives.place(identity).map(|place| lives.all[place].began);
            first_began = first_began.min(own.unwrap_or(u64::MAX));
        }
        if let Some(unbound) = unbound_before(address, life, first_began) {
            let name = address.name(life);
            violated(unbound, format!("{name} gave way after it was unbound"));
        }
    }
    choice(address, lives, operation, bind, policy, strongest, reads, violations);
}

/// The event of an acknowledged unbind of a connection that ended before an event.
fn unbound_before(address: &Address<'_, '_>, life: &Life<'_>, before: u64) -> Option<u64> {
    if life.unbinds[0] >= before {
        return None;
    }
    let comet = address.facts.comets.name(life.identity.comet);
    let unbinds = address.operations.iter().filter(|operation| {
        operation.is_ok()
            && operation.told_by() < before
            && matches!(operation.op(), Op::Unbind(unbind) if unbind.comet == comet
                && unbind.incarnation == life.identity.incarnation
                && unbind.conn == life.identity.conn)
    });
    unbinds.map(|unbind| unbind.told_by()).next()
}

/// On a primary address where the newest win, whoever stays is newer than whoever gave way.
#[expect(clippy::too_many_arguments, reason = "one bind with all that judges it")]
fn choice(
    address: &Address<'_, '_>,
    lives: &Lives<'_>,
    operation: &Operation<'_>,
    bind: &Bind,
    policy: Policy,
    strongest: u64,
    reads: &[Read<'_>],
    violations: &mut Vec<Violation>,
) {
    let Some(index) = operation.log_index() else { return };
    if policy.keep == Keep::Oldest || bind.primary.is_some() {
        return;
    }
    let next = reads.partition_point(|(read, ..)| *read < index);
    let Some((_, read, routes)) = reads.get(next) else { return };
    for route in routes.iter().filter(|route| bind.seq.is_some_and(|seq| route.seq < seq)) {
        let Some(life) = find(address, lives, route) else { continue };
        let primary = life.bind.is_some_and(|bind| bind.primary.is_some());
        if !primary
            && life.competes(policy, bind.platform.as_deref())
            && life.standing() < strongest
        {
            let text =
                format!("{} stayed although a newer connection gave way", address.name(life));
            violations.push(Violation::new([operation.told_by(), read.told_by()], text));
        }
    }
}

/// Among the connections that a read shows, each found room beside the older ones when it was bound.
fn crowd(
    address: &Address<'_, '_>,
    lives: &Lives<'_>,
    index: u64,
    operation: &Operation<'_>,
    routes: &[Route],
    violations: &mut Vec<Violation>,
) {
    for route in routes {
        let Some(life) = find(address, lives, route) else { continue };
        let Some(bind) = life.bind else { continue };
        let Some(policy) = bind.policy.filter(|policy| policy.scope != Scope::All) else {
            continue;
        };
        let places = places(policy);
        let beside = routes.iter().filter(|other| {
            other.seq <= route.seq
                && find(address, lives, other)
                    .is_some_and(|other| other.competes(policy, bind.platform.as_deref()))
        });
        let count = beside.count();
        if count > places {
            let text = format!(
                "{} stands beside {} others at index {index}, but its policy leaves {places} places",
                address.name(life),
                count - 1
            );
            violations.push(Violation::new([life.acknowledged, operation.told_by()], text));
            return;
        }
    }
}
