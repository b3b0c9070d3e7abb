//! How much the benchmark does, each number with its unit and reason.

use std::time::Duration;

/// How long writes are watched while nothing else happens: what they cost then is what the rest is compared
/// with.
pub(crate) const BASELINE: Duration = Duration::from_secs(10);

/// How long after something ended writes are still counted to it: what it disturbed shows itself in this
/// time.
pub(crate) const LOOK_ON: Duration = Duration::from_millis(200);

/// Pause before memory is looked at, in which what the last phase left is given back.
pub(crate) const REST: Duration = Duration::from_secs(3);

/// How long one look-up may take before it is asked again.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_millis(500);

/// Pause between two look-ups of a user in a shard that does not answer yet.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long a cluster may take until all its shards answer again: far above its bar.
pub(crate) const SERVING_MAX: Duration = Duration::from_secs(120);

/// What is configured where a node must fall behind the log: snapshots after few entries, and few of them
/// kept.
pub(crate) const SHORT_LOG: &str =
    "snapshot_log_entries = 1000\nlog_keep_entries = 100\npurge_batch_entries = 50";
