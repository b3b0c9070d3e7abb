//! Report: how a node and its replicas stand, as it says itself.

use orrery_model::cluster::{Node, NodeState, Placed, Placement};
use orrery_model::{NodeId, ShardId};
use orrery_proto::cluster as wire;
use orrery_proto::registry::NodeState as WireState;

use super::{ClusterError, Described};

/// What one node knows of its cluster, and how its own replicas stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Who says so.
    pub node: Described,
    /// Why it cannot serve; `None` where it can.
    pub not_ready: Option<String>,
    /// All nodes that were ever part of the cluster.
    pub nodes: Vec<(Node, NodeState)>,
    /// Where replicas should be, and where they were when last told; the control shard's too.
    pub placements: Vec<(Placement, Option<Placed>)>,
    /// Replicas of each shard when the cluster was founded; 0 where the node does not know.
    pub replicas_founded: u32,
    /// The node's own replicas.
    pub replicas: Vec<ReplicaReport>,
    /// Epoch of its slot table.
    pub table_epoch: u64,
    /// Living comets.
    pub comets: u64,
    /// Bytes that may still be written to its disk.
    pub disk_free_bytes: u64,
    /// Bytes of its disk in total.
    pub disk_total_bytes: u64,
    /// Its disk is below its reserve.
    pub disk_full: bool,
}

/// How one replica stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaReport {
    /// Of which shard.
    pub shard: ShardId,
    /// Its part in the group.
    pub role: ReplicaRole,
    /// Raft's term.
    pub term: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<NodeId>,
    /// Last log index.
    pub last_index: u64,
    /// Last log index known to be committed.
    pub committed_index: u64,
    /// Last log index applied.
    pub applied_index: u64,
    /// Log index of its newest snapshot.
    pub snapshot_index: u64,
    /// Last log index purged.
    pub purged_index: u64,
    /// Who votes, in order.
    pub voters: Vec<NodeId>,
    /// Who only follows, in order.
    pub learners: Vec<NodeId>,
    /// The membership is changing.
    pub joint: bool,
    /// It has caught up with what was committed when it started.
    pub recovered: bool,
    /// What a data shard holds.
    pub data: DataReport,
}

/// What a replica of a data shard holds; zeros for the control shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DataReport {
    /// Slots that are open.
    pub slots: u64,
    /// Routes.
    pub routes: u64,
    /// Listings of rooms.
    pub listings: u64,
    /// The seq that the next bind takes.
    pub next_seq: u64,
    /// Position of the last fence event applied.
    pub cursor: u64,
}

/// A replica's part in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaRole {
    /// It leads.
    Leader,
    /// It votes and follows.
    Follower,
    /// It asks to be elected.
    Candidate,
    /// It follows without a vote.
    Learner,
}

impl ReplicaRole {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Candidate => "candidate",
            Self::Learner => "learner",
        }
    }
}

impl Report {
    /// The replica of a shard on this node, if it has one.
    pub fn replica(&self, shard: ShardId) -> Option<&ReplicaReport> {
        self.replicas.iter().find(|replica| replica.shard == shard)
    }

    /// The shards that this node leads.
    pub fn leads(&self) -> impl Iterator<Item = ShardId> + '_ {
        let leading = |replica: &&ReplicaReport| replica.role == ReplicaRole::Leader;
        self.replicas.iter().filter(leading).map(|replica| replica.shard)
    }

    pub(super) fn from_wire(wire: wire::StatusResponse) -> Result<Self, ClusterError> {
        let nodes = wire.nodes.into_iter().map(node_from_wire).collect::<Result<_, _>>()?;
        let placements = wire.placements.into_iter().map(|both| {
            let placement = both.placement.ok_or_else(|| missing("a placement"))?;
            Ok((placement.into(), both.placed.map(Into::into)))
        });
        Ok(Self {
            node: Described::from_wire(wire.node.ok_or_else(|| missing("the node"))?)?,
            not_ready: Some(wire.not_ready).filter(|reason| !reason.is_empty()),
            nodes,
            placements: placements.collect::<Result<_, ClusterError>>()?,
            replicas_founded: wire.replicas_founded,
            replicas: wire.replicas.into_iter().map(replica).collect::<Result<_, _>>()?,
            table_epoch: wire.table_epoch,
            comets: wire.comets.into(),
            disk_free_bytes: wire.disk_free_bytes,
            disk_total_bytes: wire.disk_total_bytes,
            disk_full: wire.disk_full,
        })
    }
}

fn node_from_wire(wire: wire::NodeStatus) -> Result<(Node, NodeState), ClusterError> {
    let state = match wire.state() {
        WireState::Active => NodeState::Active,
        WireState::Draining => NodeState::Draining,
        WireState::Leaving => NodeState::Leaving,
        WireState::Removed => NodeState::Removed,
        WireState::Unspecified => return Err(missing("a node's state")),
    };
    Ok((wire.node.ok_or_else(|| missing("a node"))?.into(), state))
}

fn replica(wire: wire::ReplicaStatus) -> Result<ReplicaReport, ClusterError> {
    use wire::replica_status::Role;
    let role = match wire.role() {
        Role::Leader => ReplicaRole::Leader,
        Role::Follower => ReplicaRole::Follower,
        Role::Candidate => ReplicaRole::Candidate,
        Role::Learner => ReplicaRole::Learner,
        Role::Unspecified => return Err(missing("a replica's role")),
    };
    let nodes = |numbers: Vec<u64>| numbers.into_iter().map(NodeId).collect();
    Ok(ReplicaReport {
        shard: ShardId(wire.shard),
        role,
        term: wire.term,
        leader: Some(NodeId(wire.leader)).filter(|leader| leader.0 != 0),
        last_index: wire.last_index,
        committed_index: wire.committed_index,
        applied_index: wire.applied_index,
        snapshot_index: wire.snapshot_index,
        purged_index: wire.purged_index,
        voters: nodes(wire.voters),
        learners: nodes(wire.learners),
        joint: wire.joint,
        recovered: wire.recovered,
        data: DataReport {
            slots: wire.slots,
            routes: wire.routes,
            listings: wire.listings,
            next_seq: wire.next_seq,
            cursor: wire.cursor,
        },
    })
}

fn missing(what: &str) -> ClusterError {
    ClusterError::Malformed { detail: format!("{what} is missing or of an unknown kind") }
}
