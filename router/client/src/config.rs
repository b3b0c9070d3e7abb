//! Config: what the client is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::ATTEMPT_MS_MAX;

/// Where the registry is, and how patient to be with one of its nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `host:port` of the registry service of some router nodes (default: the router's port on this
    /// machine). The slot table names all of them; these are where it is first asked for.
    pub nodes: Vec<String>,
    /// How long one node may take for one request, in milliseconds (default 2000: longer than a slow
    /// sync, shorter than a caller's patience). Then another node is asked; writes repeat their identity.
    pub attempt_timeout_ms: u64,
    /// After how long without an answer others are asked as well, in milliseconds (default 150: longer than
    /// a healthy node takes, far shorter than an election; at most the attempt's time). A read is asked
    /// elsewhere as it is; a write only once another node is known to lead.
    pub hedge_ms: u64,
    /// How often the slot table is fetched without a reason, in milliseconds (default 30000): nodes may
    /// have come and gone while no request noticed.
    pub table_refresh_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nodes: vec!["127.0.0.1:3121".to_owned()],
            attempt_timeout_ms: 2_000,
            hedge_ms: 150,
            table_refresh_ms: 30_000,
        }
    }
}

impl Config {
    pub(crate) fn attempt_timeout(&self) -> Duration {
        Duration::from_millis(self.attempt_timeout_ms.clamp(1, ATTEMPT_MS_MAX))
    }

    pub(crate) fn hedge(&self) -> Duration {
        Duration::from_millis(self.hedge_ms.clamp(1, ATTEMPT_MS_MAX))
    }

    pub(crate) fn table_refresh(&self) -> Duration {
        Duration::from_millis(self.table_refresh_ms.max(1))
    }
}
