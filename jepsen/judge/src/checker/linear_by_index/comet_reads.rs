//! Comet reads: each shows exactly the routes of a comet's life that live in the shard at its index. So when a life
//! ends, all its connections go at one index: none is half gone, and none comes back.

use std::collections::{BTreeMap, BTreeSet};

use super::Address;
use super::reads::{absent, removed};
use crate::facts::{Comet, Facts, Lives, Point};
use crate::history::{History, Member, Op, Operation};
use crate::verdict::Violation;

/// An answered read by its index, with what it shows.
type Read<'h, 'a> = (u64, &'h Operation<'a>, &'a [Member]);

/// All reads of comets' lives, by shard and life, in order of their indexes.
pub(super) struct CometReads<'h, 'a>(BTreeMap<(u32, Comet, u64), Vec<Read<'h, 'a>>>);

impl<'h, 'a> CometReads<'h, 'a> {
    pub(super) fn new(history: &'h History<'a>, facts: &Facts<'_, '_>) -> Self {
        let mut all: BTreeMap<_, Vec<Read<'h, 'a>>> = BTreeMap::new();
        for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
            let Op::CometRoutes(read) = operation.op() else { continue };
            let (Some(shard), Some(index)) = (operation.shard(), operation.log_index()) else {
                continue;
            };
            let life = (shard, facts.comets.number(&read.comet), read.incarnation);
            let routes = read.routes.as_deref().unwrap_or_default();
            all.entry(life).or_default().push((index, operation, routes));
        }
        let by_index = |read: &Read<'_, '_>| (read.0, read.1.told_by());
        all.values_mut().for_each(|reads| reads.sort_by_key(by_index));
        Self(all)
    }

    /// Judges what they show of one address, whose own reads are judged afterwards: what is gone here is gone there.
    pub(super) fn check(
        &self,
        address: &Address<'_, '_>,
        lives: &mut Lives<'_>,
        violations: &mut Vec<Violation>,
    ) {
        let Some(shard) = address.facts.shard(&address.operations) else { return };
        let mut places: BTreeMap<(Comet, u64), Vec<usize>> = BTreeMap::new();
        for (place, life) in lives.all.iter().enumerate() {
            let of = (life.identity.comet, life.identity.incarnation);
            places.entry(of).or_default().push(place);
        }
        for ((comet, incarnation), places) in places {
            for read in self.0.get(&(shard, comet, incarnation)).into_iter().flatten() {
                one(address, lives, &places, *read, violations);
            }
        }
    }
}

/// Judges what one read shows of an address. The places are those of the life's connections there.
fn one(
    address: &Address<'_, '_>,
    lives: &mut Lives<'_>,
    places: &[usize],
    (index, operation, routes): Read<'_, '_>,
    violations: &mut Vec<Violation>,
) {
    let at = Point { log_index: index, event: operation.told_by() };
    let here = routes.iter().filter(|route| route.key == address.key);
    let shown: BTreeSet<u64> = here.map(|route| route.seq).collect();
    let has = |seq: u64| places.iter().any(|place| lives.all[*place].seq == Some(seq));
    // One whose bind was never answered may have any.
    if places.iter().all(|place| lives.all[*place].seq.is_some()) {
        for seq in shown.iter().filter(|seq| !has(**seq)) {
            let text =
                format!("{} seq {seq} is shown by its comet, but was never bound", address.key);
            violations.push(Violation::new([at.event], text));
        }
    }
    for place in places {
        let life = &lives.all[*place];
        let name = address.name(life);
        let Some(seq) = life.seq else { continue };
        if shown.contains(&seq) {
            if life.gone.log_index <= index {
                let text = format!(
                    "{name} is shown by its comet at index {index}, but was gone at index {}",
                    life.gone.log_index
                );
                violations.push(Violation::new([life.gone.event, at.event], text));
            } else if life.began > at.event {
                let text = format!("{name} is shown by its comet before any bind of it began");
                violations.push(Violation::new([life.began, at.event], text));
            }
            continue;
        }
        if life.born.log_index > index || life.gone.log_index <= index {
            continue;
        }
        let removed = removed(lives, *place, index);
        if !routes.is_empty() && removed > at.event && life.shown_last < index {
            // Its comet still has others in this shard: the life goes on there.
            let text = format!(
                "{name} is gone at index {index} and nothing removed it, but its comet still has {}",
                routes.len()
            );
            violations.push(Violation::new([life.acknowledged, life.born.event, at.event], text));
            continue;
        }
        match absent(address, removed, life, operation, at) {
            Ok(()) => lives.all[*place].gone = at,
            Err(violation) => violations.push(violation),
        }
    }
}
