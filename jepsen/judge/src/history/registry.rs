//! Operations on the registry: what they ask and what they gave.
//!
//! Fields that are `Option` and not part of the request are known when the operation ended ok.

use serde::{Deserialize, Serialize};

/// See [`super::Op::Attach`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attach {
    /// The comet's configured id.
    pub comet: String,
    /// Which process runs under it.
    pub instance: String,
    /// The instance's own count of attaches; a repeat has the same.
    pub attempt: u64,
    /// The life it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<u64>,
}

/// See [`super::Op::KeepAlive`] and [`super::Op::Detach`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepAlive {
    /// The comet.
    pub comet: String,
    /// Its life.
    pub incarnation: u64,
}

/// See [`super::Op::Bind`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bind {
    /// The comet.
    pub comet: String,
    /// Its life.
    pub incarnation: u64,
    /// Its own number for the connection.
    pub conn: u64,
    /// Who may stay; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// The platform that a policy by platform compares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The seq of an earlier life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u64>,
    /// On a secondary address, the primary's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<Primary>,
    /// Every conn below it is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<u64>,
    /// The answer: its seq.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// The answer: who gave way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub losers: Option<Vec<Route>>,
}

/// The name of a connection on its primary address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Primary {
    /// The primary address.
    pub key: String,
    /// The seq there.
    pub seq: u64,
}

/// Who may stay at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Which connections compete.
    pub scope: Scope,
    /// How many of them may stay.
    #[serde(default = "one")]
    pub n: u32,
    /// Who stays.
    #[serde(default)]
    pub keep: Keep,
}

fn one() -> u32 {
    1
}

/// Which connections of an address compete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// None: every connection stays.
    All,
    /// All of them.
    Address,
    /// Those of one platform, one of which stays.
    Platform,
}

/// Who stays when there are too many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// The new connection wins.
    #[default]
    Newest,
    /// Those who are there win.
    Oldest,
}

/// See [`super::Op::Unbind`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unbind {
    /// The comet.
    pub comet: String,
    /// Its life.
    pub incarnation: u64,
    /// Its own number for the connection.
    pub conn: u64,
    /// Every conn below it is decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<u64>,
    /// The answer: whether it removed a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<bool>,
}

/// See [`super::Op::SetRooms`]. A version that is not newer fails as `stale`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRooms {
    /// The comet.
    pub comet: String,
    /// Its life.
    pub incarnation: u64,
    /// Its own number for the connection.
    pub conn: u64,
    /// The connection's seq on the address.
    pub seq: u64,
    /// All rooms it is in from now on, as keys.
    pub rooms: Vec<String>,
    /// The comet's version of this set.
    pub version: u64,
}

/// See [`super::Op::ListRoom`] and [`super::Op::UnlistRoom`]. A version that is not newer fails as `stale`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The comet.
    pub comet: String,
    /// Its life.
    pub incarnation: u64,
    /// The comet's version of this listing.
    pub version: u64,
}

/// A route as a read or a bind's losers show it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// The comet that holds the connection.
    pub comet: String,
    /// In which life.
    pub incarnation: u64,
    /// Its own number for it.
    pub conn: u64,
    /// The registry's number.
    pub seq: u64,
}

/// See [`super::Op::Locate`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locate {
    /// Whether an older state was good enough: such a read is judged at its index only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// What it found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<Route>>,
}

/// See [`super::Op::ReadRoom`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRoom {
    /// The comets listed, each with its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comets: Option<Vec<(String, u64)>>,
    /// All members that the shard holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<Member>>,
}

/// A connection named by its address and seq.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// The primary address.
    pub key: String,
    /// The connection's seq there.
    pub seq: u64,
}

/// See [`super::Op::CometRoutes`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CometRoutes {
    /// The comet.
    pub comet: String,
    /// Its life.
    pub incarnation: u64,
    /// What it found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<Member>>,
}

/// See [`super::Op::Count`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// What it found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}
