//! Event: one line of a history.

use serde::{Deserialize, Serialize};

use super::{Op, Refusal};

/// The nemesis's process number.
pub const NEMESIS: i64 = -1;

/// What an event says of its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The operation begins.
    Invoke,
    /// It certainly happened, and this is what it did.
    Ok,
    /// It certainly did not happen and never will. Where `error` is a refusal of the registry and
    /// `log_index` is known, the refusal is an observation of the registry at that index.
    Fail,
    /// Nobody knows. Also the kind of marks.
    Info,
}

/// One line of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the history, from 0 without gaps.
    pub index: u64,
    /// Nanoseconds since the run began, monotonic.
    pub time: u64,
    /// What it says of the operation.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Which logical process; one has at most one operation open. The nemesis is [`NEMESIS`].
    pub process: i64,
    /// The operation, as `f` and `value`.
    #[serde(flatten)]
    pub op: Op,
    /// The address judged, like `user-3` or `room-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The shard that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u32>,
    /// Index in the shard's log of the write, or at which the read was answered. A write that was
    /// repeated by its client has the index of the repeat that was answered: it took effect there or
    /// before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_index: Option<u64>,
    /// The Raft term of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<u64>,
    /// The node that answered, or that a mark speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
    /// How often the client sent the write; 1 makes `log_index` exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
    /// Why it failed or is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Refusal>,
}

impl Event {
    /// An event that says nothing but this.
    pub fn new(index: u64, time: u64, process: i64, kind: Kind, op: Op) -> Self {
        Self {
            index,
            time,
            kind,
            process,
            op,
            key: None,
            shard: None,
            log_index: None,
            term: None,
            node: None,
            attempts: None,
            error: None,
        }
    }
}
