//! Population: many users, bound as fast as the registry takes them.

use std::ops::Range;

use anyhow::bail;
use futures_util::StreamExt as _;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::latency::Latencies;
use crate::limits::{BIND_ATTEMPTS, FAILURE_PAUSE};
use crate::registry::Registry;
use crate::target::Failure;

/// What it took to bind a population.
#[derive(Debug, Default)]
pub struct Bound {
    /// From bind to acknowledgement, repeats included.
    pub latencies: Latencies,
    /// Seconds from the first bind to the last acknowledgement.
    pub seconds: f64,
    /// Binds that had to be repeated.
    pub repeats: u64,
}

/// Binds the users with these numbers, each to a connection of its own, with so many under way at a time.
///
/// # Errors
/// When one of them cannot be bound, however often it is tried.
pub async fn bind(
    registry: &Registry,
    clock: Clock,
    users: Range<u64>,
    under_way: usize,
) -> anyhow::Result<Bound> {
    let begun_ns = clock.now_ns();
    let mut bound = Bound::default();
    let one = |n| async move {
        let begun_ns = clock.now_ns();
        (n, bind_one(registry, n).await, clock.now_ns() - begun_ns)
    };
    let mut binds = futures_util::stream::iter(users.map(one)).buffer_unordered(under_way);
    while let Some((n, ended, took_ns)) = binds.next().await {
        match ended {
            Ok(repeats) => {
                bound.repeats += u64::from(repeats);
                bound.latencies.record(took_ns);
            }
            Err(failure) => {
                bail!("user {n} could not be bound: {}: {}", failure.kind, failure.detail);
            }
        }
    }
    bound.seconds = (clock.now_ns() - begun_ns) as f64 / 1e9;
    Ok(bound)
}

/// Binds a user; a bind that is repeated is the same bind. Says how often it was.
async fn bind_one(registry: &Registry, n: u64) -> Result<u32, Failure> {
    let mut repeats = 0;
    loop {
        // Conns begin at 1.
        match registry.bind(registry.user(n), n + 1).await {
            Ok(_) => return Ok(repeats),
            Err(failure) if repeats + 1 >= BIND_ATTEMPTS => return Err(failure),
            Err(_) => repeats += 1,
        }
        sleep(FAILURE_PAUSE).await;
    }
}
