//! Scenarios: the loads of an edge, one file each.

pub mod broadcast;
pub mod churn;
pub mod idle;
pub mod room;
pub mod storm;
pub mod unicast;

use std::fmt;

use anyhow::bail;
use orrery_host::Host;
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use super::bench::Bench;
use super::options::TargetOptions;
use super::progress;
use super::report::Report;
use super::server::descriptors;
use super::server::target::Target;
use crate::clock::Clock;

/// First user of every load: far from those of anybody who plays with the same system.
const FIRST_USER: u64 = 7_000_000;

/// Room of every load that has one.
const ROOM: &str = "bench://1";

/// Opens the target, runs a load of so many connections against it, and prints what it measured.
fn run<F: Serialize + fmt::Display>(
    load: &'static str,
    options: &TargetOptions,
    connections: usize,
    measure: impl AsyncFnOnce(&Bench) -> anyhow::Result<F>,
) -> anyhow::Result<()> {
    descriptors::require(connections)?;
    // One thread pushes; devices are on others.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        let mut end = signal(SignalKind::terminate())?;
        tokio::select! {
            report = measured(load, options, measure) => report,
            // What was started is killed and removed with what is dropped here.
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
            _ = end.recv() => bail!("ended by a signal"),
        }
    })?;
    report.print(options.json)?;
    Ok(())
}

async fn measured<F>(
    load: &'static str,
    options: &TargetOptions,
    measure: impl AsyncFnOnce(&Bench) -> anyhow::Result<F>,
) -> anyhow::Result<Report<F>> {
    let (host, clock) = (Host::system(), Clock::start());
    let target = Target::open(&host, clock, options).await?;
    let bench = Bench::new(host, clock, target, options.transport, options.push_api);
    let (machine, own_system) = (bench.machine(), bench.target.is_own());
    let figures = measure(&bench).await;
    if own_system {
        progress::say("stopping the system");
    }
    let closed = bench.target.close().await;
    let figures = figures?;
    closed?;
    let (transport, tls) = (options.transport.word(), options.tls);
    Ok(Report { load, transport, tls, own_system, machine, figures })
}
