//! Paced load: a few writes to every shard, on schedule, and what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::StreamExt;
use futures_util::stream::{self, FuturesUnordered};
use orrery_host::{Host, Task};
use orrery_model::{ShardId, SlotTable};
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use crate::acks::{Ack, Acks};
use crate::clock::Clock;
use crate::latency::Latencies;
use crate::limits::{CHECK_ATTEMPTS, CHECKS_UNDER_WAY, LOOK, UNDER_WAY_MAX};
use crate::registry::Registry;
use crate::target::Failure;

/// Writes to every shard, from its start to its drop.
pub struct PacedLoad {
    registry: Arc<Registry>,
    shards: BTreeMap<ShardId, Arc<Mutex<Written>>>,
    tasks: Vec<Task>,
}

/// What became of a shard's writes.
#[derive(Default)]
struct Written {
    acks: Acks,
    /// Writes that were made.
    begun: u64,
    /// Writes that nobody acknowledged, by kind.
    failures: BTreeMap<&'static str, u64>,
}

/// Whether everything that was acknowledged is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Verdict {
    /// Binds that were acknowledged.
    pub acknowledged: u64,
    /// Those that are not there any more.
    pub lost: u64,
    /// Those that are there with another seq.
    pub changed: u64,
    /// Those that could not be looked for.
    pub unread: u64,
    /// The first of these, for people.
    pub first: Option<String>,
    /// Writes that were not acknowledged, by kind; what became of them is not judged.
    pub failures: BTreeMap<&'static str, u64>,
    /// Writes under way when the load ended; nor is what became of these.
    pub abandoned: u64,
}

impl PacedLoad {
    /// Begins.
    pub fn start(
        host: &Host,
        clock: Clock,
        registry: &Arc<Registry>,
        table: &Arc<SlotTable>,
        shards: &[ShardId],
        every: Duration,
    ) -> Self {
        let mut load =
            Self { registry: registry.clone(), shards: BTreeMap::new(), tasks: Vec::new() };
        for &shard in shards {
            let written = Arc::<Mutex<Written>>::default();
            let writer = Writer {
                clock,
                registry: registry.clone(),
                table: table.clone(),
                shard,
                next_user: 0,
                written: written.clone(),
            };
            load.tasks.push(host.tasks.spawn("bench writer", writer.run(every)));
            load.shards.insert(shard, written);
        }
        load
    }

    /// Waits until a shard takes writes after a moment; says how long that took.
    ///
    /// # Errors
    /// When it does not within `max`.
    pub async fn first_after(
        &self,
        shard: ShardId,
        ns: u64,
        max: Duration,
    ) -> anyhow::Result<Duration> {
        let written = self.shards.get(&shard).context("nobody writes to the shard")?;
        let give_up = Instant::now() + max;
        loop {
            if let Some(took) = written.lock().acks.first_after(ns) {
                return Ok(took);
            }
            if Instant::now() > give_up {
                bail!("shard {shard} acknowledged nothing for {max:?}");
            }
            sleep(LOOK).await;
        }
    }

    /// From write to acknowledgement, in all shards, of writes under way between two moments.
    pub fn latencies(&self, begin_ns: u64, end_ns: u64) -> Latencies {
        let mut all = Latencies::default();
        for written in self.shards.values() {
            all.add(&written.lock().acks.latencies(begin_ns, end_ns));
        }
        all
    }

    /// The longest time without an acknowledgement between two moments, in the shard where it was
    /// longest.
    pub fn worst_gap(&self, begin_ns: u64, end_ns: u64) -> Duration {
        let gaps =
            self.shards.values().map(|written| written.lock().acks.longest_gap(begin_ns, end_ns));
        gaps.max().unwrap_or_default()
    }

    /// The longest time without an acknowledgement in a shard, of those that reach into the time between
    /// two moments.
    pub fn longest_gap(&self, shard: ShardId, begin_ns: u64, end_ns: u64) -> Duration {
        let written = self.shards.get(&shard);
        written.map(|written| written.lock().acks.longest_gap(begin_ns, end_ns)).unwrap_or_default()
    }

