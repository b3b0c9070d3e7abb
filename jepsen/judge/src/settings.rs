//! Settings: what a checker must know of a run besides its history.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::{
    READS_AFTER_MIN, READS_DURING_MIN, SEARCH_OPERATIONS_MAX, SEARCH_PERCENT_MIN, SEARCH_STEPS_MAX,
    SEARCH_UNKNOWN_MAX, WRITES_AFTER_MIN, WRITES_BEFORE_MIN, WRITES_DURING_MIN,
};

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
    /// Fewest acknowledged writes of each shard before the first fault.
    pub writes_before: usize,
    /// Fewest between the first fault and the last heal.
    pub writes_during: usize,
    /// Fewest after the last heal.
    pub writes_after: usize,
    /// Fewest linearizable reads that each shard answered between the first fault and the last heal.
    pub reads_during: usize,
    /// Fewest after the last heal.
    pub reads_after: usize,
    /// How many of the last operations must have ended ok.
    pub tail: usize,
    /// Families of faults of which at least one must have been installed.
    pub faults: Vec<String>,
    /// The shards of which each must have done so much, and have acknowledged a write after the last heal; of
    /// none named, all together must.
    pub shards: Vec<u32>,
    /// Whether the control shard must have attached a comet, or renewed a lease, after the last heal; and have begun
    /// or ended a life, if it was asked to.
    pub control: bool,
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
    /// How many of a hundred addresses must lie within these bounds.
    pub judged_percent_min: usize,
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
            writes_before: WRITES_BEFORE_MIN,
            writes_during: WRITES_DURING_MIN,
            writes_after: WRITES_AFTER_MIN,
            reads_during: READS_DURING_MIN,
            reads_after: READS_AFTER_MIN,
            tail: 3,
            faults: Vec::new(),
            shards: Vec::new(),
            control: false,
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
            judged_percent_min: SEARCH_PERCENT_MIN,
        }
    }
}

/// A duration in a history's unit.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
