//! Ends: from which event on a comet's life may have been over.
//!
//! A life ends when the comet attaches again, writes in a later life, or detaches; or when its lease runs
//! out, which it cannot before `lease - margin` have passed since the last keep-alive that was
//! acknowledged began. Of a comet that never attached the control shard knows nothing to expire.
//!
//! An end is for good. So a keep-alive that was acknowledged proves that nothing had ended the life before it
//! began, whatever was asked meanwhile; and a shard that admitted a write of the life, or showed a route of
//! it, had not heard of an end before that began.

use std::collections::BTreeMap;
use std::hash::Hash;

use super::{Comet, Comets};
use crate::history::{History, Locate, Op, Operation, Refusal};
use crate::quick::QuickMap;
use crate::settings::{Settings, nanos};

/// A comet in one of its lives.
type CometLife = (Comet, u64);

/// From which event on a comet's life may have been over.
#[derive(Debug, Default)]
pub(crate) struct Ends {
    /// For each comet, incarnation → first event that speaks for it.
    begins: QuickMap<Comet, BTreeMap<u64, u64>>,
    /// The first event of its detach.
    detached: QuickMap<CometLife, u64>,
    /// The first event of an operation refused as ended although nothing else explains it.
    told: QuickMap<CometLife, u64>,
    /// Time until which the lease certainly runs.
    leases: QuickMap<CometLife, u64>,
    /// Index of the first event at or after that time.
    lapses: QuickMap<CometLife, u64>,
    /// The latest event at which a keep-alive began that was acknowledged.
    renewed: QuickMap<CometLife, u64>,
    /// The same of what a shard admitted or showed.
    admitted: QuickMap<(u32, CometLife), u64>,
}

impl Ends {
    pub(crate) fn new(history: &History<'_>, settings: &Settings, comets: &Comets<'_>) -> Self {
        let mut ends = Self::default();
        let sure = nanos(settings.lease.saturating_sub(settings.margin));
        ends.attaches(history, comets, sure);
        for operation in &history.operations {
            let op = operation.op();
            if let Some((comet, incarnation)) = op.writer() {
                ends.begin(comets.number(comet), incarnation, operation.began());
            }
            if let Op::Detach(life) = op {
                let life = (comets.number(&life.comet), life.incarnation);
                first(&mut ends.detached, life, operation.began());
            }
            if let (Op::KeepAlive(life), true) = (op, operation.is_ok()) {
                let life = (comets.number(&life.comet), life.incarnation);
                ends.renew(life, operation.invoke.time.saturating_add(sure));
                last(&mut ends.renewed, life, operation.began());
            }
            if let (Some(shard), true) = (operation.shard(), operation.is_ok()) {
                ends.admit(shard, operation, comets);
            }
        }
        for (life, until) in &ends.leases {
            let lapse = history.events.partition_point(|event| event.time < *until) as u64;
            ends.lapses.insert(*life, lapse);
        }
        ends.refusals(history, comets);
        ends
    }

    /// The first event from which on the life may have been over, if there is a reason.
    pub(crate) fn earliest(&self, comet: Comet, incarnation: u64) -> Option<u64> {
        let life = (comet, incarnation);
        let next = self.superseded(comet, incarnation);
        let detached = self.detached(comet, incarnation);
        let told = [&self.told, &self.lapses];
        let told = told.into_iter().filter_map(|events| events.get(&life).copied());
        told.chain(detached).chain(next).min()
    }

    /// The same as far as one shard can tell.
    pub(crate) fn earliest_in(
        &self,
        shard: Option<u32>,
        comet: Comet,
        incarnation: u64,
    ) -> Option<u64> {
        let admitted = shard.and_then(|shard| self.admitted.get(&(shard, (comet, incarnation))));
        Some(self.earliest(comet, incarnation)?.max(admitted.copied().unwrap_or(0)))
    }

    /// The first event from which on a later life of the comet may have begun.
    pub(crate) fn superseded(&self, comet: Comet, incarnation: u64) -> Option<u64> {
        let later = self.begins.get(&comet)?.range(incarnation.saturating_add(1)..);
        let spoken = later.map(|(_, event)| *event).min()?;
        Some(spoken.max(self.renewed((comet, incarnation))))
    }

