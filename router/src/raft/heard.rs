//! Heard: when a leader of a shard last proved that it leads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// When a leader was last heard of. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    begun: Instant,
    /// Microseconds after `begun`; 0 for never.
    at_us: Arc<AtomicU64>,
}

impl Heard {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), at_us: Arc::default() }
    }

    /// Takes note that a leader was heard of.
    pub(super) fn now(&self) {
        let us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.at_us.fetch_max(us.max(1), Ordering::Relaxed);
    }

    /// How long ago that was; none where it never was.
    pub(super) fn ago(&self) -> Option<Duration> {
        match self.at_us.load(Ordering::Relaxed) {
            0 => None,
            us => Some(self.begun.elapsed().saturating_sub(Duration::from_micros(us))),
        }
    }
}
