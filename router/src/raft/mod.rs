//! Raft: everything that names openraft. The rest of the crate sees shards, proposals and reads.
//!
//! What goes to disk and over the wire is encoded by [`entry`] in our own contracts, never by openraft's
//! types, so that a new openraft changes this folder and nothing else.

pub(crate) mod backlog;
pub(crate) mod backup;
#[cfg(test)]
mod conformance;
pub(crate) mod departure;
pub(crate) mod digest;
pub(crate) mod entry;
pub(crate) mod group;
pub(crate) mod heard;
mod inbound;
mod incoming;
mod leadership;
pub(crate) mod little_room;
#[cfg(test)]
mod log_races;
pub(crate) mod log_store;
pub(crate) mod log_tail;
pub(crate) mod machine;
pub(crate) mod members;
pub(crate) mod network;
pub(crate) mod replica;
mod sending;
pub(crate) mod snapshot;
mod snapshot_duty;
pub(crate) mod supervisor;
pub(crate) mod ticker;
pub(crate) mod types;
mod wire;
