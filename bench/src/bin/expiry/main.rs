//! `expiry`: how long the routes of a comet stay that is not heard of any more.
//!
//! Router processes on this machine hold the routes of a comet with many users, of one whose routes must
//! stay, and of one that binds a few users in every shard all the time. In a round the first comet's
//! keep-alives stop. The time from the last one that was acknowledged is taken until linearizable look-ups
//! of some of its users in every shard find nothing, until no replica counts its routes, and until no
//! replica holds a body of them. In some of the rounds the leader of the control shard is killed a second
//! after the last keep-alive. What writes cost meanwhile is told beside it.

mod limits;
mod rounds;
mod survivors;
mod vanishing;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use orrery_bench::clock::Clock;
use orrery_bench::cluster::{Cluster, Leaders};
use orrery_bench::machine::{self, Machine};
use orrery_bench::paced_load::PacedLoad;
use orrery_bench::registry::Registry;
use orrery_bench::{closed_loop, population};
use orrery_daemon::shutdown::Signals;
use orrery_host::Host;
use orrery_model::{CometRef, NodeId, ShardId, SlotTable};
use orrery_router_client::Pulse;
use tokio::time::{Instant, sleep};

use crate::limits::{AROUND, BASELINE, KILL_AFTER, LOOK_TIMEOUT, WAIT_FURTHER};
use crate::rounds::{Outcome, Round, Trouble, asked};
use crate::survivors::Survivors;

