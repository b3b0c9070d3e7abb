//! Connects: how many devices a second get in. Each is authenticated, and bound through the registry's
//! log and disk, before it is welcomed.

use orrery_bench::latency::Latency;
use serde::Serialize;

use super::{Bench, Cpu};
use crate::bench::device::Guise;
use crate::bench::limits::{CONNECT_CONCURRENCY, CONNECT_DEVICES};

/// First user of this part.
const FIRST_USER: u64 = 1_000_000;

/// Figures of connecting.
#[derive(Debug, Serialize)]
pub(in crate::bench) struct Connects {
    pub(in crate::bench) devices: usize,
    pub(in crate::bench) concurrency: usize,
    pub(in crate::bench) per_second: f64,
    /// From the TCP connect to the welcome.
    pub(in crate::bench) latency: Latency,
    pub(in crate::bench) cpu: Cpu,
}

/// Connects devices and measures it.
///
/// # Errors
/// When one does not get in.
pub(in crate::bench) async fn measure(bench: &Bench) -> anyhow::Result<Connects> {
    let guise = |index| Guise { user: FIRST_USER + index, room: None };
    let guises: Vec<_> = (0..CONNECT_DEVICES as u64).map(guise).collect();
    let used = bench.used();
    let (crowd, connected) = bench.crowd(guises).await?;
    let cpu = bench.cpu_since(used);
    drop(crowd);
    Ok(Connects {
        devices: CONNECT_DEVICES,
        concurrency: CONNECT_CONCURRENCY,
        per_second: CONNECT_DEVICES as f64 / connected.took.as_secs_f64(),
        latency: connected.latencies.summary(),
        cpu,
    })
}
