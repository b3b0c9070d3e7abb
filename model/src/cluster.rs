//! Cluster: the router nodes, and on which of them the replicas of each shard are.

use std::collections::BTreeMap;
use std::fmt;

use crate::id::{Incarnation, NodeId, Seq, ShardId};

/// The version of everything that router nodes say to each other and write into a shared log. Nodes
/// whose versions differ by one work together. 1 was the build for a single node.
pub const PROTOCOL: u32 = 2;

/// The instance of a data directory that was made before directories had one.
pub const FIRST_INSTANCE: &str = "first";

/// A router node as the cluster knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its number, never reused.
    pub id: NodeId,
    /// `host:port` of its registry service.
    pub registry: String,
    /// `host:port` of its peers service.
    pub peers: String,
    /// Names its data directory: a node that comes back with another one has lost what it promised.
    pub instance: String,
    /// See [`PROTOCOL`].
    pub protocol: u32,
}

/// What the cluster wants of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeState {
    /// It holds replicas and leads shards.
    Active,
    /// It keeps its replicas but leads nothing that another node can lead.
    Draining,
    /// Its replicas move to other nodes; when none is left it is removed.
    Leaving,
    /// It is no part of the cluster any more and never will be again.
    Removed,
}

impl NodeState {
    /// All states.
    pub const ALL: [Self; 4] = [Self::Active, Self::Draining, Self::Leaving, Self::Removed];

    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Leaving => "leaving",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Where the replicas of a shard should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Which shard; the control shard has one too.
    pub shard: ShardId,
    /// Counts the shard's placements, from 1. A new one names the one after the one it was made from.
    pub version: u64,
    /// The nodes that should vote, each once. The first one should lead.
    pub replicas: Vec<NodeId>,
}

/// From this version of the protocol on a leader says to which placement it answers: [`Placed::version`].
pub const PLACED_VERSION_PROTOCOL: u32 = 2;

/// Where the replicas of a shard are, as its leader last said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Which shard.
    pub shard: ShardId,
    /// Index in the shard's log of the membership told of; an older one changes nothing.
    pub log_index: u64,
    /// The nodes that vote, in order; while the membership is joint, those of both sides.
    pub voters: Vec<NodeId>,
    /// The nodes that only follow, in order.
    pub learners: Vec<NodeId>,
    /// The version of the placement that the leader knew when it said so; none where it did not say, as
    /// the build before did not.
    pub version: Option<u64>,
}

impl Placed {
    /// What orders the reports of one shard: where its members were decided, and then for what.
    pub fn age(&self) -> (u64, Option<u64>) {
        (self.log_index, self.version)
    }
}

/// Where the numbers of a cluster begin, so that one made from a backup gives none again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// The first incarnation that is given; lives below it belong to an earlier cluster and are fenced
    /// in every shard. 0 for a cluster that begins anew.
    pub first_incarnation: Incarnation,
    /// The first seq of each shard that does not begin with 1.
    pub first_seqs: BTreeMap<ShardId, Seq>,
}
