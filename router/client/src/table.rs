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
    /// Index in the control shard's log at which this was so; 0 where the node did not say.
    pub log_index: u64,
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

    /// Whether it comes from a node that was behind the one that told `other`. Without an index only the
    /// epochs say so.
    pub(crate) fn is_older_than(&self, other: &Self) -> bool {
        let both_told = self.log_index != 0 && other.log_index != 0;
        self.slots.epoch < other.slots.epoch || (both_told && self.log_index < other.log_index)
    }

    /// Whether both say the same, whenever that was so.
    pub(crate) fn agrees_with(&self, other: &Self) -> bool {
        let Self { cluster_id, slots, nodes, shards, log_index: _ } = self;
        (cluster_id, slots, nodes, shards)
            == (&other.cluster_id, &other.slots, &other.nodes, &other.shards)
    }

    pub(crate) fn from_wire(wire: GetTableResponse) -> Result<Self, TableError> {
        let slots: SlotTable = wire.table.ok_or(TableError::NotFounded)?.try_into()?;
        if wire.nodes.is_empty() || wire.nodes.len() > NODES_MAX {
            return Err(TableError::Nodes(wire.nodes.len()));
        }
        let shards = shards_of(&slots);
        let nodes = wire.nodes.into_iter().map(Node::from).collect();
        let (cluster_id, log_index) = (wire.cluster_id, wire.log_index);
        Ok(Self { cluster_id, slots, nodes, shards, log_index })
    }
}
