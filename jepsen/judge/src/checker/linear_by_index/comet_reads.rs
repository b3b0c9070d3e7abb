//! Comet reads: each shows exactly the routes of a comet's life that live in the shard at its index. So when a life
//! ends, all its connections go at one index: none is half gone, none comes back, and none is there that nobody bound.

use std::collections::{BTreeMap, BTreeSet};

use super::Address;
use super::reads::{absent, removed};
use crate::facts::{Comet, Facts, Life, Lives, Point};
use crate::history::{History, Member, Op, Operation};
use crate::verdict::Violation;

/// An answered read by its index, with what it shows.
type Read<'h, 'a> = (u64, &'h Operation<'a>, &'a [Member]);

/// A route of an address as a comet's read shows it.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    shard: u32,
    life: (Comet, u64),
    seq: u64,
}

/// All reads of comets' lives.
pub(super) struct CometReads<'h, 'a> {
    /// By shard and life, in order of their indexes.
    by_life: BTreeMap<(u32, Comet, u64), Vec<Read<'h, 'a>>>,
    /// Address → every route that is shown there, with the event that first did, of comets that bind in this history:
    /// what devices' comets bind is no operation of it.
    by_key: BTreeMap<&'a str, BTreeMap<Shown, u64>>,
}

impl<'h, 'a> CometReads<'h, 'a> {
    pub(super) fn new(history: &'h History<'a>, facts: &Facts<'_, '_>) -> Self {
        let binding = binding(history, facts);
        let mut by_life: BTreeMap<_, Vec<Read<'h, 'a>>> = BTreeMap::new();
        let mut by_key: BTreeMap<&str, BTreeMap<Shown, u64>> = BTreeMap::new();
        for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
            let Op::CometRoutes(read) = operation.op() else { continue };
            let (Some(shard), Some(index)) = (operation.shard(), operation.log_index()) else {
                continue;
            };
            let (comet, incarnation) = (facts.comets.number(&read.comet), read.incarnation);
            let routes = read.routes.as_deref().unwrap_or_default();
            for route in routes.iter().filter(|_| binding.contains(&comet)) {
                let shown = Shown { shard, life: (comet, incarnation), seq: route.seq };
                let of_key = by_key.entry(&route.key).or_default();
                let first = of_key.entry(shown).or_insert(operation.told_by());
                *first = operation.told_by().min(*first);
            }
            let reads = by_life.entry((shard, comet, incarnation)).or_default();
            reads.push((index, operation, routes));
        }
        let by_index = |read: &Read<'_, '_>| (read.0, read.1.told_by());
        by_life.values_mut().for_each(|reads| reads.sort_by_key(by_index));
        Self { by_life, by_key }
    }

    /// Judges what is shown at addresses of which nothing else is known.
    pub(super) fn strangers(&self, facts: &Facts<'_, '_>, violations: &mut Vec<Violation>) {
        for (key, all) in self.by_key.iter().filter(|(key, _)| !facts.by_key.contains_key(*key)) {
            violations.extend(all.iter().map(|(shown, event)| never_bound(key, shown, *event)));
        }
    }

    /// Judges what they show of one address, whose own reads are judged afterwards: what is gone here is gone there.
    pub(super) fn check(
        &self,
        address: &Address<'_, '_>,
        lives: &mut Lives<'_>,
        violations: &mut Vec<Violation>,
    ) {
        let shard = address.facts.shard(&address.operations);
        if let Some(shown) = self.by_key.get(address.key) {
            strangers(address.key, shard, lives, shown, violations);
        }
        let Some(shard) = shard else { return };
        let mut places: BTreeMap<(Comet, u64), Vec<usize>> = BTreeMap::new();
        for (place, life) in lives.all.iter().enumerate() {
            let of = (life.identity.comet, life.identity.incarnation);
            places.entry(of).or_default().push(place);
        }
        for ((comet, incarnation), places) in places {
            for read in self.by_life.get(&(shard, comet, incarnation)).into_iter().flatten() {
                one(address, lives, &places, *read, violations);
            }
        }
    }
}

/// The comets that bind in a history.
fn binding(history: &History<'_>, facts: &Facts<'_, '_>) -> BTreeSet<Comet> {
    let binds = history.operations.iter().filter_map(|operation| match operation.op() {
        Op::Bind(bind) => Some(facts.comets.number(&bind.comet)),
        _ => None,
    });
    binds.collect()
}

/// What is shown at an address must be a connection of it. A bind that was never answered may have any seq.
fn strangers(
    key: &str,
    shard: Option<u32>,
    lives: &Lives<'_>,
    all: &BTreeMap<Shown, u64>,
    violations: &mut Vec<Violation>,
) {
    let mut seqs: BTreeSet<((Comet, u64), u64)> = BTreeSet::new();
    let mut unanswered: BTreeMap<(Comet, u64), u64> = BTreeMap::new();
    for life in &lives.all {
        let of = (life.identity.comet, life.identity.incarnation);
        match life.seq {
            Some(seq) => _ = seqs.insert((of, seq)),
            // One that was never bound never began.
            None => {
                let first = unanswered.entry(of).or_insert(life.began);
                *first = life.began.min(*first);
            }
        }
    }
    for (shown, event) in all {
        let may_be = unanswered.get(&shown.life).is_some_and(|began| began < event);
        let is_bound = may_be || seqs.contains(&(shown.life, shown.seq));
        if !is_bound || shard.is_some_and(|shard| shard != shown.shard) {
            violations.push(never_bound(key, shown, *event));
        }
    }
}

fn never_bound(key: &str, Shown { shard, seq, .. }: &Shown, event: u64) -> Violation {
    let text = format!(
        "{key} seq {seq} is shown by its comet in shard {shard}, but was never bound there"
    );
    Violation::new([event], text)
}

/// Remembers that a connection was shown: no read at a smaller index may lack what is there later.
fn show(life: &mut Life<'_>, at: Point) {
    life.shown_last = life.shown_last.max(at.log_index);
    life.there_last = life.there_last.max(at.log_index);
    life.born = life.born.min(at);
    life.seen = life.seen.min(at.event);
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
            } else if let Some(exact) = life.exact.filter(|exact| exact.log_index > index) {
                let text = format!(
                    "{name} is shown by its comet at index {index}, although its only bind took effect at {}",
                    exact.log_index
                );
                violations.push(Violation::new([exact.event, at.event], text));
            }
            show(&mut lives.all[*place], at);
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
