//! Entry: openraft's nouns as our storage contract writes them, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use openraft::{EntryPayload, vote::leader_id_std::CommittedLeaderId};
use orrery_model::ShardId;
use orrery_proto::storage as wire;
use prost::Message as _;

use super::departure::Left;
use super::types::{
    Entry, LogId, Membership, Payload, PeerAddress, SnapshotMeta, StoredMembership, Vote,
};

/// Version of each of these encodings; a newer one is refused.
const VERSION: u32 = 1;

/// An entry as it is stored.
pub(crate) fn encode_entry(entry: &Entry) -> Bytes {
    let payload = match &entry.payload {
        EntryPayload::Blank => wire::entry::Payload::Blank(wire::Blank {}),
        EntryPayload::Normal(Payload::Data(batch)) => {
            wire::entry::Payload::Batch(batch.as_ref().into())
        }
        EntryPayload::Normal(Payload::Control(batch)) => {
            wire::entry::Payload::Control(batch.as_ref().into())
        }
        EntryPayload::Membership(membership) => {
            wire::entry::Payload::Membership(membership_to_wire(membership))
        }
    };
    let entry = wire::Entry {
        version: VERSION,
        id: Some(log_id_to_wire(entry.log_id)),
        payload: Some(payload),
    };
    entry.encode_to_vec().into()
}

/// An entry from its stored form.
///
/// # Errors
/// When the bytes are not an entry that this build understands; trying again cannot help.
pub(crate) fn decode_entry(bytes: Bytes) -> io::Result<Entry> {
    let entry = wire::Entry::decode(bytes).map_err(|error| corrupt("entry", error))?;
    check_version("entry", entry.version)?;
    let payload = match entry.payload.ok_or_else(|| missing("entry.payload"))? {
        wire::entry::Payload::Blank(_) => EntryPayload::Blank,
        wire::entry::Payload::Batch(batch) => {
            let batch = batch.try_into().map_err(|error| corrupt("entry.batch", error))?;
            EntryPayload::Normal(Payload::Data(Arc::new(batch)))
        }
        wire::entry::Payload::Control(batch) => {
            let batch = batch.try_into().map_err(|error| corrupt("entry.control", error))?;
            EntryPayload::Normal(Payload::Control(Arc::new(batch)))
        }
        wire::entry::Payload::Membership(membership) => {
            EntryPayload::Membership(membership_from_wire(membership)?)
        }
    };
    let log_id = log_id_from_wire(entry.id.ok_or_else(|| missing("entry.id"))?);
    Ok(Entry { log_id, payload })
}

/// A log id as it is stored.
pub(crate) fn encode_log_id(log_id: LogId) -> Bytes {
    log_id_to_wire(log_id).encode_to_vec().into()
}

/// A log id from its stored form.
///
/// # Errors
/// When the bytes are not a log id.
pub(crate) fn decode_log_id(bytes: &[u8]) -> io::Result<LogId> {
    wire::LogId::decode(bytes).map(log_id_from_wire).map_err(|error| corrupt("log id", error))
}

/// A vote as it is stored.
pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    vote_to_wire(vote).encode_to_vec().into()
}

/// A vote from its stored form.
///
/// # Errors
/// When the bytes are not a vote that this build understands.
pub(crate) fn decode_vote(bytes: &[u8]) -> io::Result<Vote> {
    vote_from_wire(wire::Vote::decode(bytes).map_err(|error| corrupt("vote", error))?)
}

/// A vote as it is stored and sent.
pub(super) fn vote_to_wire(vote: &Vote) -> wire::Vote {
    wire::Vote {
        version: VERSION,
        term: vote.leader_id.term,
        node: Some(vote.leader_id.voted_for),
        committed: vote.committed,
    }
}

/// A vote from its stored and sent form.
///
/// # Errors
/// When it is not a vote that this build understands.
pub(super) fn vote_from_wire(vote: wire::Vote) -> io::Result<Vote> {
    check_version("vote", vote.version)?;
    let node = vote.node.ok_or_else(|| missing("vote.node"))?;
    Ok(if vote.committed {
        Vote::new_committed(vote.term, node)
    } else {
        Vote::new(vote.term, node)
    })
}

