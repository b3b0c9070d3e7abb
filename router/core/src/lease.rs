//! Leases: which comets the control shard's leader has not heard of for too long.
//!
//! Kept in the leader's memory only and never replicated. All times are milliseconds of one monotonic
//! clock of the leader. Drive it like this: [`Leases::start`] with the living comets when leadership is
//! won, [`Leases::attached`] and [`Leases::ended`] as the log is applied, [`Leases::keep_alive`] with the
//! time at which each keep-alive arrived, [`Leases::poll`] once a tick. For each comet that a poll
//! returns, propose its expiry; until its outcome is known its keep-alives wait, so that no comet is
//! told that it lives by a leader that is ending it.

use std::collections::BTreeMap;

use orrery_model::{CometId, CometRef, Incarnation};
use seeded_bugs::Bug;

use crate::limits::EXPIRIES_PER_POLL_MAX;

/// How long a comet's routes stay without news of it, and how often that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTimes {
    /// The lease in milliseconds.
    pub lease_ms: u64,
    /// The time between two polls in milliseconds, at most a quarter lease.
    pub tick_ms: u64,
}

/// What became of a keep-alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepAlive {
    /// The lease begins anew at its arrival.
    Renewed,
    /// The comet's expiry is proposed: ask again when its outcome is known.
    Waits,
    /// This life has no lease: ask the control shard's state how the comet stands.
    NotLeased,
}

#[derive(Debug, Clone, Copy)]
struct Lease {
    incarnation: Incarnation,
    until_ms: u64,
    expiring: bool,
}

/// The leases of all living comets, as the leader keeps them.
#[derive(Debug, Clone)]
pub struct Leases {
    times: LeaseTimes,
    leases: BTreeMap<CometId, Lease>,
    polled_at_ms: u64,
}

impl Leases {
    /// Starts the leases of a new leader: every living comet's begins now.
    ///
    /// # Panics
    /// When a tick is longer than a quarter lease: every poll would then be a late one.
    pub fn start(
        times: LeaseTimes,
        living: impl IntoIterator<Item = CometRef>,
        now_ms: u64,
    ) -> Self {
        assert!(times.tick_ms <= times.lease_ms / 4, "a tick is at most a quarter lease");
        let mut leases = Self { times, leases: BTreeMap::new(), polled_at_ms: now_ms };
        for comet in living {
            leases.attached(comet, now_ms);
        }
        leases
    }

    /// A comet was given this life, or asked for it again: its lease begins. An older life than the one
    /// that is known changes nothing, and one whose expiry is proposed goes on waiting.
    pub fn attached(&mut self, comet: CometRef, now_ms: u64) {
        let CometRef { id, incarnation } = comet;
        let fresh = Lease { incarnation, until_ms: self.until(now_ms), expiring: false };
        let held = self.leases.entry(id).or_insert(fresh);
        if held.incarnation < incarnation {
            *held = fresh;
        } else if held.incarnation == incarnation && !held.expiring {
            held.until_ms = held.until_ms.max(fresh.until_ms);
        }
    }

    /// This life has ended, by whatever cause.
    pub fn ended(&mut self, comet: &CometRef) {
        if self.leases.get(&comet.id).is_some_and(|l| l.incarnation <= comet.incarnation) {
            self.leases.remove(&comet.id);
        }
    }

    /// The proposed expiry of this life is known to have had no effect and never to have one: its lease
    /// begins anew.
    pub fn survived(&mut self, comet: &CometRef, now_ms: u64) {
        let until_ms = self.until(now_ms);
        if let Some(lease) = self.leases.get_mut(&comet.id)
            && lease.incarnation == comet.incarnation
        {
            lease.expiring = false;
            lease.until_ms = lease.until_ms.max(until_ms);
        }
    }

    /// A keep-alive of this life arrived at `arrived_ms`.
    pub fn keep_alive(&mut self, comet: &CometRef, arrived_ms: u64) -> KeepAlive {
        let until_ms = self.until(arrived_ms);
        let lease = self.leases.get_mut(&comet.id);
        match lease.filter(|lease| lease.incarnation == comet.incarnation) {
            None => KeepAlive::NotLeased,
            Some(lease) if lease.expiring => KeepAlive::Waits,
            Some(lease) => {
                lease.until_ms = lease.until_ms.max(until_ms);
                KeepAlive::Renewed
            }
        }
    }

    /// The comets whose lease has run out since the last poll, at most [`EXPIRIES_PER_POLL_MAX`] of them,
    /// in order of their ids. Their expiry is to be proposed now.
    ///
    /// A poll that is late by more than a quarter lease ends no lease: the leader itself was away, and
    /// what it did not hear says nothing. All leases begin anew.
    pub fn poll(&mut self, now_ms: u64) -> Vec<CometRef> {
        let since_ms = now_ms.saturating_sub(self.polled_at_ms);
        self.polled_at_ms = self.polled_at_ms.max(now_ms);
        let late = since_ms > self.times.tick_ms + self.times.lease_ms / 4;
        if late && !seeded_bugs::is(Bug::ExpiryByStaleLeader) {
            let until_ms = self.until(now_ms);
            self.leases.values_mut().for_each(|lease| lease.until_ms = until_ms);
            return Vec::new();
        }
        let due = self.leases.iter_mut().filter(|(_, l)| !l.expiring && l.until_ms <= now_ms);
        let expire = |(id, lease): (&CometId, &mut Lease)| {
            lease.expiring = true;
            CometRef { id: id.clone(), incarnation: lease.incarnation }
        };
        due.take(EXPIRIES_PER_POLL_MAX).map(expire).collect()
    }

    /// How many comets hold a lease.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether no comet holds a lease.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    fn until(&self, now_ms: u64) -> u64 {
        now_ms + self.times.lease_ms
    }
}
