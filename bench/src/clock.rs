//! Clock: one monotonic clock for all threads of the client, in nanoseconds.

use std::time::Duration;

use tokio::time::Instant;

/// Nanoseconds since the benchmark began. Every thread reads the same.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Nanoseconds since it began.
    pub fn now_ns(self) -> u64 {
        ns(self.0.elapsed())
    }

    /// How long until a moment of this clock; zero when it has passed.
    pub fn until(self, ns: u64) -> Duration {
        Duration::from_nanos(ns.saturating_sub(self.now_ns()))
    }
}

/// A duration in nanoseconds.
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
