//! How patient the benchmark is, each number with its unit and reason.

use std::time::Duration;

/// How long a shard may take no writes until the benchmark gives up: far above its bar.
pub(crate) const OUTAGE_MAX: Duration = Duration::from_secs(30);

/// How long is looked on after a leader was moved: what the move disturbed shows itself in this time.
pub(crate) const LOOK_ON: Duration = Duration::from_millis(300);
