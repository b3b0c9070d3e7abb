//! Digest: everything that a replica holds, as one number.

use orrery_model::ShardId;
use orrery_proto::cluster as wire;

/// The digest of a replica at one index of its log. Equal on all replicas of the shard that have applied as
/// much, or one of them holds something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardDigest {
    /// Of which shard.
    pub shard: ShardId,
    /// Raft's term of the last entry applied.
    pub term: u64,
    /// Index of the last entry applied.
    pub index: u64,
    /// Over routes, rooms, marks, fences, counters, members and whatever else a snapshot carries.
    pub digest: u64,
}

impl ShardDigest {
    pub(super) fn from_wire(wire: &wire::ShardDigest) -> Self {
        let wire::ShardDigest { shard, term, index, digest } = *wire;
        Self { shard: ShardId(shard), term, index, digest }
    }
}
