//! `million`: a cluster whose nodes each hold a million routes.
//!
//! Binds the users and tells what memory and disk they take. Then, under a few writes a second to every
//! shard: kills a node and starts it from its log; writes snapshots and tells what they cost the writes of
//! others; kills a node and starts it from its snapshots; ends and starts all nodes; and stops a node for
//! so long that it needs snapshots from the others.

mod bench;
mod catching_up;
mod findings;
mod limits;
mod restarts;
mod snapshots;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use orrery_bench::clock::Clock;
use orrery_bench::experiment::{self, Site};
use orrery_model::NodeId;

use crate::bench::Bench;
use crate::findings::Findings;
use crate::limits::SHORT_LOG;
use crate::restarts::End;

const NAME: &str = "million";

/// Lets a cluster hold a million routes on each node, and measures what that costs.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    site: Site,
    /// Users.
    #[arg(long, default_value_t = 1_000_000)]
    users: u64,
    /// Users that are bound while a node is away.
    #[arg(long, default_value_t = 200_000)]
    missed: u64,
    /// Binds under way at once while users are bound.
    #[arg(long, default_value_t = 1024)]
    callers: usize,
    /// Milliseconds between one write to a shard and the next, of the load that goes on meanwhile.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    every_ms: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let Options { users, every_ms, .. } = &options;
    let load = format!("{users} users; load: a write to each shard every {every_ms} ms");
    experiment::run(NAME, &options.site, &load, async |clock, folder| {
        phases(&options, clock, folder).await
    })
}

async fn phases(options: &Options, clock: Clock, folder: &Path) -> anyhow::Result<Findings> {
    let (under_way, every) = (options.callers, Duration::from_millis(options.every_ms));
    let mut bench = Bench::start(&options.site, clock, folder, under_way, every).await?;
    bench.fill(options.users).await?;

    let load = bench.load().await?;
    restarts::one(&mut bench, &load, NodeId(1), "from its log").await?;
    bench.memory("after that").await;
    snapshots::measure(&mut bench, &load).await?;
    bench.disk("with snapshots")?;
    restarts::one(&mut bench, &load, NodeId(2), "from its snapshots").await?;
    bench.memory("after that").await;
    bench.check(load).await?;

    restarts::all(&mut bench, End::Killed).await?;
    restarts::all(&mut bench, End::Stopped).await?;
    bench.memory("after that").await;
    bench.reconfigure(SHORT_LOG).await?;

    let load = bench.load().await?;
    catching_up::measure(&mut bench, &load, NodeId(3), options.missed).await?;
    bench.cluster.settled().await?;
    bench.check(load).await?;
    bench.memory("in the end").await;
    bench.disk("in the end")?;
    Ok(bench.findings)
}
