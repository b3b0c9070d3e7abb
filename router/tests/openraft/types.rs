//! The types that these cores are made of.

use openraft::impls::EmptyNode;
use openraft::type_config::alias::{EntryOf, LogIdOf, StoredMembershipOf, VoteOf};

use crate::machine::Machine;

openraft::declare_raft_types!(
    /// One leader a term, as in the product; commands are words.
    pub(crate) Types:
        D = String,
        R = (),
        NodeId = u64,
        Node = EmptyNode,
        Term = u64,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
);

pub(crate) type Raft = openraft::Raft<Types, Machine>;
pub(crate) type Entry = EntryOf<Types>;
pub(crate) type LogId = LogIdOf<Types>;
pub(crate) type Vote = VoteOf<Types>;
pub(crate) type StoredMembership = StoredMembershipOf<Types>;
