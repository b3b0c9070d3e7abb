//! Nodes: which router nodes the cluster has and has had, and what it wants of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_model::cluster::{Node, NodeState};
use orrery_model::control::{ControlOutcome, ControlRefusal, ControlReply};
use orrery_model::{NodeId, ShardId};

use super::checks;
use crate::limits::{NODES_EVER_MAX, NODES_MAX};

/// The nodes by their numbers. A removed one stays, so that its number is never another node's.
#[derive(Debug, Clone, Default)]
pub(super) struct Nodes {
    nodes: Arc<BTreeMap<NodeId, (Node, NodeState)>>,
}

impl Nodes {
    /// The nodes that a cluster begins with.
    pub(super) fn begin(nodes: &[Node]) -> Self {
        let active = |node: &Node| (node.id, (node.clone(), NodeState::Active));
        Self { nodes: Arc::new(nodes.iter().map(active).collect()) }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Node, NodeState)> {
        self.nodes.values().map(|(node, state)| (node, *state))
    }

    pub(super) fn get(&self, id: NodeId) -> Option<(&Node, NodeState)> {
        self.nodes.get(&id).map(|(node, state)| (node, *state))
    }

    /// The version of the protocol that all nodes speak; 1 where there are none.
    pub(super) fn protocol(&self) -> u32 {
        let present = self.iter().filter(|(_, state)| *state != NodeState::Removed);
        present.map(|(node, _)| node.protocol).min().unwrap_or(1)
    }

    pub(super) fn add(&mut self, node: &Node) -> ControlReply {
        checks::check_node(node)?;
        match self.nodes.get(&node.id) {
            Some((held, _)) if held.instance != node.instance => {
                Err(ControlRefusal::NodeUsed { node: node.id })
            }
            Some((_, NodeState::Removed)) => Err(ControlRefusal::RemovedNode { node: node.id }),
            Some(_) => Ok(ControlOutcome::Done),
            None => self.admit(node),
        }
    }

    fn admit(&mut self, node: &Node) -> ControlReply {
        let removed = self.iter().filter(|(_, state)| *state == NodeState::Removed).count();
        if self.nodes.len() - removed >= NODES_MAX {
            return Err(ControlRefusal::Invalid("the cluster has as many nodes as it can have"));
        }
        if self.nodes.len() >= NODES_EVER_MAX {
            return Err(ControlRefusal::Invalid("the cluster has had too many nodes"));
        }
        self.check_protocol(node)?;
        Arc::make_mut(&mut self.nodes).insert(node.id, (node.clone(), NodeState::Active));
        Ok(ControlOutcome::Done)
    }

    /// The logs that a node must follow may hold already what all nodes understand.
    fn check_protocol(&self, node: &Node) -> Result<(), ControlRefusal> {
        match node.protocol < self.protocol() {
            true => {
                Err(ControlRefusal::Invalid("the node speaks an older protocol than the cluster"))
            }
            false => Ok(()),
        }
    }

    pub(super) fn update(&mut self, node: &Node) -> ControlReply {
        checks::check_node(node)?;
        let Some((held, state)) = self.get(node.id) else {
            return Err(ControlRefusal::UnknownNode { node: node.id });
        };
        if held.instance != node.instance {
            return Err(ControlRefusal::NodeUsed { node: node.id });
        }
        if state == NodeState::Removed {
            return Err(ControlRefusal::RemovedNode { node: node.id });
        }
        self.check_protocol(node)?;
        if held != node {
            Arc::make_mut(&mut self.nodes).insert(node.id, (node.clone(), state));
        }
        Ok(ControlOutcome::Done)
    }

    /// Changes what is wanted of a node, which still `holds` a replica of that shard if of any.
    pub(super) fn set_state(
        &mut self,
        id: NodeId,
        state: NodeState,
        holds: Option<ShardId>,
    ) -> ControlReply {
        let Some((node, held)) = self.get(id) else {
            return Err(ControlRefusal::UnknownNode { node: id });
        };
        match (held, state) {
            _ if held == state => return Ok(ControlOutcome::Done),
            (NodeState::Removed, _) => return Err(ControlRefusal::RemovedNode { node: id }),
            // Its replicas could go nowhere.
            (_, NodeState::Leaving) | (NodeState::Active, NodeState::Removed)
                if !self.has_active_beside(id) =>
            {
                return Err(ControlRefusal::Invalid("no other node is active"));
            }
            (_, NodeState::Removed) => {
                if let Some(shard) = holds {
                    return Err(ControlRefusal::StillPlaced { node: id, shard });
                }
            }
            _ => {}
        }
        let node = node.clone();
        Arc::make_mut(&mut self.nodes).insert(id, (node, state));
        Ok(ControlOutcome::Done)
    }

    fn has_active_beside(&self, id: NodeId) -> bool {
        self.iter().any(|(node, state)| node.id != id && state == NodeState::Active)
    }

    /// Takes a node as a snapshot tells it; false where its number was taken already.
    pub(super) fn restore(&mut self, node: Node, state: NodeState) -> bool {
        Arc::make_mut(&mut self.nodes).insert(node.id, (node, state)).is_none()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }
}
