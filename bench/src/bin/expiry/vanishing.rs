//! Vanishing: when the routes of a comet are gone, as readers see it and as the nodes count it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::{join_all, try_join_all};
use orrery_bench::admin::sum_of;
use orrery_bench::clock::Clock;
use orrery_bench::cluster::Cluster;
use orrery_host::Host;
use orrery_model::{Address, NodeId, ShardId, SlotTable};
use orrery_router_client::Client;
use tokio::time::{Instant, sleep};

use crate::limits::{COUNT_EVERY, LOOK_TIMEOUT, WATCH_EVERY};

/// Users of the comet, by shard: some of each, spread over all of them.
pub(crate) type Samples = BTreeMap<ShardId, Vec<Address>>;

/// Deals users out to their shards and keeps some of each.
pub(crate) fn sample(
    table: &SlotTable,
    users: impl Iterator<Item = Address>,
    of_each: usize,
) -> (Samples, BTreeMap<ShardId, u64>) {
    let mut all = Samples::new();
    users.for_each(|user| all.entry(table.owner(user.slot())).or_default().push(user));
    let counts = all.iter().map(|(shard, users)| (*shard, users.len() as u64)).collect();
    for users in all.values_mut() {
        let step = (users.len() / of_each.max(1)).max(1);
        *users = std::mem::take(users).into_iter().step_by(step).take(of_each).collect();
    }
    (all, counts)
}

/// When a shard's readers saw the last and when all of them saw none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vanished {
    /// When the last look-up that found a route was answered.
    pub(crate) last_seen_ns: u64,
    /// When every sample had been looked up in vain.
    pub(crate) gone_ns: u64,
    /// A route was seen at a later position of the log than one where another was not.
    pub(crate) torn: bool,
}

/// Watches every shard until nothing of the comet is visible there.
///
/// # Errors
/// When that does not happen until `give_up`.
pub(crate) async fn vanished(
    client: &Client,
    clock: Clock,
    samples: &Samples,
    give_up: Instant,
) -> anyhow::Result<BTreeMap<ShardId, Vanished>> {
    let watches = samples.iter().map(|(shard, users)| async move {
        let watched = Watch { client, clock, give_up }.shard(users).await;
        anyhow::Ok((*shard, watched.with_context(|| format!("shard {shard}"))?))
    });
    try_join_all(watches).await.map(|all| all.into_iter().collect())
}

struct Watch<'a> {
    client: &'a Client,
    clock: Clock,
    give_up: Instant,
}

impl Watch<'_> {
    async fn shard(&self, users: &[Address]) -> anyhow::Result<Vanished> {
        let (mut last_seen_ns, mut seen_at) = (self.clock.now_ns(), 0);
        let gone_at = 'watching: {
            for user in users.iter().cycle() {
                match self.look(user).await? {
                    (true, log_index) => {
                        (last_seen_ns, seen_at) = (self.clock.now_ns(), seen_at.max(log_index));
                    }
                    (false, log_index) => break 'watching log_index,
                }
                sleep(WATCH_EVERY).await;
            }
            bail!("no sample of it");
        };
        let mut torn = seen_at >= gone_at;
        for (visible, _) in try_join_all(users.iter().map(|user| self.look(user))).await? {
            torn |= visible;
        }
        Ok(Vanished { last_seen_ns, gone_ns: self.clock.now_ns(), torn })
    }

    /// Whether a user has a route, and at which position of the log. Asked until somebody answers.
    async fn look(&self, user: &Address) -> anyhow::Result<(bool, u64)> {
        loop {
            let deadline = Instant::now() + LOOK_TIMEOUT;
            if let Ok(located) = self.client.locate(user.clone(), false, deadline).await {
                return Ok((!located.routes.is_empty(), located.log_index));
            }
            if Instant::now() > self.give_up {
                bail!("nobody answers");
            }
        }
    }
}

/// What all replicas counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    /// When every replica counted the comet's routes no more.
    pub(crate) uncounted_ns: u64,
    /// When no replica held a body of them any more.
    pub(crate) swept_ns: u64,
    /// Most bodies that were seen waiting, on all nodes together.
    pub(crate) unswept_max: u64,
}

/// Routes by shard, as the replicas of one node count them.
pub(crate) type Routes = BTreeMap<(NodeId, ShardId), u64>;

/// Routes of all data shards on the nodes that answer.
pub(crate) async fn routes(cluster: &Cluster) -> Routes {
    let reports = cluster.reports().await;
    let of_report = |report: &orrery_router_client::cluster::Report| {
        let node = report.node.node.id;
        let data = report.replicas.iter().filter(|replica| replica.shard != ShardId::CONTROL);
        data.map(|replica| ((node, replica.shard), replica.data.routes)).collect::<Vec<_>>()
    };
    reports.iter().flatten().flat_map(of_report).collect()
}

/// Watches the counters of every node that runs until they have none of the comet's `users` any more.
///
/// # Errors
/// When that does not happen within `patience`.
pub(crate) async fn counted(
    host: &Host,
    clock: Clock,
    cluster: &Cluster,
    before: &Routes,
    users: &BTreeMap<ShardId, u64>,
    patience: Duration,
) -> anyhow::Result<Counted> {
    let give_up = Instant::now() + patience;
    let mut counted = Counted::default();
    // What was counted last, until it falls by what the comet had. Others bind meanwhile.
    let mut standing = before.clone();
    loop {
        for (at, routes) in routes(cluster).await {
            let held = users.get(&at.1).copied().unwrap_or_default();
            match standing.get_mut(&at) {
                Some(last) if routes + held - held / 10 <= *last => drop(standing.remove(&at)),
                Some(last) => *last = routes,
                None => {}
            }
        }
        // A node that was killed counts nothing any more.
        let running: Vec<_> = cluster.running().map(|router| router.node()).collect();
        let all_fell = standing.keys().all(|(node, _)| !running.contains(node));
        if counted.uncounted_ns == 0 && all_fell {
            counted.uncounted_ns = clock.now_ns();
        }
        let metrics = join_all(cluster.running().map(|router| router.metrics(host))).await;
        let unswept = metrics.iter().flatten();
        let unswept = unswept.filter_map(|text| sum_of(text, "orrery_router_unswept")).sum::<f64>();
        counted.unswept_max = counted.unswept_max.max(unswept as u64);
        if counted.uncounted_ns > 0 && unswept < 1.0 && metrics.iter().all(Result::is_ok) {
            counted.swept_ns = clock.now_ns();
            return Ok(counted);
        }
        if Instant::now() > give_up {
            bail!("the nodes still hold {unswept} bodies");
        }
        sleep(COUNT_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use orrery_model::{Id, ring};

    use super::*;

    #[test]
    fn samples_are_spread_and_every_user_is_counted() {
        let shards: Vec<_> = (1..=4).map(ShardId).collect();
        let table = ring::propose(1, &shards).unwrap();
        let user = |n: usize| Address::user(Id::new(format!("user-{n}")).unwrap());
        let (samples, counts) = sample(&table, (0..1000).map(user), 20);
        assert_eq!(counts.values().sum::<u64>(), 1000);
        assert_eq!(samples.len(), 4);
        for (shard, users) in &samples {
            assert_eq!(users.iter().collect::<BTreeSet<_>>().len(), 20);
            assert!(users.iter().all(|user| table.owner(user.slot()) == *shard));
        }
    }
}
