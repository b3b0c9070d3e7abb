//! Fleet: all nodes of the cluster, each with what it says of itself now.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;
use orrery_model::cluster::{Node, NodeState, Placed, Placement};
use orrery_model::{NodeId, ShardId};
use orrery_router_client::cluster::{ReplicaReport, ReplicaRole, Report};

use super::context::Context;
use super::error::CtlError;

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
        let table = context.client.table(context.soon()).await?;
        let reports = join_all(table.nodes.iter().map(|node| async move {
            let report = context.client.report(&node.registry, context.soon()).await;
            (node, report.map_err(|error| error.to_string()))
        }));
        let mut reports: BTreeMap<NodeId, (Node, Result<Report, String>)> = reports
            .await
            .into_iter()
            .map(|(node, report)| (node.id, (node.clone(), report)))
            .collect();
        for (node, report) in reports.values_mut() {
            // Another node may have taken the address.
            if let Ok(told) = &*report
                && told.node.node.id != node.id
            {
                *report = Err(format!("{} is node {} now", node.registry, told.node.node.id));
            }
        }
        let best = best_view(reports.values().filter_map(|(_, report)| report.as_ref().ok()));
        let Some(best) = best else {
            let why = reports.values().find_map(|(_, report)| report.as_ref().err().cloned());
            let why = why.unwrap_or_else(|| "the cluster has no nodes".to_owned());
            return Err(CtlError::Unreachable(why));
        };
        let (known, placements) = (best.nodes.clone(), best.placements.clone());
        let removed = known.iter().filter(|(_, state)| *state == NodeState::Removed);
        let removed: Vec<_> = removed.map(|(node, _)| node.id).collect();
        let living = known.into_iter().filter(|(_, state)| *state != NodeState::Removed);
        let nodes = living.map(|(node, state)| {
            let unseen = || Err("the slot table does not name it yet".to_owned());
            let report = reports.remove(&node.id).map_or_else(unseen, |(_, report)| report);
            FleetNode { node, state, report }
        });
        Ok(Self {
            cluster_id: table.cluster_id,
            table_epoch: table.slots.epoch,
            data_shards: table.shards,
            nodes: nodes.collect(),
            removed,
            placements: placements.into_iter().map(|both| (both.0.shard, both)).collect(),
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
                problems.push(format!("shard {shard} has no leader"));
            } else if !self.is_settled(shard) {
                problems.push(format!("shard {shard} is not where it should be yet"));
            }
        }
        problems
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
