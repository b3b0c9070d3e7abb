//! Bench: the cluster under measurement, who writes to it, and what every phase asks of both.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use orrery_bench::clock::Clock;
use orrery_bench::cluster::Cluster;
use orrery_bench::experiment::Site;
use orrery_bench::paced_load::PacedLoad;
use orrery_bench::population;
use orrery_bench::registry::Registry;
use orrery_bench::resources::{Resources, machine_busy_s};
use orrery_bench::router::Router;
use orrery_host::Host;
use orrery_model::{Address, NodeId, ShardId, SlotTable};
use tokio::time::{Instant, sleep};

use crate::findings::{Findings, Writes};
use crate::limits::{LOOK_EVERY, LOOK_ON, LOOK_TIMEOUT, REST, SERVING_MAX};

/// Everything that a phase uses.
pub(crate) struct Bench {
    pub(crate) host: Host,
    pub(crate) clock: Clock,
    pub(crate) cluster: Cluster,
    /// Holds the population.
    pub(crate) registry: Arc<Registry>,
    pub(crate) table: Arc<SlotTable>,
    pub(crate) findings: Findings,
    /// Users that are bound.
    pub(crate) bound: u64,
    pub(crate) under_way: usize,
    pub(crate) every: Duration,
}

impl Bench {
    /// Starts a cluster without users.
    ///
    /// # Errors
    /// When it does not come to rest.
    pub(crate) async fn start(
        site: &Site,
        clock: Clock,
        folder: &Path,
        under_way: usize,
        every: Duration,
    ) -> anyhow::Result<Self> {
        let host = Host::system();
        let mut cluster = site.start(&host, folder, "").await?;
        cluster.settled().await?;
        let registry = Arc::new(Registry::attach(&host, cluster.addresses()).await?);
        let (table, findings) = (registry.table()?, Findings::default());
        Ok(Self { host, clock, cluster, registry, table, findings, bound: 0, under_way, every })
    }

    /// Binds the users, and tells what they take.
    ///
    /// # Errors
    /// When one of them cannot be bound.
    pub(crate) async fn fill(&mut self, users: u64) -> anyhow::Result<()> {
        let empty = self.memory("before binds").await;
        self.bind(users).await?;
        self.cluster.settled().await?;
        let full = self.memory("with all users bound").await;
        self.disk("with all users bound")?;
        let ids: usize = (0..users).map(|n| self.registry.user(n).id.as_str().len()).sum();
        let beyond = full.iter().zip(&empty).map(|(full, empty)| {
            let bytes = (full - empty) * f64::from(1 << 20) - ids as f64;
            format!("{:.0}", bytes / users as f64)
        });
        let text = format!("{} bytes", beyond.collect::<Vec<_>>().join(", "));
        self.findings.add("resident for each route beyond its id, log and all", text);
        Ok(())
    }

    /// Begins to write to every shard, in the name of a comet of its own.
    ///
    /// # Errors
    /// When none can be attached.
    pub(crate) async fn load(&self) -> anyhow::Result<PacedLoad> {
        let writer = Arc::new(Registry::attach(&self.host, self.cluster.addresses()).await?);
        let shards = self.shards();
        let (host, clock, table) = (&self.host, self.clock, &self.table);
        Ok(PacedLoad::start(host, clock, &writer, table, &shards, self.every))
    }

    /// Ends a load, and makes sure that nothing that was acknowledged is lost.
    ///
    /// # Errors
    /// When something is.
    pub(crate) async fn check(&mut self, load: PacedLoad) -> anyhow::Result<()> {
        let verdict = load.check().await;
        let text = format!(
            "{} acknowledged, {} lost, {} changed, {} unread; not acknowledged: {:?}",
            verdict.acknowledged, verdict.lost, verdict.changed, verdict.unread, verdict.failures
        );
        self.findings.add("writes of the load", text);
        match verdict.is_good() {
            true => Ok(()),
            false => bail!("acknowledged writes are not there: {verdict:?}"),
        }
    }

    /// The data shards.
    pub(crate) fn shards(&self) -> Vec<ShardId> {
        let mut shards = self.table.owners().to_vec();
        shards.sort_unstable();
        shards.dedup();
        shards
    }

    /// Binds more users, and tells how long that took.
    ///
    /// # Errors
    /// When one of them cannot be bound.
    pub(crate) async fn bind(&mut self, users: u64) -> anyhow::Result<()> {
        let range = self.bound..self.bound + users;
        let (cpu, busy) = (self.cpu_s(), machine_busy_s().unwrap_or_default());
        let bound = population::bind(&self.registry, self.clock, range, self.under_way).await?;
        self.bound += users;
        let (seconds, latency) = (bound.seconds, bound.latencies.summary());
        let (cpu, busy) = (self.cpu_s() - cpu, machine_busy_s().unwrap_or_default() - busy);
        let text = format!(
            "{seconds:.1} s, {:.0} a second, {} under way: p50 {:.1} ms, p99 {:.1}, max {:.1}, {} repeats; \
             cores: routers and client {:.2}, others {:.2}",
            users as f64 / seconds,
            self.under_way,
            latency.p50_ms,
            latency.p99_ms,
            latency.max_ms,
            bound.repeats,
            cpu / seconds,
            (busy - cpu).max(0.0) / seconds,
        );
        self.findings.add(format!("{users} users bound"), text);
        Ok(())
    }

