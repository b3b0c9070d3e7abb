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

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use orrery_bench::clock::Clock;
use orrery_bench::closed_loop;
use orrery_bench::cluster::Cluster;
use orrery_bench::machine::{self, Machine};
use orrery_bench::registry::Registry;
use orrery_daemon::shutdown::Signals;
use orrery_host::Host;
use orrery_model::NodeId;

use crate::bench::Bench;
use crate::findings::Findings;
use crate::limits::SHORT_LOG;
use crate::restarts::End;

/// Lets a cluster hold a million routes on each node, and measures what that costs.
#[derive(Debug, Parser)]
struct Options {
    /// The `orrery` binary.
    #[arg(long, default_value = "target/release/orrery")]
    binary: PathBuf,
    /// Folder for the data; its disk is part of what is measured.
    #[arg(long, default_value = ".")]
    data: PathBuf,
    /// Router processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=9))]
    nodes: u8,
    /// Data shards.
    #[arg(long, default_value_t = 16)]
    shards: u32,
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
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let runtime = closed_loop::runtime()?;
    let (machine, findings) = runtime.block_on(async {
        // Whatever ends this, the routers end with it.
        let mut signals = Signals::catch()?;
        tokio::select! {
            findings = run(&options) => findings,
            signal = signals.next() => bail!("ended by {signal}"),
        }
    })?;
    let mut out = std::io::stdout().lock();
    if options.json {
        let all = serde_json::json!({ "machine": machine, "findings": findings });
        writeln!(out, "{all:#}")?;
    } else {
        let Options { nodes, shards, users, every_ms, .. } = &options;
        writeln!(out, "{machine}")?;
        writeln!(
            out,
            "{nodes} routers, {shards} shards, {users} users; load: a write to each shard every {every_ms} ms\n"
        )?;
        write!(out, "{findings}")?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn run(options: &Options) -> anyhow::Result<(Machine, Findings)> {
    let clock = Clock::start();
    let folder = tempfile::Builder::new().prefix("orrery-million-").tempdir_in(&options.data);
    let folder = folder.with_context(|| format!("use {}", options.data.display()))?;
    let sync = machine::time_syncs(folder.path(), clock).context("time syncs")?;
    let machine = Machine { sync: Some(sync), ..Machine::look() };
    match phases(options, clock, folder.path()).await {
        Ok(findings) => Ok((machine, findings)),
        Err(error) => {
            eprintln!("million: logs and data stay in {}", folder.keep().display());
            Err(error)
        }
    }
}

async fn phases(options: &Options, clock: Clock, folder: &Path) -> anyhow::Result<Findings> {
    let host = Host::system();
    let (nodes, shards) = (usize::from(options.nodes), options.shards);
    let mut cluster = Cluster::start(&host, &options.binary, folder, nodes, shards, "").await?;
    cluster.settled().await?;
    let registry = Arc::new(Registry::attach(&host, cluster.addresses()).await?);
    let table = registry.client().table().context("the client has no slot table")?;
    let mut bench = Bench {
        table: Arc::new(table.slots.clone()),
        host,
        clock,
        cluster,
        registry,
        findings: Findings::default(),
        bound: 0,
        under_way: options.callers,
        every: Duration::from_millis(options.every_ms),
    };
    fill(&mut bench, options.users).await?;

    let load = bench.load().await?;
    restarts::one(&mut bench, &load, NodeId(1), "from its log").await?;
    bench.memory("after that").await;
    snapshots::measure(&mut bench, &load).await?;
    bench.disk("with snapshots")?;
    restarts::one(&mut bench, &load, NodeId(2), "from its snapshots").await?;
    bench.memory("after that").await;
    check(&mut bench, load).await?;

    restarts::all(&mut bench, End::Killed).await?;
    restarts::all(&mut bench, End::Stopped).await?;
    bench.memory("after that").await;
    bench.reconfigure(SHORT_LOG).await?;

    let load = bench.load().await?;
    catching_up::measure(&mut bench, &load, NodeId(3), options.missed).await?;
    bench.cluster.settled().await?;
    check(&mut bench, load).await?;
    bench.memory("in the end").await;
    bench.disk("in the end")?;
    Ok(bench.findings)
}

/// Binds the users, and tells what they take.
async fn fill(bench: &mut Bench, users: u64) -> anyhow::Result<()> {
    let empty = bench.memory("before binds").await;
    bench.bind(users).await?;
    bench.cluster.settled().await?;
    let full = bench.memory("with all users bound").await;
    bench.disk("with all users bound")?;
    let ids: usize = (0..users).map(|n| bench.registry.user(n).id.as_str().len()).sum();
    let beyond = full.iter().zip(&empty).map(|(full, empty)| {
        let bytes = (full - empty) * f64::from(1 << 20) - ids as f64;
        format!("{:.0}", bytes / users as f64)
    });
    let text = format!("{} bytes", beyond.collect::<Vec<_>>().join(", "));
    bench.findings.add("resident for each route beyond its id, log and all", text);
    Ok(())
}

/// Ends a load, and makes sure that nothing that was acknowledged is lost.
async fn check(bench: &mut Bench, load: orrery_bench::paced_load::PacedLoad) -> anyhow::Result<()> {
    let verdict = load.check().await;
    let text = format!(
        "{} acknowledged, {} lost, {} changed, {} unread; not acknowledged: {:?}",
        verdict.acknowledged, verdict.lost, verdict.changed, verdict.unread, verdict.failures
    );
    bench.findings.add("writes of the load", text);
    match verdict.is_good() {
        true => Ok(()),
        false => bail!("acknowledged writes are not there: {verdict:?}"),
    }
}
