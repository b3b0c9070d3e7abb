//! Snapshot duty: whether a replica may begin snapshots now or ever, and how long they took.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::sync::watch;

use crate::metrics::SnapshotMetrics;

/// A replica's duty to write snapshots.
#[derive(Debug, Default)]
pub(crate) struct SnapshotDuty {
    leave: watch::Sender<Leave>,
    metrics: OnceLock<SnapshotMetrics>,
}

/// What a replica may do.
#[derive(Debug, Clone, Copy, Default)]
struct Leave {
    suspended: bool,
    /// One may begin all the same.
    admitted: bool,
    ended: bool,
}

impl Leave {
    fn may_begin(self) -> bool {
        !self.ended && (!self.suspended || self.admitted)
    }
}

/// One snapshot that may begin although they are suspended, as long as this is held.
pub(super) struct Admission<'a>(&'a SnapshotDuty);

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.0.leave.send_modify(|leave| leave.admitted = false);
    }
}

impl SnapshotDuty {
    /// Counts from here on; a second call changes nothing.
    pub(crate) fn count(&self, metrics: SnapshotMetrics) {
        // Only the first is asked for: a replica is one shard's.
        let _ = self.metrics.set(metrics);
    }

    /// Lets no snapshot of the replica's own begin by itself while `suspended`: each has to be admitted.
    pub(crate) fn suspend(&self, suspended: bool) {
        self.leave.send_if_modified(|leave| {
            let changed = leave.suspended != suspended;
            leave.suspended = suspended;
            changed
        });
    }

    /// Lets one begin although they are suspended.
    pub(super) fn admit(&self) -> Admission<'_> {
        self.leave.send_modify(|leave| leave.admitted = true);
        Admission(self)
    }

    /// Lets none begin any more: the replica is about to be closed. Only once its core has ended, which
    /// would take a snapshot that never comes for a failure of the disk.
    pub(super) fn end(&self) {
        self.leave.send_modify(|leave| leave.ended = true);
    }

    /// Waits until none may begin any more.
    pub(super) async fn ended(&self) {
        // It cannot fail: the sending half is here.
        let _ = self.leave.subscribe().wait_for(|leave| leave.ended).await;
    }

    /// Whether one may begin now.
    pub(super) fn may_begin(&self) -> bool {
        self.leave.borrow().may_begin()
    }

    /// Waits until one may begin.
    pub(super) async fn may_begin_again(&self) {
        // It cannot fail: the sending half is here.
        let _ = self.leave.subscribe().wait_for(|leave| leave.may_begin()).await;
    }

    /// Takes the leave to begin one, if there is any: of an admission no second one begins.
    pub(super) fn begin(&self) -> bool {
        let mut begins = false;
        self.leave.send_if_modified(|leave| {
            begins = leave.may_begin();
            leave.admitted = false;
            false
        });
        begins
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn while_they_are_suspended_only_what_is_admitted_begins_and_only_once() {
        let duty = SnapshotDuty::default();
        assert!(duty.may_begin() && duty.begin() && duty.begin());
        duty.suspend(true);
        assert!(!duty.may_begin() && !duty.begin());
        let admission = duty.admit();
        assert!(duty.may_begin() && duty.begin() && !duty.begin());
        drop(admission);
        drop(duty.admit());
        assert!(!duty.begin(), "what was admitted is withdrawn");
        duty.suspend(false);
        assert!(duty.begin());
        duty.end();
        assert!(!duty.may_begin() && !duty.begin());
    }
}
