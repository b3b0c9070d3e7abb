//! Table: what the client believes of the cluster.

use orrery_model::control::{Node, shards_of};
use orrery_model::{NodeId, ShardId, Slot, SlotTable};
use orrery_proto::convert::WireError;
use orrery_proto::registry::GetTableResponse;

use crate::limits::NODES_MAX;

/// The slot table and the nodes, as some router node last knew them. A hint: shards decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The cluster's id.
    pub cluster_id: String,
    /// Which shard owns each slot.
    pub slots: SlotTable,
    /// The router nodes; at least one.
    pub nodes: Vec<Node>,
    /// The data shards, in order.
    pub shards: Vec<ShardId>,
}

/// Why a node's answer was not taken as a table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("no slot table yet")]
    NotFounded,
    #[error("{0} nodes are not between 1 and {NODES_MAX}")]
    Nodes(usize),
}

impl Table {
    pub(crate) fn owner(&self, slot: Slot) -> ShardId {
        self.slots.owner(slot)
    }

    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    pub(crate) fn from_wire(wire: GetTableResponse) -> Result<Self, TableError> {
        let slots: SlotTable = wire.table.ok_or(TableError::NotFounded)?.try_into()?;
        if wire.nodes.is_empty() || wire.nodes.len() > NODES_MAX {
            return Err(TableError::Nodes(wire.nodes.len()));
        }
        let shards = shards_of(&slots);
        let nodes = wire.nodes.into_iter().map(Node::from).collect();
        Ok(Self { cluster_id: wire.cluster_id, slots, nodes, shards })
    }
}
