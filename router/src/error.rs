//! What can go wrong in a router node: one enum for each kind of operation, and in one place how each
//! is told to a client.

use std::io;
use std::net::SocketAddr;

use orrery_model::NodeId;
use orrery_proto::registry as wire;
use orrery_router_store::StoreError;
use tonic::Status;

/// Why a router node did not start. Trying again helps only after something was changed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration contradicts itself.
    #[error("configuration: {0}")]
    Config(String),
    /// The data directory is another node's.
    #[error("node_id is {configured}, but the data directory belongs to node {stored}")]
    OtherNode {
        /// What the configuration says.
        configured: u64,
        /// What the data directory says.
        stored: u64,
    },
    /// The number of shards is chosen once, when a cluster is founded.
    #[error("shards is {configured}, but the cluster was founded with {stored}; it cannot change")]
    OtherShards {
        /// What the configuration says.
        configured: u32,
        /// What the data directory says.
        stored: u32,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Disk(#[from] StoreError),
    /// The plan in the data directory does not found a cluster with this node.
    #[error("the data directory's founding: {0}")]
    Plan(String),
}

/// Why a write was not done, or why nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WriteError {
    /// Not done: another node leads the shard. Retry there.
    #[error("this node does not lead the shard")]
    NotLeader { leader: Option<NodeId> },
    /// Not done: a queue is full. Retry later.
    #[error("too many writes wait for the shard")]
    Overloaded,
    /// Not done: no quorum, or still starting, or not every node understands it yet. Retry later.
    #[error("the shard is not available: {0}")]
    Unavailable(String),
    /// Not done: the leader's disk is below its reserve. Retry later: another node will lead, or there
    /// will be room again.
    #[error("the leader's disk is below its reserve")]
    DiskFull,
    /// It may or may not take effect. Repeat only what has an identity.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// Not done, and never will be.
    #[error("a command of {bytes} bytes is too large")]
    TooLarge { bytes: usize },
}

/// Why a read gave no answer. It can be tried again, elsewhere or later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// Another node leads the shard.
    #[error("this node does not lead the shard")]
    NotLeader { leader: Option<NodeId> },
    /// Too many reads wait.
    #[error("too many reads wait for the shard")]
    Overloaded,
    /// No quorum, or still starting.
    #[error("the shard is not available: {0}")]
    Unavailable(String),
}

/// A failure as a session answers it.
pub(crate) fn failure(reason: wire::failure::Reason, detail: impl ToString) -> wire::Failure {
    wire::Failure { reason: reason.into(), detail: detail.to_string(), leader: 0, epoch: 0 }
}

impl From<WriteError> for wire::Failure {
    fn from(error: WriteError) -> Self {
        use wire::failure::Reason;
        let reason = match &error {
            WriteError::NotLeader { .. } => Reason::NotLeader,
            WriteError::Overloaded => Reason::Overloaded,
            WriteError::Unavailable(_) => Reason::Unavailable,
            WriteError::DiskFull => Reason::DiskFull,
            WriteError::Unknown(_) => Reason::Unknown,
            WriteError::TooLarge { .. } => Reason::Invalid,
        };
        let leader = match &error {
            WriteError::NotLeader { leader } => leader.map_or(0, |leader| leader.0),
            _ => 0,
        };
        Self { leader, ..failure(reason, error) }
    }
}

impl From<ReadError> for wire::Failure {
    fn from(error: ReadError) -> Self {
        use wire::failure::Reason;
        let reason = match &error {
            ReadError::NotLeader { .. } => Reason::NotLeader,
            ReadError::Overloaded => Reason::Overloaded,
            ReadError::Unavailable(_) => Reason::Unavailable,
        };
        let leader = match &error {
            ReadError::NotLeader { leader } => leader.map_or(0, |leader| leader.0),
            _ => 0,
        };
        Self { leader, ..failure(reason, error) }
    }
}

// What a unary call answers. `UNAVAILABLE`: certainly not done, another node may; `RESOURCE_EXHAUSTED`:
// not done, later; `INVALID_ARGUMENT`: never; `DEADLINE_EXCEEDED`: unknown.
impl From<WriteError> for Status {
    fn from(error: WriteError) -> Self {
        let detail = error.to_string();
        match error {
            WriteError::NotLeader { .. } | WriteError::Unavailable(_) | WriteError::DiskFull => {
                Self::unavailable(detail)
            }
            WriteError::Overloaded => Self::resource_exhausted(detail),
            WriteError::Unknown(_) => Self::deadline_exceeded(detail),
            WriteError::TooLarge { .. } => Self::invalid_argument(detail),
        }
    }
}

impl From<ReadError> for Status {
    fn from(error: ReadError) -> Self {
        let detail = error.to_string();
        match error {
            ReadError::NotLeader { .. } | ReadError::Unavailable(_) => Self::unavailable(detail),
            ReadError::Overloaded => Self::resource_exhausted(detail),
        }
    }
}
