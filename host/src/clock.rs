//! Clock: wall time, for people. No decision is ever taken by it.

/// Tells the wall time. Monotonic time is `tokio::time::Instant`, which simulation controls by itself.
pub trait Clock: Send + Sync {
    /// Milliseconds since the Unix epoch, by this node's own idea of it.
    fn wall_ms(&self) -> u64;
}
