//! Settings: what a checker must know of a run besides its history.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{SEARCH_OPERATIONS_MAX, SEARCH_STEPS_MAX, SEARCH_UNKNOWN_MAX};

/// What a checker must know of a run besides its history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The cluster's lease.
    pub lease: Duration,
    /// How far clocks and delays may blur a lease.
    pub margin: Duration,
    /// Longest time from a device's vanishing until no read shows it, beyond lease and margin: its
    /// comet's own timeout for a silent connection.
    pub silence: Duration,
    /// Longest time from a heal to each shard's first acknowledged write.
    pub recovery: Duration,
    /// What makes a run count.
    pub gates: Gates,
    /// How much is searched.
    pub search: Search,
}

/// What makes a run count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gates {
    /// Fewest operations that ended ok before the first fault.
    pub ok_before: usize,
    /// Fewest between the first fault and the last heal.
    pub ok_during: usize,
    /// Fewest after the last heal.
    pub ok_after: usize,
    /// How many of the last operations must have ended ok.
    pub tail: usize,
    /// Families of faults of which at least one must have been installed.
    pub faults: Vec<String>,
    /// The shards that must each have acknowledged a write after the last heal.
    pub shards: Vec<u32>,
    /// Whether the replicas of each shard must all have been compared in the final phase.
    pub compared: bool,
}

/// Bounds of the search that trusts no log index, for each address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Search {
    /// Most operations.
    pub operations_max: usize,
    /// Most operations of unknown outcome.
    pub unknown_max: usize,
    /// Most steps.
    pub steps_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            margin: Duration::from_secs(1),
            silence: Duration::from_secs(30),
            recovery: Duration::from_secs(10),
            gates: Gates::default(),
            search: Search::default(),
        }
    }
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            ok_before: 10,
            ok_during: 10,
            ok_after: 10,
            tail: 3,
            faults: Vec::new(),
            shards: Vec::new(),
            compared: false,
        }
    }
}

impl Default for Search {
    fn default() -> Self {
        Self {
            operations_max: SEARCH_OPERATIONS_MAX,
            unknown_max: SEARCH_UNKNOWN_MAX,
            steps_max: SEARCH_STEPS_MAX,
        }
    }
}

/// A duration in a history's unit.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
