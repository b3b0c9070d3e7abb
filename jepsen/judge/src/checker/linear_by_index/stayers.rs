//! Stayers: whoever was there when a limited bind took its place gave way, or found room beside it.

use std::collections::BTreeSet;

use super::Address;
use super::refusals::places;
use crate::facts::{Identity, Life, Lives};
use crate::history::{Bind, Op, Operation, Scope};
use crate::verdict::Violation;

/// Judges each acknowledged bind with a limit: against those born at smaller indexes where its own index
/// is exact, and against those known before it began where it is not.
pub(super) fn check(address: &Address<'_, '_>, lives: &Lives<'_>, violations: &mut Vec<Violation>) {
    let mut exact: Vec<(u64, Limited<'_, '_>)> = Vec::new();
    let mut loose: Vec<(u64, Limited<'_, '_>)> = Vec::new();
    for operation in address.operations.iter().filter(|operation| operation.is_ok()) {
        let Op::Bind(bind) = operation.op() else { continue };
        if bind.policy.is_none_or(|policy| policy.scope == Scope::All) {
            continue;
        }
        match own_birth(address, lives, bind, operation) {
            Some(index) => exact.push((index, Limited { operation, bind, index: Some(index) })),
            None => loose.push((operation.began(), Limited { operation, bind, index: None })),
        }
    }
    exact.sort_by_key(|(index, _)| *index);
    sweep(address, lives, exact, |life| life.born.log_index, violations);
    sweep(address, lives, loose, known, violations);
}

/// An acknowledged bind with a limit.
struct Limited<'f, 'a> {
    operation: &'f Operation<'a>,
    bind: &'f Bind,
    /// Where it took effect, if that is known exactly.
    index: Option<u64>,
}

/// The index at which this very operation gave the connection its route.
fn own_birth(
    address: &Address<'_, '_>,
    lives: &Lives<'_>,
    bind: &Bind,
    operation: &Operation<'_>,
) -> Option<u64> {
    let comet = address.facts.comets.number(&bind.comet);
    let identity = Identity { comet, incarnation: bind.incarnation, conn: bind.conn };
    let exact = lives.place(identity).and_then(|place| lives.all[place].exact)?;
    (Some(exact.log_index) == operation.log_index()).then_some(exact.log_index)
}

/// The event that first proved the connection to be there.
fn known(life: &Life<'_>) -> u64 {
    life.acknowledged.min(life.seen)
}

fn sweep(
    address: &Address<'_, '_>,
    lives: &Lives<'_>,
    binds: Vec<(u64, Limited<'_, '_>)>,
    comes: fn(&Life<'_>) -> u64,
    violations: &mut Vec<Violation>,
) {
    let mut coming: Vec<(u64, usize)> =
        lives.all.iter().enumerate().map(|(at, life)| (comes(life), at)).collect();
    coming.sort_unstable();
    let mut coming = coming.into_iter().peekable();
    let mut living: BTreeSet<usize> = BTreeSet::new();
    for (moment, bind) in binds {
        while let Some((_, at)) = coming.next_if(|(comes, _)| *comes < moment) {
            living.insert(at);
        }
        let mut staying = Vec::new();
        living.retain(|at| {
            let life = &lives.all[*at];
            if bind.must_meet(address, lives, life) {
                staying.push(life);
            }
            !bind.outlives(life)
        });
        violations.extend(bind.crowd(address, &staying));
    }
}

impl Limited<'_, '_> {
    /// Whether a connection that had come certainly competed with the bind and did not give way.
    fn must_meet(&self, address: &Address<'_, '_>, lives: &Lives<'_>, life: &Life<'_>) -> bool {
        let Identity { comet, incarnation, conn } = life.identity;
        let ends = address.facts.ends.earliest(comet, incarnation).unwrap_or(u64::MAX);
        let by_name = match self.index {
            Some(index) if life.removable > index => u64::MAX,
            _ => life.unbinds[0].min(life.evicted),
        };
        let removed = by_name.min(lives.silent_eviction(life)).min(ends);
        let named = self
            .bind
            .losers
            .iter()
            .flatten()
            .any(|loser| Some(loser.seq) == life.seq && loser.conn == conn);
        let policy = self.bind.policy.expect("only binds with a limit are judged");
        !named
            && removed > self.operation.told_by()
            && life.seq < self.bind.seq
            && life.competes(policy, self.bind.platform.as_deref())
    }

    /// Whether a connection is certainly gone, also for every bind after this one.
    fn outlives(&self, life: &Life<'_>) -> bool {
        match self.index {
            Some(index) => life.gone.log_index <= index,
            None => life.seen_gone < self.operation.began(),
        }
    }

    fn crowd(&self, address: &Address<'_, '_>, staying: &[&Life<'_>]) -> Option<Violation> {
        let policy = self.bind.policy?;
        let first = staying.first().filter(|_| staying.len() >= places(policy))?;
        let text = format!(
            "a bind of {} made too few give way: {} and {} others were there, and its policy leaves {} \
             places",
            address.key,
            address.name(first),
            staying.len() - 1,
            places(policy)
        );
        let operation = self.operation;
        Some(Violation::new([known(first), operation.began(), operation.told_by()], text))
    }
}
