//! Limits: how much a checker searches and says.

/// Acknowledged writes of each shard before the first fault: that it served at all. With few users and many
/// shards the least busy one has two or three.
pub const WRITES_BEFORE_MIN: usize = 1;

/// Acknowledged writes of each shard while there were faults: one that is dead all that time has none, the
/// least busy one of those that live some fifty.
pub const WRITES_DURING_MIN: usize = 20;

/// Acknowledged writes of each shard after the last heal, in which it is busy for some seconds.
pub const WRITES_AFTER_MIN: usize = 1;

/// Linearizable reads of each shard while there were faults.
pub const READS_DURING_MIN: usize = 5;

/// Linearizable reads of each shard after the last heal, with those of the final phase.
pub const READS_AFTER_MIN: usize = 3;

/// Violations one property reports; more of the same help nobody to read.
pub const VIOLATIONS_MAX: usize = 100;

/// Operations on one address that are searched for an order without trusting log indexes: what the search
/// remembers grows with their square, to some ten megabytes.
pub const SEARCH_OPERATIONS_MAX: usize = 1_000;

/// Operations of unknown outcome among them: each may double what must be searched.
pub const SEARCH_UNKNOWN_MAX: usize = 12;

/// Steps of one address's search, some seconds of one core.
pub const SEARCH_STEPS_MAX: u64 = 10_000_000;

/// Of a hundred addresses so many must be searched for a verdict. What is beyond the bounds is what was used
/// most: a run whose load is mostly that says too little.
pub const SEARCH_PERCENT_MIN: usize = 80;

/// Events up to which the smallest failing prefix is looked for completion by completion, for checkers
/// that may fail at one length and pass at a greater one.
pub const SHRINK_LINEAR_MAX: usize = 2_000;

const _: () = assert!(SEARCH_UNKNOWN_MAX < SEARCH_OPERATIONS_MAX);
const _: () = assert!(SEARCH_PERCENT_MIN > 0 && SEARCH_PERCENT_MIN <= 100);