/// Lets a comet with many users go silent, and measures until its routes are gone.
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
    /// Users of the comet that goes silent.
    #[arg(long, default_value_t = 100_000)]
    users: u64,
    /// Users of a comet that lives.
    #[arg(long, default_value_t = 1_000)]
    survivors: u64,
    /// Users of the silent comet that are looked up in each shard.
    #[arg(long, default_value_t = 20)]
    samples: usize,
    /// The lease in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    lease_ms: u64,
    /// How often a comet goes silent.
    #[arg(long, default_value_t = 2)]
    silences: usize,
    /// How often one goes silent and the control shard's leader is killed.
    #[arg(long, default_value_t = 2)]
    kills: usize,
    /// Binds under way at once while users are bound.
    #[arg(long, default_value_t = 1024)]
    callers: usize,
    /// Milliseconds between one write to a shard and the next, of the comet that measures writes.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
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
    // A bar that is missed is a figure; a route that is lost is not.
    Ok(if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(options: &Options) -> anyhow::Result<(Machine, Outcome)> {
    let clock = Clock::start();
    let folder = tempfile::Builder::new().prefix("orrery-expiry-").tempdir_in(&options.data);
    let folder = folder.with_context(|| format!("use {}", options.data.display()))?;
    let sync = machine::time_syncs(folder.path(), clock).context("time syncs")?;
    let machine = Machine { sync: Some(sync), ..Machine::look() };
    match rounds(options, clock, folder.path()).await {
        Ok(outcome) if outcome.is_good() => Ok((machine, outcome)),
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
    let settings = format!("lease_ms = {}", options.lease_ms);
    let mut cluster =
        Cluster::start(&host, &options.binary, folder, nodes, shards, &settings).await?;
    let leaders = cluster.settled().await?;
    let living = Arc::new(Registry::attach(&host, cluster.addresses()).await?);
    let table = living.client().table().context("the client has no slot table")?;
    let table = Arc::new(table.slots.clone());
    population::bind(&living, clock, 0..options.survivors, options.callers).await?;
    let survivors = Survivors::watch(&host, living.clone(), options.survivors);

    let writer = Arc::new(Registry::attach(&host, cluster.addresses()).await?);
    let shards: Vec<_> = leaders.into_keys().filter(|id| *id != ShardId::CONTROL).collect();
    let every = Duration::from_millis(options.every_ms);
    let load = PacedLoad::start(&host, clock, &writer, &table, &shards, every);

    let silences = std::iter::repeat_n(Trouble::None, options.silences);
    let kills = std::iter::repeat_n(Trouble::Killed, options.kills);
    let mut bench = Bench { host, clock, cluster, table, load };
    let mut rounds = Vec::new();
    for (number, trouble) in silences.chain(kills).enumerate() {
        let round = bench.round(options, trouble).await;
        rounds.push(round.with_context(|| format!("round {}", number + 1))?);
    }
    bench.cluster.settled().await?;
    say("looking for everything that must be there");
    let verdict = bench.load.check().await;
    if !verdict.is_good() {
        bail!("writes that were acknowledged are not there: {verdict:?}");
    }
    let survivors = survivors.check().await;
    // Those whose outcome is not known are there or not.
    let unknown = verdict.failures.values().sum::<u64>() + verdict.abandoned;
    let leaders = bench.cluster.settled().await?;
    let routes = vanishing::routes(&bench.cluster).await;
    let counted = leaders.iter().filter_map(|(shard, node)| routes.get(&(*node, *shard))).sum();
    let least = options.survivors + verdict.acknowledged;
    let expected = if (least..=least + unknown).contains(&counted) { counted } else { least };
    Ok(Outcome::new(options.lease_ms, rounds, survivors, counted, expected))
}

struct Bench {
    host: Host,
    clock: Clock,
    cluster: Cluster,
    table: Arc<SlotTable>,
    load: PacedLoad,
}

impl Bench {
    async fn round(&mut self, options: &Options, trouble: Trouble) -> anyhow::Result<Round> {
        let clock = self.clock;
        let doomed = Registry::attach(&self.host, self.cluster.addresses()).await?;
        let bound = population::bind(&doomed, clock, 0..options.users, options.callers).await?;
        let (binds, repeats) = (bound.latencies.summary(), bound.repeats);
        say(&format!(
            "{} users bound in {:.1} s (p50 {:.1} ms, p99 {:.1} ms, {repeats} repeats)",
            options.users, bound.seconds, binds.p50_ms, binds.p99_ms
        ));
        let users = (0..options.users).map(|n| doomed.user(n));
        let (samples, users) = vanishing::sample(&self.table, users, options.samples);
        let leaders = self.cluster.settled().await?;

        let baseline_ns = clock.now_ns();
        sleep(BASELINE).await;
        let before = self.load.latencies(baseline_ns, clock.now_ns()).summary();
        let gap_before = self.load.worst_gap(baseline_ns, clock.now_ns());
        let routes = vanishing::routes(&self.cluster).await;
        let (client, silent_ns) = (doomed.client().clone(), silence(doomed, clock).await?);
        if trouble == Trouble::Killed {
            sleep(clock.until(silent_ns + ns(KILL_AFTER))).await;
            self.cluster.kill(control_leader(&leaders)?).await?;
        }
        let patience = asked(trouble, options.lease_ms) + WAIT_FURTHER;
        let (vanished, counted) = tokio::try_join!(
            vanishing::vanished(&client, clock, &samples, Instant::now() + patience),
            vanishing::counted(&self.host, clock, &self.cluster, &routes, &users, patience),
        )?;
        sleep(AROUND).await;

        let first_ns = vanished.values().map(|at| at.last_seen_ns).min().unwrap_or_default();
        let gone_ns = vanished.values().map(|at| at.gone_ns).max().unwrap_or_default();
        let begin_ns = first_ns.saturating_sub(ns(AROUND));
        let end_ns = counted.swept_ns.max(gone_ns) + ns(AROUND);
        let since = |moment_ns: u64| moment_ns.saturating_sub(silent_ns) as f64 / 1e6;
        let round = Round {
            trouble,
            routes: options.users,
            bound_s: bound.seconds,
            first_gone_ms: since(first_ns),
            gone_ms: since(gone_ns),
            uncounted_ms: since(counted.uncounted_ns),
            swept_ms: since(counted.swept_ns),
            unswept_max: counted.unswept_max,
            torn: vanished.values().filter(|at| at.torn).count(),
            before,
            during: self.load.latencies(begin_ns, end_ns).summary(),
            gap_before_ms: gap_before.as_secs_f64() * 1e3,
            gap_during_ms: self.load.worst_gap(begin_ns, end_ns).as_secs_f64() * 1e3,
        };
        say(&format!("{trouble:?}: gone {:.0} ms, swept {:.0} ms", round.gone_ms, round.swept_ms));
        if trouble == Trouble::Killed {
            self.cluster.restart(control_leader(&leaders)?)?;
        }
        Ok(round)
    }
}

/// Ends a comet's keep-alives. Says when the last one was sent; it was acknowledged.
async fn silence(comet: Registry, clock: Clock) -> anyhow::Result<u64> {
    let client = comet.client().clone();
    let life = life(&comet).await?;
    let sent_ns = clock.now_ns();
    let pulse = client.keep_alive(life, Instant::now() + LOOK_TIMEOUT).await?;
    drop(comet);
    match pulse {
        Pulse::Alive => Ok(sent_ns),
        Pulse::Ended | Pulse::Superseded => bail!("the comet has ended before its time"),
    }
}

/// A comet's life, as the registry knows it.
async fn life(comet: &Registry) -> anyhow::Result<CometRef> {
    let deadline = Instant::now() + LOOK_TIMEOUT;
    let located = comet.client().locate(comet.user(0), false, deadline).await?;
    located
        .routes
        .into_iter()
        .next()
        .map(|route| route.comet)
        .context("its first user is not there")
}

fn control_leader(leaders: &Leaders) -> anyhow::Result<NodeId> {
    leaders.get(&ShardId::CONTROL).copied().context("nobody leads the control shard")
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Tells whoever watches where it is.
fn say(what: &str) {
    eprintln!("expiry: {what}");
}
