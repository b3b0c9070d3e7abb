//! Refusal: why a node does not talk to another one. Each is one word that programs can read.

use orrery_model::{NodeId, ShardId};
use tonic::Status;

/// Why a message of another node is refused. Sending it again helps only once the reason is gone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// The sender belongs to another cluster.
    #[error("this node is of cluster {ours:?}, the sender of {theirs:?}")]
    WrongCluster { ours: String, theirs: String },
    /// The message is for another node, or its sender has another data directory than the cluster knows.
    #[error("{0}")]
    WrongNode(String),
    /// The cluster has no such node.
    #[error("node {0} is not known here")]
    UnknownNode(NodeId),
    /// The sender was removed from the cluster for good.
    #[error("node {0} was removed from the cluster")]
    RemovedNode(NodeId),
    /// Their versions are too far apart.
    #[error("this node speaks protocol {ours}, the sender {theirs}: only one version apart works")]
    Protocol { ours: u32, theirs: u32 },
    /// This node holds no replica of the shard.
    #[error("shard {0} is not here")]
    NoShard(ShardId),
    /// The shard's core has ended, or the node is stopping.
    #[error("{0}")]
    Ended(String),
    /// What was sent cannot be understood.
    #[error("{0}")]
    Malformed(String),
}

impl Refusal {
    /// The word that names the refusal.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::WrongCluster { .. } => "WRONG_CLUSTER",
            Self::WrongNode(_) => "WRONG_NODE",
            Self::UnknownNode(_) => "UNKNOWN_NODE",
            Self::RemovedNode(_) => "REMOVED_NODE",
            Self::Protocol { .. } => "PROTOCOL",
            Self::NoShard(_) => "NO_SHARD",
            Self::Ended(_) => "ENDED",
            Self::Malformed(_) => "MALFORMED",
        }
    }

    /// The word and what it means here.
    pub(crate) fn detail(&self) -> String {
        format!("{}: {self}", self.word())
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.detail();
        match refusal {
            Refusal::NoShard(_) => Self::not_found(detail),
            Refusal::Ended(_) => Self::unavailable(detail),
            Refusal::Malformed(_) => Self::invalid_argument(detail),
            _ => Self::failed_precondition(detail),
        }
    }
}
