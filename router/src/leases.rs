//! Leases: which comets live, kept in the memory of the control shard's leader alone. Only what ends a
//! comet goes into the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use orrery_host::Clock;
use orrery_model::control::ControlCommand;
use orrery_model::{CometId, CometRef, Incarnation};
use orrery_router_core::control::Standing;
use orrery_router_core::lease::{KeepAlive, LeaseTimes, Leases};
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use seeded_bugs::Bug;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout_at};

use crate::error::{ReadError, WriteError};
use crate::limits::{UPKEEP_PAUSE, UPKEEP_TIMEOUT};
use crate::shard::ControlShard;

/// The leases of all comets, as long as this node leads the control shard.
pub(crate) struct LeaseKeeper {
    control: Arc<ControlShard>,
    times: LeaseTimes,
    begun: Instant,
    /// Only for a seeded bug: no lease goes by it.
    wall: Arc<dyn Clock>,
    begun_wall_ms: u64,
    kept: Mutex<Option<Kept>>,
    /// Lives whose end is proposed and in doubt. Outlives a term: leases begun by the next one must not
    /// say that a comet lives while its end can still get into the log.
    expiring: Mutex<BTreeSet<CometRef>>,
    /// Told whenever a proposed expiry has an outcome.
    outcome: Notify,
    expiries: Counter,
}

/// Leases of one term of leadership.
struct Kept {
    term: u64,
    leases: Leases,
    /// The lives that `leases` was told of, and the log index up to which.
    living: BTreeMap<CometId, Incarnation>,
    applied: Option<u64>,
}

impl LeaseKeeper {
    pub(crate) fn new(
        control: Arc<ControlShard>,
        wall: Arc<dyn Clock>,
        lease_ms: u64,
        expiries: Counter,
    ) -> Self {
        // An eighth of a lease is the most that a comet can be found dead too late; half a second is
        // soon enough for any lease.
        let tick_ms = (lease_ms / 8).clamp(1, 500);
        Self {
            control,
            times: LeaseTimes { lease_ms, tick_ms },
            begun: Instant::now(),
            begun_wall_ms: wall.wall_ms(),
            wall,
            kept: Mutex::new(None),
            expiring: Mutex::default(),
            outcome: Notify::new(),
            expiries,
        }
    }

