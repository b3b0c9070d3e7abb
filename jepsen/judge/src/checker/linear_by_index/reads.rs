//! Reads: each shows exactly the routes that live at its index.

use std::collections::BTreeSet;

use super::Address;
use crate::facts::{Identity, Life, Lives, Point};
use crate::history::{Locate, Op, Operation, Route};
use crate::verdict::Violation;

/// Goes through the reads of an address in order of their indexes, with the connections that live there.
pub(super) fn check(
    address: &Address<'_, '_>,
    lives: &mut Lives<'_>,
    violations: &mut Vec<Violation>,
) {
    let mut reads: Vec<(u64, &Operation<'_>, &Locate)> = address
        .operations
        .iter()
        .filter(|operation| operation.is_ok())
        .filter_map(|operation| match operation.op() {
            Op::Locate(locate) => Some((operation.log_index()?, *operation, locate)),
            _ => None,
        })
        .collect();
    reads.sort_by_key(|(index, operation, _)| (*index, operation.told_by()));

    let mut coming: Vec<(u64, usize)> =
        lives.all.iter().enumerate().map(|(at, life)| (life.born.log_index, at)).collect();
    coming.sort_unstable();
    let mut coming = coming.into_iter().peekable();
    let mut living: BTreeSet<usize> = BTreeSet::new();
    for (index, operation, locate) in reads {
        while let Some((_, at)) = coming.next_if(|(born, _)| *born <= index) {
            living.insert(at);
        }
        let at = Point { log_index: index, event: operation.told_by() };
        let routes = locate.routes.as_deref().unwrap_or_default();
        let mut shown = BTreeSet::new();
        for route in routes {
            if let Some(place) = show(address, lives, operation, at, route, violations)
                && !shown.insert(place)
            {
                let text = format!("{} is shown twice", address.name(&lives.all[place]));
                violations.push(Violation::new([at.event], text));
            }
        }
        one_life_each(address, at, routes, violations);
        living.retain(|place| {
            if shown.contains(place) {
                return true;
            }
            let removed = removed(lives, *place, index);
            let life = &mut lives.all[*place];
            if life.gone.log_index > index {
                // From here on the reads agree that it is gone, or it has come back.
                match absent(address, removed, life, operation, at) {
                    Ok(()) => life.gone = at,
                    Err(violation) => violations.push(violation),
                }
            }
            false
        });
    }
}

/// Judges a route that a read shows, and returns its connection.
fn show(
    address: &Address<'_, '_>,
    lives: &Lives<'_>,
    operation: &Operation<'_>,
    at: Point,
    route: &Route,
    violations: &mut Vec<Violation>,
) -> Option<usize> {
    let comet = address.facts.comets.find(&route.comet)?;
    let identity = Identity { comet, incarnation: route.incarnation, conn: route.conn };
    let place = lives.place(identity)?;
    let life = &lives.all[place];
    let mut violated = |events: [u64; 2], text: String| {
        violations.push(Violation::new([events[0], events[1], at.event], text));
    };
    if life.bind.is_none() || life.began > at.event {
        violated(
            [life.began, u64::MAX],
            format!(
                "{} is shown at index {} before any bind of it began",
                address.name(life),
                at.log_index
            ),
        );
    } else if life.seq != Some(route.seq) {
        violated(
            [life.acknowledged, u64::MAX],
            format!("{} is shown with seq {}", address.name(life), route.seq),
        );
    }
    if life.gone.log_index <= at.log_index {
        violated(
            [life.gone.event, u64::MAX],
            format!(
                "{} is shown at index {}, but was gone at index {}",
                address.name(life),
                at.log_index,
                life.gone.log_index
            ),
        );
    }
    let track = address.facts.fences().track(operation.shard(), comet);
    let fence = track.and_then(|track| track.at_least(at.log_index));
    if let Some(fence) = fence.filter(|fence| fence.fence > route.incarnation) {
        violated(
            [fence.event, u64::MAX],
            format!(
                "{} is shown at index {}, but its comet was fenced below {} there",
                address.name(life),
                at.log_index,
                fence.fence
            ),
        );
    }
    Some(place)
}

/// Event from which on something of its address may have removed a connection by an index.
pub(super) fn removed(lives: &Lives<'_>, place: usize, index: u64) -> u64 {
    let life = &lives.all[place];
    let named = if life.removable <= index { life.unbinds[0].min(life.evicted) } else { u64::MAX };
    named.min(lives.silent_eviction(life))
}

/// Judges a connection that was born and that a read does not show.
pub(super) fn absent(
    address: &Address<'_, '_>,
    removed: u64,
    life: &Life<'_>,
    operation: &Operation<'_>,
    at: Point,
) -> Result<(), Violation> {
    let Identity { comet, incarnation, .. } = life.identity;
    let before = operation.told_by();
    if life.shown_last >= at.log_index {
        let text = format!(
            "{} is not shown at index {}, but at index {}",
            address.name(life),
            at.log_index,
            life.shown_last
        );
        return Err(Violation::new([life.acknowledged, life.seen, at.event], text));
    }
    if removed < before {
        return Ok(());
    }
    let track = address.facts.fences().track(operation.shard(), comet);
    let fence = track.and_then(|track| track.at_least(at.log_index));
    if fence.is_some_and(|fence| fence.fence > incarnation) {
        return Ok(());
    }
    let name = address.name(life);
    let may_have_ended =
        address.facts.ends.earliest(comet, incarnation).is_some_and(|event| event < before);
    if !may_have_ended {
        let text = format!(
            "{name} was there at index {} and is not shown at index {}, but nothing removed it",
            life.born.log_index, at.log_index
        );
        return Err(Violation::new([life.acknowledged, life.born.event, at.event], text));
    }
    let allowed = track.and_then(|track| track.at_most_after(at.log_index));
    match allowed.filter(|allowed| allowed.fence <= incarnation) {
        None => Ok(()),
        Some(allowed) => {
            let text = format!(
                "{name} is not shown at index {} as if its comet were fenced, but the comet was not \
                 fenced at index {}",
                at.log_index, allowed.log_index
            );
            Err(Violation::new([life.born.event, at.event, allowed.event], text))
        }
    }
}

/// A read never shows two lives of one comet: the later one raised the fence first.
fn one_life_each(
    address: &Address<'_, '_>,
    at: Point,
    routes: &[Route],
    violations: &mut Vec<Violation>,
) {
    let lives: BTreeSet<(&str, u64)> =
        routes.iter().map(|route| (route.comet.as_str(), route.incarnation)).collect();
    let mut last: Option<(&str, u64)> = None;
    for life in lives {
        if last.is_some_and(|last| last.0 == life.0) {
            let text =
                format!("{} shows two lives of {} at index {}", address.key, life.0, at.log_index);
            violations.push(Violation::new([at.event], text));
        }
        last = Some(life);
    }
}
