//! Converts the nouns of a cluster of router nodes.

use orrery_model as model;
use orrery_model::cluster::{Counters, FIRST_INSTANCE, Node, NodeState, Placed, Placement};

use super::{WireError, by_value, unknown};
use crate::registry as wire;

// The build for a single node knew neither instance nor protocol. What it would have written is still
// written like that, so its nodes have one encoding.
impl From<&Node> for wire::Node {
    fn from(node: &Node) -> Self {
        let instance = if node.instance == FIRST_INSTANCE { "" } else { &node.instance };
        Self {
            id: node.id.0,
            registry: node.registry.clone(),
            peers: node.peers.clone(),
            instance: instance.to_owned(),
            protocol: if node.protocol == 1 { 0 } else { node.protocol },
        }
    }
}

impl From<wire::Node> for Node {
    fn from(wire: wire::Node) -> Self {
        let instance = match wire.instance {
            instance if instance.is_empty() => FIRST_INSTANCE.to_owned(),
            instance => instance,
        };
        Self {
            id: model::NodeId(wire.id),
            registry: wire.registry,
            peers: wire.peers,
            instance,
            protocol: wire.protocol.max(1),
        }
    }
}

impl From<NodeState> for wire::NodeState {
    fn from(state: NodeState) -> Self {
        match state {
            NodeState::Active => Self::Active,
            NodeState::Draining => Self::Draining,
            NodeState::Leaving => Self::Leaving,
            NodeState::Removed => Self::Removed,
        }
    }
}

/// The state that a field of this number means.
pub(super) fn node_state(number: i32, field: &'static str) -> Result<NodeState, WireError> {
    match wire::NodeState::try_from(number) {
        Ok(wire::NodeState::Active) => Ok(NodeState::Active),
        Ok(wire::NodeState::Draining) => Ok(NodeState::Draining),
        Ok(wire::NodeState::Leaving) => Ok(NodeState::Leaving),
        Ok(wire::NodeState::Removed) => Ok(NodeState::Removed),
        Ok(wire::NodeState::Unspecified) | Err(_) => Err(unknown(field, number)),
    }
}

impl From<&Placement> for wire::Placement {
    fn from(placement: &Placement) -> Self {
        Self {
            shard: placement.shard.0,
            version: placement.version,
            replicas: placement.replicas.iter().map(|node| node.0).collect(),
        }
    }
}

impl From<wire::Placement> for Placement {
    fn from(wire: wire::Placement) -> Self {
        Self {
            shard: model::ShardId(wire.shard),
            version: wire.version,
            replicas: wire.replicas.into_iter().map(model::NodeId).collect(),
        }
    }
}

impl From<&Placed> for wire::Placed {
    fn from(placed: &Placed) -> Self {
        let numbers = |nodes: &[model::NodeId]| nodes.iter().map(|node| node.0).collect();
        Self {
            shard: placed.shard.0,
            log_index: placed.log_index,
            voters: numbers(&placed.voters),
            learners: numbers(&placed.learners),
            version: placed.version,
        }
    }
}

impl From<wire::Placed> for Placed {
    fn from(wire: wire::Placed) -> Self {
        let nodes = |numbers: Vec<u64>| numbers.into_iter().map(model::NodeId).collect();
        Self {
            shard: model::ShardId(wire.shard),
            log_index: wire.log_index,
            voters: nodes(wire.voters),
            learners: nodes(wire.learners),
            version: wire.version,
        }
    }
}

/// Absent where every number begins as it does by itself.
pub(super) fn counters_to_wire(counters: &Counters) -> Option<wire::Counters> {
    (*counters != Counters::default()).then(|| wire::Counters {
        first_incarnation: counters.first_incarnation.0,
        first_seqs: counters.first_seqs.iter().map(|(shard, seq)| (shard.0, seq.0)).collect(),
    })
}

impl From<wire::Counters> for Counters {
    fn from(wire: wire::Counters) -> Self {
        let first_seq = |(shard, seq)| (model::ShardId(shard), model::Seq(seq));
        Self {
            first_incarnation: model::Incarnation(wire.first_incarnation),
            first_seqs: wire.first_seqs.into_iter().map(first_seq).collect(),
        }
    }
}

by_value! {
    Node => wire::Node,
    Placement => wire::Placement,
    Placed => wire::Placed,
}
