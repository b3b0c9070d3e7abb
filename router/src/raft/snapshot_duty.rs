//! Snapshot duty: whether a replica may begin snapshots now, and how long they took.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::metrics::SnapshotMetrics;

/// A replica's duty to write snapshots.
#[derive(Debug, Default)]
pub(crate) struct SnapshotDuty {
    suspended: AtomicBool,
    metrics: OnceLock<SnapshotMetrics>,
}

impl SnapshotDuty {
    /// Counts from here on; a second call changes nothing.
    pub(crate) fn count(&self, metrics: SnapshotMetrics) {
        // Only the first is asked for: a replica is one shard's.
        let _ = self.metrics.set(metrics);
    }

    /// Lets no snapshot of the replica's own begin while `suspended`: its log goes on, and is purged later.
    pub(crate) fn suspend(&self, suspended: bool) {
        self.suspended.store(suspended, Ordering::Relaxed);
    }

    pub(super) fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Relaxed)
    }

    pub(super) fn built(&self, took: Duration) {
        if let Some(metrics) = self.metrics.get() {
            metrics.build_seconds.observe(took.as_secs_f64());
        }
    }

    pub(super) fn installed(&self, took: Duration) {
        if let Some(metrics) = self.metrics.get() {
            metrics.install_seconds.observe(took.as_secs_f64());
        }
    }
}
