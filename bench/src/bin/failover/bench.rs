//! Bench: the cluster under measurement, who writes to it, and what is done to its leaders.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use orrery_bench::clock::{Clock, ns};
use orrery_bench::cluster::{Cluster, Leaders, data_shards};
use orrery_bench::experiment::{Site, say};
use orrery_bench::limits::SETTLED;
use orrery_bench::paced_load::PacedLoad;
use orrery_bench::registry::Registry;
use orrery_host::Host;
use orrery_model::{NodeId, ShardId};
use tokio::time::sleep;

use crate::NAME;
use crate::limits::{LOOK_ON, OUTAGE_MAX};
use crate::outages::{Outages, Outcome};

/// Everything that a round uses.
pub(crate) struct Bench {
    clock: Clock,
    cluster: Cluster,
    load: PacedLoad,
    shards: Vec<ShardId>,
    outages: Outages,
}

impl Bench {
    /// Starts a cluster, and begins to write to every shard of it.
    ///
    /// # Errors
    /// When the cluster does not come to rest.
    pub(crate) async fn start(
        site: &Site,
        clock: Clock,
        folder: &Path,
        every: Duration,
    ) -> anyhow::Result<Self> {
        let host = Host::system();
        let mut cluster = site.start(&host, folder, "").await?;
        let shards: Vec<_> = data_shards(&cluster.settled().await?).collect();
        let registry = Arc::new(Registry::attach(&host, cluster.addresses()).await?);
        let table = registry.table()?;
        let load = PacedLoad::start(&host, clock, &registry, &table, &shards, every);
        Ok(Self { clock, cluster, load, shards, outages: Outages::default() })
    }

    /// Kills a node that leads shards, and starts it again when they take writes again.
    ///
    /// # Errors
    /// When they do not.
    pub(crate) async fn kill(&mut self, round: usize) -> anyhow::Result<()> {
        let leaders = self.cluster.settled().await?;
        let node = leading(&leaders, round).context("nobody leads a data shard")?;
        let killed_ns = self.clock.now_ns();
        self.cluster.kill(node).await?;
        let mut slowest = Duration::ZERO;
        for shard in data_shards(&leaders).filter(|shard| leaders[shard] == node) {
            let took = self.load.first_after(shard, killed_ns, OUTAGE_MAX).await?;
            self.outages.killed(took);
            slowest = slowest.max(took);
        }
        let now_ns = self.clock.now_ns();
        for shard in data_shards(&leaders).filter(|shard| leaders[shard] != node) {
            self.outages.bystander(self.load.longest_gap(shard, killed_ns, now_ns));
        }
        say(
            NAME,
            format_args!(
                "kill {}: node {node}, slowest shard {} ms",
                round + 1,
                slowest.as_millis()
            ),
        );
        self.cluster.restart(node)
    }

    /// Moves the leader of one shard to another node.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub(crate) async fn move_leader(&mut self, round: usize) -> anyhow::Result<()> {
        let leaders = self.cluster.settled().await?;
        let shard = self.shards[round % self.shards.len()];
        let nodes = self.cluster.addresses().len() as u64;
        let node = NodeId(leaders[&shard].0 % nodes + 1);
        let begun_ns = self.clock.now_ns();
        // For this long nothing has happened.
        let settled_ns = begun_ns - ns(SETTLED);
        let at_rest = self.load.longest_gap(shard, settled_ns, begun_ns);
        self.cluster.move_leader(shard, node).await?;
        sleep(LOOK_ON).await;
        let gap = self.load.longest_gap(shard, begun_ns, self.clock.now_ns());
        self.outages.moved(at_rest, gap);
        let gap = gap.as_millis();
        say(NAME, format_args!("move {}: shard {shard} to node {node}, gap {gap} ms", round + 1));
        Ok(())
    }
    /// Ends the load and looks for everything that was acknowledged.
    ///
    /// # Errors
    /// When the cluster does not come to rest.
    pub(crate) async fn finish(mut self, kills: usize, moves: usize) -> anyhow::Result<Outcome> {
        self.cluster.settled().await?;
        say(NAME, "looking for everything that was acknowledged");
        let verdict = self.load.check().await;
        Ok(self.outages.outcome(kills, moves, verdict))
    }
}

/// A node that leads data shards; each has its turn.
fn leading(leaders: &Leaders, round: usize) -> Option<NodeId> {
    let mut nodes: Vec<_> = data_shards(leaders).map(|shard| leaders[&shard]).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes.get(round.checked_rem(nodes.len())?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_that_leads_data_shards_has_its_turn() {
        let leaders = |of: &[(u32, u64)]| {
            of.iter().map(|(shard, node)| (ShardId(*shard), NodeId(*node))).collect::<Leaders>()
        };
        let all = leaders(&[(0, 1), (1, 3), (2, 2), (3, 3)]);
        let turns: Vec<_> = (0..4).map(|round| leading(&all, round).unwrap().0).collect();
        assert_eq!(turns, [2, 3, 2, 3]);
        assert_eq!(leading(&leaders(&[(0, 1)]), 5), None);
    }
}