/// A snapshot's meta as it is stored; `id` tells snapshots at the same position apart.
pub(crate) fn encode_meta(shard: ShardId, meta: &SnapshotMeta, id: String) -> Bytes {
    let stored = &meta.last_membership;
    let meta = wire::SnapshotMeta {
        version: VERSION,
        shard: shard.0,
        last: meta.last_log_id.map(log_id_to_wire),
        membership: Some(wire::StoredMembership {
            at: stored.log_id().map(log_id_to_wire),
            membership: Some(membership_to_wire(stored.membership())),
        }),
        id,
    };
    meta.encode_to_vec().into()
}

/// A snapshot's meta from its stored form.
///
/// # Errors
/// When the bytes are not the meta of a snapshot of this shard, or of a newer version.
pub(crate) fn decode_meta(shard: ShardId, bytes: &[u8]) -> io::Result<SnapshotMeta> {
    let meta = wire::SnapshotMeta::decode(bytes).map_err(|error| corrupt("meta", error))?;
    check_version("snapshot meta", meta.version)?;
    if meta.shard != shard.0 {
        return Err(invalid(format!("a snapshot of shard {} is not of shard {shard}", meta.shard)));
    }
    let stored = meta.membership.unwrap_or_default();
    let membership = membership_from_wire(stored.membership.unwrap_or_default())?;
    Ok(SnapshotMeta {
        last_log_id: meta.last.map(log_id_from_wire),
        last_membership: StoredMembership::new(stored.at.map(log_id_from_wire), membership),
    })
}

/// How far a node had acknowledged when it left a shard, as it is stored.
pub(super) fn encode_left(left: Left) -> Bytes {
    let Left { last, returned } = left;
    let left = wire::Left { version: VERSION, last: last.map(log_id_to_wire), returned };
    left.encode_to_vec().into()
}

/// How far a node had acknowledged when it left a shard, from its stored form.
///
/// # Errors
/// When the bytes do not say it in a way that this build understands.
pub(super) fn decode_left(bytes: &[u8]) -> io::Result<Left> {
    let left = wire::Left::decode(bytes).map_err(|error| corrupt("left", error))?;
    check_version("left", left.version)?;
    Ok(Left { last: left.last.map(log_id_from_wire), returned: left.returned })
}

pub(super) fn log_id_to_wire(log_id: LogId) -> wire::LogId {
    wire::LogId { term: log_id.leader_id.term, index: log_id.index }
}

pub(super) fn log_id_from_wire(log_id: wire::LogId) -> LogId {
    LogId::new(CommittedLeaderId::new(log_id.term), log_id.index)
}

fn membership_to_wire(membership: &Membership) -> wire::Membership {
    wire::Membership {
        sets: membership
            .get_joint_config()
            .iter()
            .map(|set| wire::VoterSet { nodes: set.iter().copied().collect() })
            .collect(),
        members: membership
            .nodes()
            .map(|(node, address)| wire::Member { node: *node, peers: address.0.clone() })
            .collect(),
    }
}

fn membership_from_wire(membership: wire::Membership) -> io::Result<Membership> {
    let sets: Vec<BTreeSet<u64>> =
        membership.sets.into_iter().map(|set| set.nodes.into_iter().collect()).collect();
    let members: BTreeMap<u64, PeerAddress> = membership
        .members
        .into_iter()
        .map(|member| (member.node, PeerAddress(member.peers)))
        .collect();
    if sets.is_empty() && members.is_empty() {
        // A shard that was never initialized: openraft's constructor takes no empty membership.
        return Ok(Membership::default());
    }
    Membership::new(sets, members).map_err(|error| corrupt("membership", error))
}

fn check_version(what: &str, version: u32) -> io::Result<()> {
    if version == VERSION {
        return Ok(());
    }
    Err(invalid(format!("{what} has version {version}, this build understands {VERSION}")))
}

fn corrupt(what: &str, error: impl std::fmt::Display) -> io::Error {
    invalid(format!("{what}: {error}"))
}

fn missing(field: &str) -> io::Error {
    invalid(format!("{field} is missing"))
}

fn invalid(detail: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail)
}