    /// The comet's latest life of which an event before this one speaks.
    pub(crate) fn current(&self, comet: Comet, before: u64) -> Option<u64> {
        let begun = self.begins.get(&comet)?.iter().filter(|(_, event)| **event < before);
        begun.map(|(incarnation, _)| *incarnation).filter(|life| *life != u64::MAX).max()
    }

    /// When the comet may have ended this life itself, if it wanted to.
    pub(crate) fn detached(&self, comet: Comet, incarnation: u64) -> Option<u64> {
        let asked = self.detached.get(&(comet, incarnation)).copied()?;
        Some(asked.max(self.renewed((comet, incarnation))))
    }

    /// Time in nanoseconds until which the life's lease certainly runs, if nothing ended it before.
    pub(crate) fn leased_until(&self, comet: Comet, incarnation: u64) -> Option<u64> {
        self.leases.get(&(comet, incarnation)).copied()
    }

    /// Attaches of one (instance, attempt) are one; its life begins with the first of them. One that was
    /// never answered has a life above all that were known when it began.
    fn attaches(&mut self, history: &History<'_>, comets: &Comets<'_>, sure: u64) {
        let mut attempts: BTreeMap<(Comet, &str, u64), (u64, Option<u64>)> = BTreeMap::new();
        for operation in &history.operations {
            let Op::Attach(attach) = operation.op() else { continue };
            let comet = comets.number(&attach.comet);
            let attempt = (comet, attach.instance.as_str(), attach.attempt);
            let known = attempts.entry(attempt).or_insert((operation.began(), None));
            known.1 = known.1.or(attach.incarnation);
            if let Some(incarnation) = attach.incarnation {
                let until = operation.invoke.time.saturating_add(sure);
                self.renew((comet, incarnation), until);
            }
        }
        for ((comet, _, _), (began, incarnation)) in attempts {
            self.begin(comet, incarnation.unwrap_or(u64::MAX), began);
        }
    }

    /// A refusal as fenced proves an end; where nothing explains it, the lease checker says so, and the
    /// others take it for the end.
    fn refusals(&mut self, history: &History<'_>, comets: &Comets<'_>) {
        for operation in &history.operations {
            let op = operation.op();
            let life = match op {
                Op::KeepAlive(life) => Some((life.comet.as_str(), life.incarnation)),
                op => op.writer(),
            };
            let fenced =
                matches!(operation.refusal(), Some(Refusal::Fenced { .. } | Refusal::Superseded));
            if let (Some((comet, incarnation)), true) = (life, fenced) {
                let comet = comets.number(comet);
                if self.earliest(comet, incarnation).is_none_or(|at| at > operation.told_by()) {
                    first(&mut self.told, (comet, incarnation), operation.began());
                }
            }
        }
    }

    fn renewed(&self, life: CometLife) -> u64 {
        self.renewed.get(&life).copied().unwrap_or(0)
    }

    /// What an answer of a shard proves of lives that go on there.
    fn admit(&mut self, shard: u32, operation: &Operation<'_>, comets: &Comets<'_>) {
        let began = operation.began();
        if let Some((comet, incarnation)) = operation.op().writer() {
            last(&mut self.admitted, (shard, (comets.number(comet), incarnation)), began);
        }
        if let Op::Locate(Locate { stale: false, routes: Some(routes) }) = operation.op() {
            for route in routes {
                let life = (comets.number(&route.comet), route.incarnation);
                last(&mut self.admitted, (shard, life), began);
            }
        }
    }

    fn begin(&mut self, comet: Comet, incarnation: u64, event: u64) {
        let first = self.begins.entry(comet).or_default().entry(incarnation).or_insert(event);
        *first = event.min(*first);
    }

    fn renew(&mut self, life: CometLife, until: u64) {
        let held = self.leases.entry(life).or_insert(until);
        *held = until.max(*held);
    }
}

fn last<K: Eq + Hash>(events: &mut QuickMap<K, u64>, of: K, event: u64) {
    let last = events.entry(of).or_insert(event);
    *last = event.max(*last);
}

fn first(events: &mut QuickMap<CometLife, u64>, life: CometLife, event: u64) {
    let first = events.entry(life).or_insert(event);
    *first = event.min(*first);
}
