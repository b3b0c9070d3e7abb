//! Fleet: all nodes of the cluster, each with what it says of itself now.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use orrery_model::cluster::{Node, NodeState, Placed, Placement};
use orrery_model::{NodeId, ShardId};
use orrery_router_client::cluster::{ReplicaReport, ReplicaRole, Report};

use super::context::Context;
use super::error::{CtlError, no_answer};
use super::founding::{lost_disk, no_cluster};
use super::print::shard_name;

/// The cluster at one look.
pub(super) struct Fleet {
    pub(super) cluster_id: String,
    pub(super) table_epoch: u64,
    pub(super) data_shards: Vec<ShardId>,
    /// All nodes that were not removed, in order of their numbers.
    pub(super) nodes: Vec<FleetNode>,
    /// Those that were removed.
    pub(super) removed: Vec<NodeId>,
    /// Where each shard should be, and where it was when last told.
    pub(super) placements: BTreeMap<ShardId, (Placement, Option<Placed>)>,
    /// Replicas of each shard when the cluster was founded; 0 where nobody says.
    pub(super) replicas_founded: usize,
}

/// A node, with what it says of itself.
pub(super) struct FleetNode {
    pub(super) node: Node,
    pub(super) state: NodeState,
    /// Why it says nothing, where it does not.
    pub(super) report: Result<Report, String>,
}

impl Fleet {
    /// Asks the nodes that the slot table names.
    ///
    /// # Errors
    /// [`CtlError::Unreachable`] when no node is reached that knows the cluster.
    pub(super) async fn look(context: &Context) -> Result<Self, CtlError> {
        let table = match context.client.table(context.soon()).await {
            Ok(table) => table,
            Err(error) => return Err(no_cluster(context).await.unwrap_or_else(|| error.into())),
        };
        let cluster_id = table.cluster_id.as_str();
        let reports = table
            .nodes
            .iter()
            .map(|node| async move { (node.id, ask(context, cluster_id, node).await) });
        let mut reports: BTreeMap<NodeId, Result<Report, String>> =
            join_all(reports).await.into_iter().collect();
        let best = best_view(reports.values().filter_map(|report| report.as_ref().ok()));
        let Some(best) = best else {
            let why = reports.into_values().filter_map(Result::err);
            let why = why.collect::<Vec<_>>().join("; ");
            return Err(CtlError::Unreachable(format!("no node of the cluster answers: {why}")));
        };
        let replicas_founded = best.replicas_founded as usize;
        let (known, placements) = (best.nodes.clone(), best.placements.clone());
        let removed = known.iter().filter(|(_, state)| *state == NodeState::Removed);
        let removed: Vec<_> = removed.map(|(node, _)| node.id).collect();
        let living = known.into_iter().filter(|(_, state)| *state != NodeState::Removed);
        let nodes = living.map(|(node, state)| {
            let unseen = || Err("the slot table does not name it yet".to_owned());
            let report = reports.remove(&node.id).unwrap_or_else(unseen);
            FleetNode { node, state, report }
        });
        Ok(Self {
            cluster_id: table.cluster_id,
            table_epoch: table.slots.epoch,
            data_shards: table.shards,
            nodes: nodes.collect(),
            removed,
            placements: placements.into_iter().map(|both| (both.0.shard, both)).collect(),
            replicas_founded,
        })
    }

    pub(super) fn node(&self, id: NodeId) -> Option<&FleetNode> {
        self.nodes.iter().find(|node| node.node.id == id)
    }

