//! What the log of the control shard says: the cluster itself, its comets and their lives.

use crate::cluster::{Counters, NodeState, PLACED_VERSION_PROTOCOL, Placed, Placement};
use crate::id::{CometId, CometRef, Incarnation, NodeId, ShardId};
use crate::slot::SlotTable;

pub use crate::cluster::Node;

/// One log entry of the control shard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ControlBatch {
    /// See [`crate::command::Batch::elapsed_ms`].
    pub elapsed_ms: u64,
    /// See [`crate::command::Batch::wall_ms`].
    pub wall_ms: u64,
    /// The commands; each has one reply.
    pub commands: Vec<ControlCommand>,
}

/// A command of the control shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlCommand {
    /// Founds the cluster. Only the first one has an effect; a repeat with the same content is `Done`.
    Found(Found),
    /// Gives a comet a fresh incarnation and ends all its lower ones.
    Attach(Attach),
    /// Ends one incarnation of a comet (its goodbye, or its lease ran out).
    Expire(CometRef),
    /// Every data shard has applied the fence events up to this position: forget them.
    Trim {
        /// The last position to forget.
        position: u64,
    },
    /// A node joins. Its number must never have been another node's; a repeat is `Done`.
    AddNode(Node),
    /// A node says what has changed about it: addresses, protocol version. Its instance must be the one
    /// it joined with.
    UpdateNode(Node),
    /// Says what the cluster wants of a node from now on.
    SetNodeState {
        /// Which node.
        node: NodeId,
        /// What is wanted; nothing comes after [`NodeState::Removed`].
        state: NodeState,
    },
    /// Says where a shard's replicas should be from now on.
    Place(Placement),
    /// The leader of a shard says where its replicas are.
    Placed(Placed),
}

impl ControlCommand {
    /// The version of the protocol that every node must understand before this is proposed.
    pub fn protocol(&self) -> u32 {
        match self {
            // Every build that knows more than one node knows all of these.
            Self::Attach(_)
            | Self::Expire(_)
            | Self::Trim { .. }
            | Self::AddNode(_)
            | Self::UpdateNode(_)
            | Self::SetNodeState { .. }
            | Self::Place(_) => 1,
            // Where some would not understand which placement is answered, nobody may go by it.
            Self::Placed(placed) if placed.version.is_none() => 1,
            Self::Placed(_) => PLACED_VERSION_PROTOCOL,
            Self::Found(found) if found.counters == Counters::default() => 1,
            Self::Found(_) => 2,
        }
    }
}

/// The cluster as it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The cluster's id, drawn once.
    pub cluster_id: String,
    /// The router nodes with the addresses of their registry service.
    pub nodes: Vec<Node>,
    /// The data shards and the slots they own.
    pub table: SlotTable,
    /// Where the replicas of each shard, and of the control shard, begin, in order of the shards. None
    /// where every node holds every shard.
    pub placements: Vec<Placement>,
    /// Where the numbers begin.
    pub counters: Counters,
}

/// A comet comes (again).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attach {
    /// Its configured id.
    pub comet: CometId,
    /// Names the process: another instance under the same id supersedes it.
    pub instance: String,
    /// Counts the instance's attaches; a repeat of the last one is answered alike.
    pub attempt: u64,
    /// How to reach it, and what to tell devices.
    pub advertise: Advertise,
}

/// What a comet says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertise {
    /// `host:port` of its delivery service, for logic.
    pub delivery: String,
    /// Host name, shown by goim's instance list.
    pub hostname: String,
    /// Public addresses that devices are told, most preferred first.
    pub addresses: Vec<String>,
    /// Region, zone and environment, as goim's discovery knew them.
    pub region: String,
    /// See `region`.
    pub zone: String,
    /// See `region`.
    pub env: String,
    /// Weight in node advice; 0 is treated as 1.
    pub weight: u32,
}

/// A living comet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comet {
    /// Id and life.
    pub comet: CometRef,
    /// See [`Attach::instance`].
    pub instance: String,
    /// See [`Attach::attempt`].
    pub attempt: u64,
    /// See [`Attach::advertise`].
    pub advertise: Advertise,
    /// Wall time of the attach in milliseconds since the Unix epoch, for people.
    pub attached_at_ms: u64,
}

/// One fence to be written into every data shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FenceEvent {
    /// Its place in the sequence of all such events, from 1.
    pub position: u64,
    /// Which comet.
    pub comet: CometId,
    /// The lowest incarnation still allowed.
    pub fence: Incarnation,
}

/// What a control command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ControlOutcome {
    /// It took effect, or what it says was already so.
    Done,
    /// The comet lives under this incarnation.
    Attached {
        /// Its number.
        incarnation: Incarnation,
        /// Position of the fence event that ended its lower lives; shards whose cursor is at or beyond
        /// it show none of them.
        position: u64,
    },
}

/// Why a control command changed nothing; every replica refuses alike.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlRefusal {
    /// The cluster was founded differently.
    #[error("the cluster {cluster_id} already exists")]
    AlreadyFounded {
        /// The id it was founded with.
        cluster_id: String,
    },
    /// There is no cluster yet.
    #[error("the cluster is not founded yet")]
    NotFounded,
    /// An older attempt of the same instance, or one from an instance that was superseded.
    #[error("superseded by incarnation {incarnation}")]
    Superseded {
        /// The living incarnation.
        incarnation: Incarnation,
    },
    /// The number belongs or belonged to another node: its disk was lost, or the configuration was
    /// copied. Join under a new number.
    #[error("node {node} is or was another one: a lost disk comes back under a new node id")]
    NodeUsed {
        /// The number.
        node: NodeId,
    },
    /// The cluster does not know such a node.
    #[error("the cluster has no node {node}")]
    UnknownNode {
        /// The number.
        node: NodeId,
    },
    /// The node was removed for good.
    #[error("node {node} was removed")]
    RemovedNode {
        /// The number.
        node: NodeId,
    },
    /// The placement was made from one that is not the newest: look again.
    #[error("the placement of shard {shard} is at version {version}")]
    StalePlacement {
        /// Whose placement.
        shard: ShardId,
        /// Its version.
        version: u64,
    },
    /// The node still holds a replica, so it cannot be removed yet.
    #[error("node {node} still holds shard {shard}")]
    StillPlaced {
        /// Which node.
        node: NodeId,
        /// One of its shards.
        shard: ShardId,
    },
    /// The command breaks a rule.
    #[error("invalid command: {0}")]
    Invalid(&'static str),
}

/// What applying one control command gives.
pub type ControlReply = Result<ControlOutcome, ControlRefusal>;

/// The shards of a table, in order and once each.
pub fn shards_of(table: &SlotTable) -> Vec<ShardId> {
    let mut shards = table.owners().to_vec();
    shards.sort_unstable();
    shards.dedup();
    shards
}
