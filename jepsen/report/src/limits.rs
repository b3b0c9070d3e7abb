//! Limits: how much a page tells one by one. Everything else is counted in buckets of time.

/// Buckets of time across a page: about one for every four points of the widest drawing.
pub(crate) const BUCKETS_MAX: u64 = 200;

/// Processes that have a lane of their own, the busiest first; more would be a wall.
pub(crate) const LANES_MAX: usize = 40;

/// Processes side by side in a list of events.
pub(crate) const STRANDS_MAX: usize = 24;

/// Faults that are told.
pub(crate) const FAULTS_MAX: usize = 400;

/// Rows of faults on top of each other in one family, in the timeline.
pub(crate) const FAULT_ROWS_MAX: usize = 6;

/// Shards that are drawn, those with the longest gaps first.
pub(crate) const SHARDS_MAX: usize = 64;

/// Shards that have a column of their own.
pub(crate) const SHARD_COLUMNS_MAX: usize = 16;

/// Gaps of a shard's service that are told, the longest first.
pub(crate) const GAPS_MAX: usize = 20;

/// Kinds of operations that have a drawing of their latency, the commonest first.
pub(crate) const KINDS_MAX: usize = 24;

/// Different reasons of failures that are told, the commonest first.
pub(crate) const REASONS_MAX: usize = 20;

/// Violations of one property that are told besides the first.
pub(crate) const VIOLATIONS_MAX: usize = 20;

/// Events of an address that are told, the last ones of the prefix.
pub(crate) const KEY_EVENTS_MAX: usize = 240;

/// Those of them that are seen at once; the others have to be opened.
pub(crate) const KEY_EVENTS_SEEN: usize = 40;

/// Events at the end of a prefix that are told.
pub(crate) const TAIL_EVENTS: usize = 20;

/// Operations of a log that are told, on either side of the one in question.
pub(crate) const ANSWERED_AROUND: usize = 10;

/// Entries of a log that are told, on either side of the place in question. Whoever reads them for a page need
/// not read more.
pub const ENTRIES_AROUND: u64 = 10;

/// Commands of an entry that are told, those of the addresses in question first.
pub(crate) const COMMANDS_MAX: usize = 8;

/// Places in logs that are shown for one violation.
pub(crate) const PLACES_MAX: usize = 3;

/// Addresses whose events are told for one violation.
pub(crate) const KEYS_MAX: usize = 3;

/// Characters of an event's values.
pub(crate) const VALUE_CHARS_MAX: usize = 240;

/// Events up to which the smallest prefix is also looked for in the whole history, which judges it about
/// twenty times.
pub(crate) const WHOLE_SEARCH_MAX: usize = 200_000;

/// Steps of the search for an order while a prefix is looked for, which asks for it many times.
pub(crate) const SEARCH_STEPS_MAX: u64 = 100_000;

/// A pause between two acknowledged writes of a shard that counts as a gap, in nanoseconds.
pub(crate) const GAP: u64 = 1_000_000_000;

/// How long before a violation a fault may have ended and still be told with it, in nanoseconds.
pub(crate) const FAULT_BEFORE: u64 = 10_000_000_000;

const _: () = assert!(SHARD_COLUMNS_MAX <= SHARDS_MAX && KEY_EVENTS_SEEN <= KEY_EVENTS_MAX);