    /// The control shard and the data shards.
    pub(super) fn shards(&self) -> impl Iterator<Item = ShardId> + '_ {
        std::iter::once(ShardId::CONTROL).chain(self.data_shards.iter().copied())
    }

    /// Every replica of a shard that was told of, with its node.
    pub(super) fn replicas(
        &self,
        shard: ShardId,
    ) -> impl Iterator<Item = (NodeId, &ReplicaReport)> + '_ {
        self.nodes.iter().filter_map(move |node| {
            let report = node.report.as_ref().ok()?;
            Some((node.node.id, report.replica(shard)?))
        })
    }

    /// Who leads a shard by its own word, in the newest term that anybody does.
    pub(super) fn leader(&self, shard: ShardId) -> Option<(NodeId, &ReplicaReport)> {
        let leading = |(_, replica): &(NodeId, &ReplicaReport)| replica.role == ReplicaRole::Leader;
        self.replicas(shard).filter(leading).max_by_key(|(_, replica)| replica.term)
    }

    /// Nodes that are not leaving.
    pub(super) fn staying(&self) -> impl Iterator<Item = &FleetNode> {
        self.nodes.iter().filter(|node| node.state != NodeState::Leaving)
    }

    /// How many replicas each shard should have: as many as when the cluster was founded, or as one of them
    /// was given since.
    pub(super) fn replicas_wanted(&self) -> usize {
        let given = self.placements.values().map(|(placement, _)| placement.replicas.len());
        given.max().unwrap_or(0).max(self.replicas_founded)
    }

    /// How many replicas the shard with the fewest is to have now.
    pub(super) fn replicas_least(&self) -> usize {
        let given = self.placements.values().map(|(placement, _)| placement.replicas.len());
        given.min().unwrap_or(0)
    }

    /// Whether a shard's replicas are where they should be, by the word of its leader.
    pub(super) fn is_settled(&self, shard: ShardId) -> bool {
        let Some((placement, Some(placed))) = self.placements.get(&shard) else { return false };
        let wanted: BTreeSet<_> = placement.replicas.iter().collect();
        let voters: BTreeSet<_> = placed.voters.iter().collect();
        // All other nodes follow the control shard.
        wanted == voters && (shard == ShardId::CONTROL || placed.learners.is_empty())
    }

    /// Whether the replicas are spread evenly over the active nodes. While a node is not reached nothing is
    /// moved to even them out, so this is as even as it gets.
    pub(super) fn is_even(&self) -> bool {
        if self.nodes.iter().any(|node| node.report.is_err()) {
            return true;
        }
        let held = |node: &FleetNode| {
            let holds = |placement: &Placement| placement.replicas.contains(&node.node.id);
            self.placements.values().filter(|(placement, _)| holds(placement)).count()
        };
        let active = self.nodes.iter().filter(|node| node.state == NodeState::Active);
        let counts: Vec<usize> = active.map(held).collect();
        let (most, least) = (counts.iter().max(), counts.iter().min());
        most.zip(least).is_none_or(|(most, least)| *most < least + 2)
    }

    /// Why a shard without leader has none, as far as can be seen.
    pub(super) fn leaderless(&self, shard: ShardId) -> String {
        let said = self.placements.get(&shard).is_none_or(|(_, placed)| placed.is_some());
        let begun = said || self.replicas(shard).any(|(_, held)| !held.voters.is_empty());
        match self.begins(shard).filter(|_| !begun) {
            None => format!("shard {} has no leader", shard_name(shard)),
            Some(first) => format!(
                "shard {} was not begun yet, which node {first} is to do: start it; if its disk was lost, \
                 nobody can, so wipe all nodes and bootstrap again",
                shard_name(shard),
            ),
        }
    }

    /// The node that begins a shard: the first of those that the cluster was founded with it on.
    fn begins(&self, shard: ShardId) -> Option<NodeId> {
        let told = self.nodes.iter().filter_map(|node| node.report.as_ref().ok());
        let plan = told.filter_map(|report| report.node.founding.as_ref()).next()?;
        match plan.placements.iter().find(|placement| placement.shard == shard) {
            Some(placement) => placement.replicas.first().copied(),
            None => plan.nodes.first().map(|node| node.id),
        }
    }

    /// What is not as it should be, in words.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for FleetNode { node, report, .. } in &self.nodes {
            match report {
                Err(why) => problems.push(format!("node {}: {why}", node.id)),
                Ok(report) => {
                    if let Some(reason) = &report.not_ready {
                        problems.push(format!("node {} is not ready: {reason}", node.id));
                    }
                    if report.disk_full {
                        problems.push(format!("node {}: its disk is below its reserve", node.id));
                    }
                }
            }
        }
        for shard in self.shards() {
            if self.leader(shard).is_none() {
                problems.push(self.leaderless(shard));
            } else if !self.is_settled(shard) {
                let name = shard_name(shard);
                problems.push(format!("shard {name} is not where it should be yet"));
            }
        }
        let (least, wanted) = (self.replicas_least(), self.replicas_wanted());
        if least < wanted {
            let few = |placement: &Placement| placement.replicas.len() < wanted;
            let few = self.placements.values().filter(|(placement, _)| few(placement)).count();
            problems.push(format!(
                "{few} shards have fewer than {wanted} replicas, some only {least}: they need more active \
                 nodes",
            ));
        }
        problems
    }
}

/// What the cluster's node says of itself, or why it does not.
async fn ask(context: &Context, cluster_id: &str, node: &Node) -> Result<Report, String> {
    let (until, address) = (context.soon(), &node.registry);
    let (told, report) = match context.client.report(address, until).await {
        Ok(report) => (report.node.clone(), Ok(report)),
        Err(error) => {
            let why = format!("{address} does not answer: {}", no_answer(error));
            // One that is no member cannot report, but knows who it is.
            match context.client.describe(address, until).await {
                Ok(told) => (told, Err(why)),
                Err(_) => return Err(why),
            }
        }
    };
    // It may have taken the address.
    if told.node.id != node.id {
        return Err(format!("{address} is node {} now", told.node.id));
    }
    if !node.instance.is_empty() && told.node.instance != node.instance {
        return Err(lost_disk(node.id, address));
    }
    match told.cluster_id {
        Some(other) if other != cluster_id => {
            Err(format!("{address} belongs to the cluster {other} now"))
        }
        _ => report,
    }
}

/// The report that knows most of the cluster: the control shard's leader's, else of whoever has applied
/// most of its log.
fn best_view<'a>(reports: impl Iterator<Item = &'a Report>) -> Option<&'a Report> {
    reports.max_by_key(|report| {
        report.replica(ShardId::CONTROL).map(|replica| {
            let leads = replica.role == ReplicaRole::Leader;
            (leads.then_some(replica.term), replica.applied_index)
        })
    })
}
