//! Registry: binds and look-ups as fast as callers get their answers, against router nodes that run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use orrery_bench::clock::Clock;
use orrery_bench::closed_loop::{self, Load, populate};
use orrery_bench::limits::{POPULATION, WARM_UP};
use orrery_bench::machine::Machine;
use orrery_bench::measure::measure;
use orrery_bench::registry::Registry;
use orrery_bench::report::Report;
use orrery_bench::target::Op;
use orrery_host::Host;

use crate::cli::RegistryOptions;

/// Measures everything and prints it.
///
/// # Errors
/// When the registry cannot be reached or does not take a comet.
pub(super) fn run(options: &RegistryOptions) -> anyhow::Result<()> {
    let report = closed_loop::runtime()?.block_on(async {
        tokio::select! {
            report = load(options) => report,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    })?;
    report.print(options.json)?;
    Ok(())
}

async fn load(options: &RegistryOptions) -> anyhow::Result<Report> {
    let (host, clock) = (Host::system(), Clock::start());
    let registry = Arc::new(Registry::attach(&host, options.routers.clone()).await?);
    let users = populate(&registry, POPULATION).await.context("bind users to read")?;
    let users = Arc::new(users);
    let mut figures = Vec::new();
    for &callers in &options.callers {
        for op in Op::ALL {
            let lasting = Duration::from_secs(options.seconds);
            let load = Load { op, callers, warm_up: WARM_UP, lasting };
            let servers = &options.server_pids;
            figures.push(measure(&host, clock, &registry, &users, load, servers).await?);
        }
    }
    registry.detach().await?;
    let system = format!("orrery registry at {}", options.routers.join(", "));
    Ok(Report { system, machine: Machine::look(), figures })
}
