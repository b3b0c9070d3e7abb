//! Target: what a closed loop of callers loads.

use std::fmt;
use std::future::Future;

use serde::{Deserialize, Serialize};

/// A registry of routes.
pub trait Target: Send + Sync + 'static {
    /// Binds the user with this number, which nobody bound before, by one durable write.
    fn write(&self, caller: usize, n: u64) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Looks the user with this number up, which was bound before, by one linearizable read. A user who
    /// is not found is a failure.
    fn read(&self, caller: usize, n: u64) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What callers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// [`Target::write`].
    Write,
    /// [`Target::read`].
    Read,
}

impl Op {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Write, Self::Read];

    /// What several of them are called.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Write => "writes",
            Self::Read => "reads",
        }
    }
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// By what failures are counted.
    pub kind: &'static str,
    /// More, for people.
    pub detail: String,
}

impl Failure {
    /// A failure of a kind.
    pub fn new(kind: &'static str, detail: impl fmt::Display) -> Self {
        Self { kind, detail: detail.to_string() }
    }
}