    /// What writes cost while something happens, and a little after it; and how long it took.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn writes_during<T>(
        &mut self,
        load: &PacedLoad,
        happening: impl AsyncFnOnce(&mut Self) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Duration, Writes)> {
        let begin_ns = self.clock.now_ns();
        let value = happening(self).await?;
        let took = Duration::from_nanos(self.clock.now_ns() - begin_ns);
        sleep(LOOK_ON).await;
        let end_ns = self.clock.now_ns();
        let writes = Writes {
            latency: load.latencies(begin_ns, end_ns).summary(),
            gap: load.worst_gap(begin_ns, end_ns),
            lasting: Duration::from_nanos(end_ns - begin_ns),
        };
        Ok((value, took, writes))
    }

    /// Memory of each process, in MiB.
    pub(crate) async fn memory(&mut self, when: &str) -> Vec<f64> {
        sleep(REST).await;
        let used: Vec<_> = self.cluster.pids().into_iter().filter_map(Resources::of).collect();
        let each =
            used.iter().map(|used| format!("{:.0} (peak {:.0})", used.rss_mib, used.rss_max_mib));
        let text = format!("{} MiB", each.collect::<Vec<_>>().join(", "));
        self.findings.add(format!("resident {when}"), text);
        used.iter().map(|used| used.rss_mib).collect()
    }

    /// Room that each node's files take.
    ///
    /// # Errors
    /// When it cannot be seen.
    pub(crate) fn disk(&mut self, when: &str) -> anyhow::Result<()> {
        let mut each = Vec::new();
        for router in self.cluster.routers() {
            each.push(format!("{:.0}", router.disk_bytes()? as f64 / f64::from(1 << 20)));
        }
        self.findings.add(format!("disk {when}"), format!("{} MiB", each.join(", ")));
        Ok(())
    }

    /// Waits until a user of every shard is found by a linearizable look-up, and says when the first and
    /// when the last shard answered.
    ///
    /// # Errors
    /// When one does not in time.
    pub(crate) async fn all_serve(&self) -> anyhow::Result<(Duration, Duration)> {
        let begun_ns = self.clock.now_ns();
        let mut users: BTreeMap<ShardId, Address> = BTreeMap::new();
        for user in (0..self.bound).map(|n| self.registry.user(n)) {
            users.entry(self.table.owner(user.slot())).or_insert(user);
            if users.len() == self.shards().len() {
                break;
            }
        }
        let answered =
            try_join_all(users.iter().map(|(shard, user)| self.served(*shard, user))).await?;
        let took = |ns: Option<&u64>| {
            Duration::from_nanos(ns.copied().unwrap_or_default().saturating_sub(begun_ns))
        };
        Ok((took(answered.iter().min()), took(answered.iter().max())))
    }

    async fn served(&self, shard: ShardId, user: &Address) -> anyhow::Result<u64> {
        let give_up = Instant::now() + SERVING_MAX;
        loop {
            let deadline = Instant::now() + LOOK_TIMEOUT;
            match self.registry.client().locate(user.clone(), false, deadline).await {
                Ok(located) if located.routes.is_empty() => bail!("shard {shard} lost a route"),
                Ok(_) => return Ok(self.clock.now_ns()),
                Err(error) if Instant::now() > give_up => {
                    return Err(error).with_context(|| format!("shard {shard} does not serve"));
                }
                Err(_) => sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Ends all nodes and starts them with other settings.
    ///
    /// # Errors
    /// When they do not come back.
    pub(crate) async fn reconfigure(&mut self, settings: &str) -> anyhow::Result<()> {
        self.cluster.stop_all().await?;
        for router in self.cluster.routers() {
            router.configure(settings)?;
        }
        for node in self.nodes() {
            self.cluster.restart(node)?;
        }
        self.cluster.settled().await.map(drop)
    }

    /// All nodes.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        self.cluster.routers().iter().map(Router::node).collect()
    }

    /// Processor time that a node has used since it started, in seconds.
    pub(crate) fn cpu_of(&self, node: NodeId) -> f64 {
        let mut running = self.cluster.running();
        let pid = running.find(|router| router.node() == node).and_then(Router::pid);
        pid.and_then(Resources::of).unwrap_or_default().cpu_s()
    }

    fn cpu_s(&self) -> f64 {
        let servers = Resources::of_all(&self.cluster.pids()).unwrap_or_default();
        servers.cpu_s() + Resources::own().unwrap_or_default().cpu_s()
    }
}
