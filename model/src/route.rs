//! Route: where an address is now.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Address;
use crate::id::{CometRef, Conn, Id, Seq, Version};

/// The primary address of the connection behind a secondary route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Primary {
    /// The connection's user (or its key where there is no user).
    pub address: Address,
    /// The seq the primary address gave it: with the address, the connection's name.
    pub seq: Seq,
}

/// What a bind says of its connection. New fields may join; old replicas must know how to carry them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Platform as the device names it; empty where unknown. Per-platform policies compare it.
    pub platform: String,
    /// Device id as the device names it; empty where unknown.
    pub device: String,
    /// Free labels, at most [`crate::limits::LABELS_MAX`].
    pub labels: BTreeMap<String, String>,
    /// On the primary address: the rooms the connection is in, at most
    /// [`crate::limits::ROOMS_PER_CONNECTION_MAX`], in the primary address's namespace.
    pub rooms: BTreeSet<Id>,
    /// The comet's version of `rooms`.
    pub rooms_version: Version,
    /// On a secondary address: the primary's name.
    pub primary: Option<Primary>,
}

/// Where an address is now: one connection of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The connection's number on this address.
    pub seq: Seq,
    /// The comet that holds it, in which life.
    pub comet: CometRef,
    /// The comet's own number for it.
    pub conn: Conn,
    /// What is known of it.
    pub details: Details,
    /// Wall time of the bind in milliseconds since the Unix epoch. For people only: nothing decides by it.
    pub bound_at_ms: u64,
}
