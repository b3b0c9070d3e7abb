//! Bench: the cluster under measurement, the comets that live meanwhile, and what is done to the others.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use orrery_bench::clock::{Clock, ns};
use orrery_bench::cluster::{Cluster, Leaders, data_shards};
use orrery_bench::experiment::say;
use orrery_bench::paced_load::PacedLoad;
use orrery_bench::population;
use orrery_bench::registry::Registry;
use orrery_host::Host;
use orrery_model::{CometRef, NodeId, ShardId, SlotTable};
use orrery_router_client::Pulse;
use tokio::time::{Instant, sleep};

use crate::limits::{AROUND, BASELINE, KILL_AFTER, LOOK_TIMEOUT, WAIT_FURTHER};
use crate::rounds::{Outcome, Round, Trouble, asked};
use crate::survivors::Survivors;
use crate::{NAME, Options, vanishing};

/// Everything that a round uses.
pub(crate) struct Bench {
    host: Host,
    clock: Clock,
    cluster: Cluster,
    table: Arc<SlotTable>,
    survivors: Survivors,
    load: PacedLoad,
}

impl Bench {
    /// Starts a cluster, binds the users that must stay, and begins to write to every shard.
    ///
    /// # Errors
    /// When the cluster does not come to rest, or a user cannot be bound.
    pub(crate) async fn start(
        options: &Options,
        clock: Clock,
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let host = Host::system();
        let settings = format!("lease_ms = {}", options.lease_ms);
        let mut cluster = options.site.start(&host, folder, &settings).await?;
        let leaders = cluster.settled().await?;
        let living = Arc::new(Registry::attach(&host, cluster.addresses()).await?);
        let table = living.table()?;
        population::bind(&living, clock, 0..options.survivors, options.callers).await?;
        let survivors = Survivors::watch(&host, living, options.survivors);

        let writer = Arc::new(Registry::attach(&host, cluster.addresses()).await?);
        let shards: Vec<_> = data_shards(&leaders).collect();
        let every = Duration::from_millis(options.every_ms);
        let load = PacedLoad::start(&host, clock, &writer, &table, &shards, every);
        Ok(Self { host, clock, cluster, table, survivors, load })
    }

    /// Binds many users to a comet and lets it go silent.
    ///
    /// # Errors
    /// When its routes cannot be bound, or do not vanish.
    pub(crate) async fn round(
        &mut self,
        options: &Options,
        trouble: Trouble,
    ) -> anyhow::Result<Round> {
        let clock = self.clock;
        let doomed = Registry::attach(&self.host, self.cluster.addresses()).await?;
        let bound = population::bind(&doomed, clock, 0..options.users, options.callers).await?;
        let (binds, repeats) = (bound.latencies.summary(), bound.repeats);
        say(
            NAME,
            format_args!(
                "{} users bound in {:.1} s (p50 {:.1} ms, p99 {:.1} ms, {repeats} repeats)",
                options.users, bound.seconds, binds.p50_ms, binds.p99_ms
            ),
        );
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
        say(
            NAME,
            format_args!(
                "{trouble:?}: gone {:.0} ms, swept {:.0} ms",
                round.gone_ms, round.swept_ms
            ),
        );
        if trouble == Trouble::Killed {
            self.cluster.restart(control_leader(&leaders)?)?;
        }
        Ok(round)
    }
    /// Ends the load and looks for everything that must be there.
    ///
    /// # Errors
    /// When a write that was acknowledged is not there, or the cluster does not come to rest.
    pub(crate) async fn finish(
        mut self,
        options: &Options,
        rounds: Vec<Round>,
    ) -> anyhow::Result<Outcome> {
        self.cluster.settled().await?;
        say(NAME, "looking for everything that must be there");
        let verdict = self.load.check().await;
        if !verdict.is_good() {
            bail!("writes that were acknowledged are not there: {verdict:?}");
        }
        let survivors = self.survivors.check().await;
        // Those whose outcome is not known are there or not.
        let unknown = verdict.failures.values().sum::<u64>() + verdict.abandoned;
        let leaders = self.cluster.settled().await?;
        let routes = vanishing::routes(&self.cluster).await;
        let counted = leaders.iter().filter_map(|(shard, node)| routes.get(&(*node, *shard))).sum();
        let least = options.survivors + verdict.acknowledged;
        let expected = if (least..=least + unknown).contains(&counted) { counted } else { least };
        Ok(Outcome::new(options.lease_ms, rounds, survivors, counted, expected))
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
