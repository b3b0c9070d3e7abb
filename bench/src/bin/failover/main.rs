//! `failover`: how long a shard takes no writes when its leader is killed, or moved on purpose, and
//! whether anything that was acknowledged is lost.
//!
//! Router processes on this machine get a few writes a second to every shard, all the time. In a round
//! of kills, a node that leads shards is ended by SIGKILL; for each of its shards the time to the first
//! acknowledgement of a write made after the kill is taken, then the node is started again, and the next
//! round begins when it has caught up. In a round of moves, one shard's leader is moved by `orrery ctl`,
//! and the longest time between two acknowledgements around it is taken. In the end every bind that was
//! ever acknowledged is looked up.

mod limits;
mod outages;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use orrery_bench::clock::Clock;
use orrery_bench::closed_loop;
use orrery_bench::cluster::{Cluster, Leaders};
use orrery_bench::limits::SETTLED;
use orrery_bench::machine::{self, Machine};
use orrery_bench::paced_load::PacedLoad;
use orrery_bench::registry::Registry;
use orrery_daemon::shutdown::Signals;
use orrery_host::Host;
use orrery_model::{NodeId, ShardId};
use tokio::time::sleep;

use crate::limits::{LOOK_ON, OUTAGE_MAX};
use crate::outages::{Outages, Outcome};

