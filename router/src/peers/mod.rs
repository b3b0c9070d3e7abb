//! Peers: how router nodes reach each other. One connection to each peer carries the appends and
//! heartbeats of all shards on one stream, and votes beside it; a second one carries snapshots.
//!
//! Nothing here knows openraft: what is sent are messages of our own contract, made and read by `raft`.

pub(crate) mod append_stream;
pub(crate) mod conversation;
pub(crate) mod envelope;
pub(crate) mod lane;
pub(crate) mod link;
pub(crate) mod links;
pub(crate) mod outgoing;
pub(crate) mod refusal;
pub(crate) mod server;
pub(crate) mod service;
#[cfg(test)]
mod tests;

pub(crate) use envelope::{Door, Envelope, Gate, InstanceOf, Known, Me};
pub(crate) use link::{Link, PeerError};
pub(crate) use links::Links;
pub(crate) use refusal::Refusal;
pub(crate) use server::serve;
pub(crate) use service::{Groups, PeersService};
