//! Placements: where the replicas of each shard should be, and where they were last said to be.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_model::cluster::{NodeState, Placed, Placement};
use orrery_model::control::{ControlOutcome, ControlRefusal, ControlReply, Found, shards_of};
use orrery_model::{NodeId, ShardId};

use super::checks;
use super::nodes::Nodes;

/// The placements of all shards, the control shard's too.
#[derive(Debug, Clone, Default)]
pub(super) struct Placements {
    placements: Arc<BTreeMap<ShardId, Placement>>,
    placed: Arc<BTreeMap<ShardId, Placed>>,
}

impl Placements {
    /// Where a cluster begins.
    pub(super) fn begin(found: &Found) -> Self {
        let first = |shard| Placement { shard, version: 1, replicas: first_replicas(found, shard) };
        let placements = all_shards(found).into_iter().map(|shard| (shard, first(shard)));
        Self { placements: Arc::new(placements.collect()), placed: Arc::default() }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Placement> {
        self.placements.values()
    }

    pub(super) fn get(&self, shard: ShardId) -> Option<&Placement> {
        self.placements.get(&shard)
    }

    pub(super) fn iter_placed(&self) -> impl Iterator<Item = &Placed> {
        self.placed.values()
    }

    pub(super) fn placed(&self, shard: ShardId) -> Option<&Placed> {
        self.placed.get(&shard)
    }

    pub(super) fn place(&mut self, placement: &Placement, nodes: &Nodes) -> ControlReply {
        let Some(held) = self.placements.get(&placement.shard) else {
            return Err(ControlRefusal::Invalid("the cluster has no such shard"));
        };
        if held == placement {
            return Ok(ControlOutcome::Done);
        }
        if held.version.checked_add(1) != Some(placement.version) {
            let Placement { shard, version, .. } = *held;
            return Err(ControlRefusal::StalePlacement { shard, version });
        }
        checks::check_replicas(&placement.replicas)?;
        for node in &placement.replicas {
            match nodes.get(*node) {
                None => return Err(ControlRefusal::UnknownNode { node: *node }),
                Some((_, NodeState::Removed)) => {
                    return Err(ControlRefusal::RemovedNode { node: *node });
                }
                Some((_, NodeState::Leaving)) if !held.replicas.contains(node) => {
                    return Err(ControlRefusal::Invalid("a leaving node takes no more replicas"));
                }
                Some(_) => {}
            }
        }
        Arc::make_mut(&mut self.placements).insert(placement.shard, placement.clone());
        Ok(ControlOutcome::Done)
    }

    pub(super) fn report(&mut self, placed: &Placed, nodes: &Nodes) -> ControlReply {
        if !self.placements.contains_key(&placed.shard) {
            return Err(ControlRefusal::Invalid("the cluster has no such shard"));
        }
        checks::check_placed(placed)?;
        // One that was removed may still be named: the shard's leader is the last to hear of it.
        let mut members = placed.voters.iter().chain(&placed.learners);
        if let Some(node) = members.find(|node| nodes.get(**node).is_none()) {
            return Err(ControlRefusal::UnknownNode { node: *node });
        }
        // Of the same members the shard's leader tells again once it knows a newer placement.
        if self.placed(placed.shard).is_none_or(|held| held.age() < placed.age()) {
            Arc::make_mut(&mut self.placed).insert(placed.shard, placed.clone());
        }
        Ok(ControlOutcome::Done)
    }

    /// A shard that a node holds a replica of or should hold one of. The control shard has a replica
    /// on every node: there only a vote counts. A shard whose leader has said nothing yet is where it
    /// began. One whose leader answers to another placement may be anywhere: what was wanted in between
    /// may have been begun.
    pub(super) fn held_by(&self, node: NodeId, found: &Found) -> Option<ShardId> {
        let holds = |placement: &&Placement| {
            let shard = placement.shard;
            placement.replicas.contains(&node)
                || match self.placed(shard) {
                    Some(Placed { version: Some(version), .. })
                        if *version != placement.version =>
                    {
                        true
                    }
                    Some(placed) if shard == ShardId::CONTROL => placed.voters.contains(&node),
                    Some(placed) => {
                        placed.voters.contains(&node) || placed.learners.contains(&node)
                    }
                    None => first_replicas(found, shard).contains(&node),
                }
        };
        self.iter().find(holds).map(|placement| placement.shard)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.placements.is_empty() && self.placed.is_empty()
    }

    /// Takes a placement as a snapshot tells it; false where its shard has one already.
    pub(super) fn restore(&mut self, placement: Placement) -> bool {
        Arc::make_mut(&mut self.placements).insert(placement.shard, placement).is_none()
    }

    /// Takes a report as a snapshot tells it; false where its shard has one already.
    pub(super) fn restore_placed(&mut self, placed: Placed) -> bool {
        Arc::make_mut(&mut self.placed).insert(placed.shard, placed).is_none()
    }
}

/// The control shard and the shards of the table, in order.
pub(super) fn all_shards(found: &Found) -> Vec<ShardId> {
    let mut shards = shards_of(&found.table);
    shards.insert(0, ShardId::CONTROL);
    shards
}

/// Where a shard's replicas began: on every node where the founding says nothing else.
pub(super) fn first_replicas(found: &Found, shard: ShardId) -> Vec<NodeId> {
    match found.placements.iter().find(|placement| placement.shard == shard) {
        Some(placement) => placement.replicas.clone(),
        None => found.nodes.iter().map(|node| node.id).collect(),
    }
}
