//! How patient the benchmark is, each number with its unit and reason.

use std::time::Duration;

/// How long the load is watched before a comet goes silent: what writes cost then is compared with what
/// they cost during the sweep.
pub(crate) const BASELINE: Duration = Duration::from_secs(5);

/// Pause between two look-ups in a shard whose routes are awaited to go: as exact as the figures are.
pub(crate) const WATCH_EVERY: Duration = Duration::from_millis(20);

/// Pause between two looks at the counters of all nodes.
pub(crate) const COUNT_EVERY: Duration = Duration::from_millis(50);

/// Pause between two look-ups of a user who must stay.
pub(crate) const SURVIVOR_EVERY: Duration = Duration::from_millis(5);

/// How long one look-up may take before it is asked again.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long after the bar the benchmark still waits, to say by how much it is missed.
pub(crate) const WAIT_FURTHER: Duration = Duration::from_secs(60);

/// How long after the last keep-alive the control shard's leader is killed.
pub(crate) const KILL_AFTER: Duration = Duration::from_secs(1);

/// How long around the sweep writes are counted to it: what it disturbs shows itself in this time.
pub(crate) const AROUND: Duration = Duration::from_millis(300);
