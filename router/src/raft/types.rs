//! The types that openraft is instantiated with.

use std::fmt;
use std::sync::Arc;

use openraft::type_config::alias::{EntryOf, LogIdOf, SnapshotMetaOf, StoredMembershipOf, VoteOf};
use orrery_model::command::{Batch, Reply};
use orrery_model::control::{ControlBatch, ControlReply};

use super::machine::Machine;

/// What an entry of a shard's log says. Shared, so that the log's tail in memory and the state machine
/// hold one copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Commands of a data shard.
    Data(Arc<Batch>),
    /// Commands of the control shard.
    Control(Arc<ControlBatch>),
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(batch) => write!(f, "{} commands", batch.commands.len()),
            Self::Control(batch) => write!(f, "{} control commands", batch.commands.len()),
        }
    }
}

/// What applying an entry answers: one reply for each of its commands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replies {
    /// The entry held no commands of ours.
    None,
    /// Replies of a data shard.
    Data(Vec<Reply>),
    /// Replies of the control shard.
    Control(Vec<ControlReply>),
}

/// `host:port` of a member's peers service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PeerAddress(pub(crate) String);

openraft::declare_raft_types!(
    /// Textbook Raft: one leader a term, so that a log id is (term, index).
    pub(crate) Types:
        D = Payload,
        R = Replies,
        NodeId = u64,
        Node = PeerAddress,
        Term = u64,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

pub(crate) type Raft = openraft::Raft<Types, Machine>;
pub(crate) type Entry = EntryOf<Types>;
pub(crate) type LogId = LogIdOf<Types>;
pub(crate) type Vote = VoteOf<Types>;
pub(crate) type Membership = openraft::Membership<u64, PeerAddress>;
pub(crate) type StoredMembership = StoredMembershipOf<Types>;
pub(crate) type SnapshotMeta = SnapshotMetaOf<Types>;
