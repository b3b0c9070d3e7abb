//! Operations of devices and backends: connect, join, push, and what arrived.

use serde::{Deserialize, Serialize};

/// What a push is for that is for everybody.
pub const EVERYBODY: &str = "everybody";

/// See [`super::Op::Connect`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// The user's address, like `user-3`.
    pub user: String,
    /// The harness's own number for the connection, never used twice.
    pub conn: u64,
    /// The connection's second address, like `key-9`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
    /// The comet it connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comet: Option<String>,
    /// Rooms that it asked for while connecting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rooms: Vec<String>,
}

/// A device's connection by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The user's address.
    pub user: String,
    /// See [`Connect::conn`].
    pub conn: u64,
}

/// See [`super::Op::Join`] and [`super::Op::Leave`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// See [`Connect::conn`].
    pub conn: u64,
    /// The room's address.
    pub room: String,
}

/// See [`super::Op::Push`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The message, unique in the run.
    pub message: String,
    /// The address it is for.
    pub to: String,
    /// What the system says became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
}

/// What a push's receipt says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Whether the address was offline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub offline: bool,
    /// Whether the receipt does not claim to name every connection.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub incomplete: bool,
    /// One report for each connection.
    #[serde(default)]
    pub reports: Vec<Report>,
}

/// What became of a push at one connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What was reached.
    pub told: Told,
    /// The connection in the harness's words, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conn: Option<u64>,
    /// Why it got no further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The levels of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Told {
    /// In the connection's outbox.
    Queued,
    /// Given to the kernel.
    Written,
    /// The device said that it has it.
    Acked,
    /// The device did not want it.
    Filtered,
    /// Given up; the reason says why.
    Dropped,
    /// Looked up twice, and its comet did not have it: it has just left.
    Gone,
    /// No answer in time.
    Unknown,
}

/// See [`super::Op::Deliver`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliver {
    /// The message received.
    pub message: String,
    /// The address of the device that received it: its user.
    pub to: String,
    /// The connection that received it, see [`Connect::conn`].
    pub conn: u64,
}

/// See [`super::Op::Online`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Online {
    /// The user's connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<Vec<Seen>>,
}

/// A connection as a backend sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seen {
    /// The comet that holds it.
    pub comet: String,
    /// In which of its lives.
    pub incarnation: u64,
    /// The connection's number at the address.
    pub seq: u64,
}

/// See [`super::Op::Comets`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Living {
    /// Each living comet with its incarnation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comets: Option<Vec<(String, u64)>>,
}
