//! Limits: how much a checker searches and says.

/// Violations one property reports; more of the same help nobody to read.
pub const VIOLATIONS_MAX: usize = 100;

/// Operations on one address that are searched for an order without trusting log indexes: beyond it the
/// search for a history that has none may outlast any patience.
pub const SEARCH_OPERATIONS_MAX: usize = 200;

/// Operations of unknown outcome among them: each doubles what must be searched.
pub const SEARCH_UNKNOWN_MAX: usize = 6;

/// Steps of one address's search, some seconds of one core.
pub const SEARCH_STEPS_MAX: u64 = 10_000_000;

/// Events up to which the smallest failing prefix is looked for completion by completion, for checkers
/// that may fail at one length and pass at a greater one.
pub const SHRINK_LINEAR_MAX: usize = 2_000;

const _: () = assert!(SEARCH_UNKNOWN_MAX < SEARCH_OPERATIONS_MAX);