    /// Ends the load and looks for everything that was acknowledged.
    pub async fn check(mut self) -> Verdict {
        self.tasks.clear();
        let mut verdict = Verdict::default();
        for written in self.shards.values() {
            let written = written.lock();
            let acknowledged = written.acks.all().len() as u64;
            verdict.acknowledged += acknowledged;
            verdict.abandoned +=
                written.begun - acknowledged - written.failures.values().sum::<u64>();
            for (kind, count) in &written.failures {
                *verdict.failures.entry(kind).or_default() += count;
            }
        }
        for written in self.shards.values() {
            let acks = written.lock().acks.all().to_vec();
            let registry = &self.registry;
            let look = |ack: Ack| async move { (ack, look_for(registry, ack.user).await) };
            let mut looks =
                stream::iter(acks.into_iter().map(look)).buffer_unordered(CHECKS_UNDER_WAY);
            while let Some((ack, found)) = looks.next().await {
                verdict.judge(ack, found);
            }
        }
        verdict
    }
}

impl Verdict {
    /// Whether nothing that was acknowledged is missing or different.
    pub fn is_good(&self) -> bool {
        self.lost == 0 && self.changed == 0 && self.unread == 0
    }

    fn judge(&mut self, ack: Ack, found: Result<Vec<(u64, u64)>, Failure>) {
        let words = match found {
            Ok(routes) if routes == [(conn(ack.user), ack.seq)] => return,
            Ok(routes) if routes.is_empty() => {
                self.lost += 1;
                format!("user {} with seq {} is not there", ack.user, ack.seq)
            }
            Ok(routes) => {
                self.changed += 1;
                format!("user {} with seq {} has {routes:?}", ack.user, ack.seq)
            }
            Err(failure) => {
                self.unread += 1;
                format!("user {} cannot be looked for: {}", ack.user, failure.detail)
            }
        };
        self.first.get_or_insert(words);
    }
}

async fn look_for(registry: &Registry, user: u64) -> Result<Vec<(u64, u64)>, Failure> {
    let mut attempt = 1;
    loop {
        match registry.locate(registry.user(user)).await {
            Err(_) if attempt < CHECK_ATTEMPTS => attempt += 1,
            found => return found,
        }
    }
}

/// The conn that a user is bound with; they begin at 1.
fn conn(user: u64) -> u64 {
    user + 1
}

struct Writer {
    clock: Clock,
    registry: Arc<Registry>,
    table: Arc<SlotTable>,
    shard: ShardId,
    next_user: u64,
    written: Arc<Mutex<Written>>,
}

impl Writer {
    async fn run(mut self, every: Duration) {
        let mut beats = interval(every);
        // Whoever was held up does not make up for it: the load stays light.
        beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some((user, begun_ns, result)) = under_way.next() => {
                    self.ended(user, begun_ns, result);
                }
                _ = beats.tick(), if under_way.len() < UNDER_WAY_MAX => {
                    let (user, begun_ns) = (self.user(), self.clock.now_ns());
                    self.written.lock().begun += 1;
                    let registry = self.registry.clone();
                    under_way.push(async move {
                        (user, begun_ns, registry.bind(registry.user(user), conn(user)).await)
                    });
                }
            }
        }
    }

    /// The next user that belongs to the shard.
    fn user(&mut self) -> u64 {
        loop {
            let user = self.next_user;
            self.next_user += 1;
            if self.table.owner(self.registry.user(user).slot()) == self.shard {
                return user;
            }
        }
    }

    fn ended(&self, user: u64, begun_ns: u64, result: Result<u64, Failure>) {
        let acked_ns = self.clock.now_ns();
        let mut written = self.written.lock();
        match result {
            Ok(seq) => written.acks.push(Ack { user, seq, begun_ns, acked_ns }),
            Err(failure) => *written.failures.entry(failure.kind).or_default() += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_changed_or_unread_is_told_apart() {
        let ack = |user, seq| Ack { user, seq, begun_ns: 0, acked_ns: 0 };
        let mut verdict = Verdict::default();
        verdict.judge(ack(1, 7), Ok(vec![(2, 7)]));
        assert!(verdict.is_good());
        verdict.judge(ack(2, 8), Ok(Vec::new()));
        verdict.judge(ack(3, 9), Ok(vec![(4, 10)]));
        verdict.judge(ack(4, 11), Err(Failure::new("unavailable", "no leader")));
        assert_eq!((verdict.lost, verdict.changed, verdict.unread), (1, 1, 1));
        assert_eq!(verdict.first.as_deref(), Some("user 2 with seq 8 is not there"));
        assert!(!verdict.is_good());
    }
}