    /// Renews a comet's lease, and says how the comet stands. Answers only once this node was confirmed
    /// as the control shard's leader after the call began.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub(crate) async fn keep_alive(
        &self,
        comet: &CometRef,
        deadline: Instant,
    ) -> Result<Standing, ReadError> {
        let arrived_ms = self.arrived_ms();
        loop {
            // Each time: while it waited, another leader may have ended the comet.
            let term = self.control.group().leading_term();
            self.control.confirm(deadline).await?;
            let outcome = self.outcome.notified();
            tokio::pin!(outcome);
            // Listens before it looks, or the outcome could come in between.
            outcome.as_mut().enable();
            let kept = self.with_term(|now, leases| match self.expiring.lock().contains(comet) {
                // Led again, in a term that was not confirmed.
                _ if term != Some(now) => None,
                true => Some(KeepAlive::Waits),
                false => Some(leases.keep_alive(comet, arrived_ms)),
            });
            match kept.flatten().ok_or(ReadError::NotLeader { leader: None })? {
                KeepAlive::Renewed => return Ok(Standing::Living),
                KeepAlive::NotLeased => {
                    let standing = self.control.replica().control(|state, _| state.standing(comet));
                    return match standing {
                        // Attached since the leases were told: the lease has begun by itself then.
                        Standing::Living => Ok(Standing::Living),
                        ended => Ok(ended),
                    };
                }
                KeepAlive::Waits => timeout_at(deadline, outcome).await.map_err(|_| {
                    ReadError::Unavailable("the comet's expiry is under way".to_owned())
                })?,
            }
        }
    }

    /// Expires comets whose lease has run out. Runs until it is dropped.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut ticks = interval(Duration::from_millis(self.times.tick_ms));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut expiries = FuturesUnordered::new();
        loop {
            tokio::select! {
                // Ticks first: a late one would renew all leases.
                biased;
                _ = ticks.tick() => {
                    if !self.may_judge().await {
                        continue;
                    }
                    let now_ms = self.now_ms();
                    let poll = |term, leases: &mut Leases| (term, leases.poll(now_ms));
                    let (term, ended) = self.with_term(poll).unwrap_or_default();
                    for comet in ended {
                        tracing::info!(%comet, "the comet's lease has run out");
                        self.expiring.lock().insert(comet.clone());
                        expiries.push(self.expire(comet, term));
                    }
                }
                Some(()) = expiries.next(), if !expiries.is_empty() => {}
            }
        }
    }

    /// Whether silence means anything: a leader that cannot reach its quorum cannot acknowledge a
    /// keep-alive either, so what it does not hear says nothing. What is not looked at for too long is
    /// begun anew by the leases themselves.
    async fn may_judge(&self) -> bool {
        if self.with_leases(|leases| leases.is_empty()).unwrap_or(true) {
            return true;
        }
        // A later confirmation would make this look a late one, which judges nobody.
        let patience = Duration::from_millis(self.times.lease_ms / 4);
        self.control.confirm(Instant::now() + patience).await.is_ok()
    }

    /// Proposes the end of a comet's life until the outcome is known, or another term's leases decide:
    /// what an entry of an earlier term did is in the state before a later leader is confirmed.
    async fn expire(&self, comet: CometRef, term: u64) {
        loop {
            let deadline = Instant::now() + UPKEEP_TIMEOUT;
            let command = ControlCommand::Expire(comet.clone());
            match self.control.write_in_term(command, term, deadline).await {
                Ok(written) if written.reply.is_ok() => {
                    // The state no longer holds this life, which the leases learn from it.
                    self.expiries.inc();
                    break;
                }
                // In doubt it is written again: only this very life can be ended by it.
                Err(WriteError::Unknown(_))
                    if self.control.group().leading_term() == Some(term) =>
                {
                    sleep(UPKEEP_PAUSE).await;
                }
                // Certainly without effect, or of a term whose leases are gone.
                Ok(_) | Err(_) => {
                    let now_ms = self.now_ms();
                    self.with_leases(|leases| leases.survived(&comet, now_ms));
                    break;
                }
            }
        }
        self.expiring.lock().remove(&comet);
        self.outcome.notify_waiters();
    }

    /// Uses the leases of the current term; none where this node does not lead.
    fn with_leases<T>(&self, with: impl FnOnce(&mut Leases) -> T) -> Option<T> {
        self.with_term(|_, leases| with(leases))
    }

    fn with_term<T>(&self, with: impl FnOnce(u64, &mut Leases) -> T) -> Option<T> {
        let now_ms = self.now_ms();
        let mut kept = self.kept.lock();
        let Some(term) = self.control.group().leading_term() else {
            if !seeded_bugs::is(Bug::ExpiryByStaleLeader) {
                *kept = None;
            }
            return None;
        };
        let kept = match &mut *kept {
            Some(kept) if kept.term == term || seeded_bugs::is(Bug::ExpiryByStaleLeader) => kept,
            // A new leader has heard of nobody yet, so all leases begin now.
            stale => stale.insert(Kept {
                term,
                leases: Leases::start(self.times, [], now_ms),
                living: BTreeMap::new(),
                applied: None,
            }),
        };
        self.control.replica().control(|state, applied| {
            if kept.applied == Some(applied) {
                return;
            }
            let now = state.comets().map(|comet| &comet.comet);
            kept.learn(now, now_ms);
            kept.applied = Some(applied);
        });
        Some(with(term, &mut kept.leases))
    }

    /// When what has just arrived did so.
    fn arrived_ms(&self) -> u64 {
        if seeded_bugs::is(Bug::WallClockLease) {
            return self.wall.wall_ms().saturating_sub(self.begun_wall_ms);
        }
        self.now_ms()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Kept {
    /// Tells the leases which lives have begun and ended since they were last told.
    fn learn<'a>(&mut self, living: impl Iterator<Item = &'a CometRef>, now_ms: u64) {
        let mut before = std::mem::take(&mut self.living);
        for comet in living {
            let known = before.remove(&comet.id);
            if known != Some(comet.incarnation) {
                self.leases.attached(comet.clone(), now_ms);
            }
            self.living.insert(comet.id.clone(), comet.incarnation);
        }
        for (id, incarnation) in before {
            self.leases.ended(&CometRef { id, incarnation });
        }
    }
}

#[cfg(test)]
mod tests {
    use orrery_host::Host;
    use orrery_model::Id;
    use orrery_model::control::{Advertise, Attach};
    use tokio::time::timeout;

    use super::*;
    use crate::lone_node::node;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_waited_for_an_expiry_is_answered_only_by_a_leader_confirmed_since() {
        let looks = async {
            let handle = node(1).await;
            let member = handle.member();
            let advertise =
                Advertise { delivery: "127.0.0.1:3109".to_owned(), ..Advertise::default() };
            let id = Id::new("comet-a").unwrap();
            let attach =
                Attach { comet: id.clone(), instance: "one".to_owned(), attempt: 1, advertise };
            let deadline = Instant::now() + PATIENCE;
            let incarnation = member.control.attach(attach, deadline).await.unwrap();
            let comet = CometRef { id, incarnation };
            let control = member.shards.control().clone();
            let keeper =
                LeaseKeeper::new(control.clone(), Host::system().clock, 10_000, Counter::default());
            let alive = keeper.keep_alive(&comet, deadline).await;
            assert_eq!(alive, Ok(Standing::Living));

            // An expiry is in doubt, and this node loses the shard before its outcome is known.
            keeper.expiring.lock().insert(comet.clone());
            *keeper.kept.lock() = None;
            let (answer, ()) = tokio::join!(keeper.keep_alive(&comet, deadline), async {
                while keeper.kept.lock().is_none() {
                    sleep(Duration::from_millis(1)).await;
                }
                control.group().shutdown().await;
                assert!(control.group().leading_term().is_some(), "it was not told of another");
                keeper.expiring.lock().clear();
                keeper.outcome.notify_waiters();
            });
            assert!(matches!(answer, Err(ReadError::Unavailable(_))), "{answer:?}");
            drop((member, control, keeper));
            handle.stop().await;
        };
        timeout(PATIENCE, looks).await.expect("each is answered");
    }
}