/// Kills and moves leaders under load, and measures for how long their shards take no writes.
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
    /// How often a node that leads shards is killed.
    #[arg(long, default_value_t = 50)]
    kills: usize,
    /// How often the leader of a shard is moved.
    #[arg(long, default_value_t = 50)]
    moves: usize,
    /// Milliseconds between one write to a shard and the next: as exact as the figures are.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    every_ms: u64,
    /// Prints JSON instead of a table.
    #[arg(long)]
    json: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let runtime = closed_loop::runtime()?;
    let (machine, outcome) = runtime.block_on(async {
        // Whatever ends this, the routers end with it.
        let mut signals = Signals::catch()?;
        tokio::select! {
            outcome = run(&options) => outcome,
            signal = signals.next() => bail!("ended by {signal}"),
        }
    })?;
    let mut out = std::io::stdout().lock();
    if options.json {
        let all = serde_json::json!({ "machine": machine, "outcome": outcome });
        writeln!(out, "{all:#}")?;
    } else {
        let Options { nodes, shards, every_ms, .. } = &options;
        writeln!(out, "{machine}")?;
        writeln!(out, "{nodes} routers, {shards} shards, a write to each every {every_ms} ms\n")?;
        write!(out, "{outcome}")?;
    }
    // A bar that is missed is a figure; a bind that is lost is not.
    Ok(if outcome.verdict.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(options: &Options) -> anyhow::Result<(Machine, Outcome)> {
    let clock = Clock::start();
    let folder = tempfile::Builder::new().prefix("orrery-failover-").tempdir_in(&options.data);
    let folder = folder.with_context(|| format!("use {}", options.data.display()))?;
    let sync = machine::time_syncs(folder.path(), clock).context("time syncs")?;
    let machine = Machine { sync: Some(sync), ..Machine::look() };
    match rounds(options, clock, folder.path()).await {
        Ok(outcome) if outcome.verdict.is_good() => Ok((machine, outcome)),
        outcome => {
            say(&format!("logs and data stay in {}", folder.keep().display()));
            Ok((machine, outcome?))
        }
    }
}

async fn rounds(options: &Options, clock: Clock, folder: &Path) -> anyhow::Result<Outcome> {
    let host = Host::system();
    say("starting");
    let (nodes, shards) = (usize::from(options.nodes), options.shards);
    let mut cluster = Cluster::start(&host, &options.binary, folder, nodes, shards, "").await?;
    let leaders = cluster.settled().await?;
    let shards: Vec<ShardId> = data_shards(&leaders).collect();
    let registry = Arc::new(Registry::attach(&host, cluster.addresses()).await?);
    let table = registry.client().table().context("the client has no slot table")?;
    let every = Duration::from_millis(options.every_ms);
    let table = Arc::new(table.slots.clone());
    let load = PacedLoad::start(&host, clock, &registry, &table, &shards, every);
    let mut bench = Bench { clock, cluster, load, outages: Outages::default() };
    for round in 0..options.kills {
        bench.kill(round).await.with_context(|| format!("kill {}", round + 1))?;
    }
    for round in 0..options.moves {
        bench.move_leader(round, &shards).await.with_context(|| format!("move {}", round + 1))?;
    }
    bench.cluster.settled().await?;
    say("looking for everything that was acknowledged");
    let verdict = bench.load.check().await;
    Ok(bench.outages.outcome(options.kills, options.moves, verdict))
}

struct Bench {
    clock: Clock,
    cluster: Cluster,
    load: PacedLoad,
    outages: Outages,
}

impl Bench {
    /// Kills a node that leads shards, and starts it again when they take writes again.
    async fn kill(&mut self, round: usize) -> anyhow::Result<()> {
        let leaders = self.cluster.settled().await?;
        let node = leading(&leaders, round).context("nobody leads a data shard")?;
        let killed_ns = self.clock.now_ns();
        self.cluster.kill(node).await?;
        let mut slowest = Duration::ZERO;
        for shard in data_shards(&leaders).filter(|shard| leaders[shard] == node) {
            let took = self.load.first_after(shard, killed_ns, OUTAGE_MAX).await?;
            self.outages.killed(took);
            slowest = slowest.max(took);
        }
        let now_ns = self.clock.now_ns();
        for shard in data_shards(&leaders).filter(|shard| leaders[shard] != node) {
            self.outages.bystander(self.load.longest_gap(shard, killed_ns, now_ns));
        }
        say(&format!("kill {}: node {node}, slowest shard {} ms", round + 1, slowest.as_millis()));
        self.cluster.restart(node)
    }

    /// Moves the leader of one shard to another node.
    async fn move_leader(&mut self, round: usize, shards: &[ShardId]) -> anyhow::Result<()> {
        let leaders = self.cluster.settled().await?;
        let shard = shards[round % shards.len()];
        let nodes = self.cluster.addresses().len() as u64;
        let node = NodeId(leaders[&shard].0 % nodes + 1);
        let begun_ns = self.clock.now_ns();
        // For this long nothing has happened.
        let settled_ns = begun_ns - SETTLED.as_nanos() as u64;
        let at_rest = self.load.longest_gap(shard, settled_ns, begun_ns);
        self.cluster.move_leader(shard, node).await?;
        sleep(LOOK_ON).await;
        let gap = self.load.longest_gap(shard, begun_ns, self.clock.now_ns());
        self.outages.moved(at_rest, gap);
        let gap = gap.as_millis();
        say(&format!("move {}: shard {shard} to node {node}, gap {gap} ms", round + 1));
        Ok(())
    }
}

fn data_shards(leaders: &Leaders) -> impl Iterator<Item = ShardId> + '_ {
    leaders.keys().copied().filter(|shard| *shard != ShardId::CONTROL)
}

/// A node that leads data shards; each has its turn.
fn leading(leaders: &Leaders, round: usize) -> Option<NodeId> {
    let mut nodes: Vec<_> = data_shards(leaders).map(|shard| leaders[&shard]).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes.get(round.checked_rem(nodes.len())?).copied()
}

/// Tells whoever watches where it is.
fn say(what: &str) {
    eprintln!("failover: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_that_leads_data_shards_has_its_turn() {
        let leaders = |of: &[(u32, u64)]| {
            of.iter().map(|(shard, node)| (ShardId(*shard), NodeId(*node))).collect::<Leaders>()
        };
        let all = leaders(&[(0, 1), (1, 3), (2, 2), (3, 3)]);
        let turns: Vec<_> = (0..4).map(|round| leading(&all, round).unwrap().0).collect();
        assert_eq!(turns, [2, 3, 2, 3]);
        assert_eq!(leading(&leaders(&[(0, 1)]), 5), None);
    }
}
