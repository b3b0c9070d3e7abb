//! Cluster: router processes on one machine, and what they say of themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail};
use futures_util::future::{join_all, try_join_all};
use orrery_host::Host;
use orrery_model::{NodeId, ShardId};
use orrery_router_client::Config;
use orrery_router_client::cluster::{ClusterClient, ClusterError, Report};
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::limits::{
    BEHIND_MAX, LOOK, REPORT_TIMEOUT, SETTLE_TIMEOUT, SETTLED, SNAPSHOT_TIMEOUT, START_TIMEOUT,
};
use crate::router::Router;

/// Who leads each shard.
pub type Leaders = BTreeMap<ShardId, NodeId>;

/// The data shards among those that are led.
pub fn data_shards(leaders: &Leaders) -> impl Iterator<Item = ShardId> + '_ {
    leaders.keys().copied().filter(|shard| *shard != ShardId::CONTROL)
}

/// Router nodes 1 to n, each a process. Dropping it kills them.
pub struct Cluster {
    host: Host,
    binary: PathBuf,
    client: ClusterClient,
    routers: Vec<Router>,
}

impl Cluster {
    /// Starts processes with their data below a folder, and these lines in the section `router` of their
    /// configuration, and makes them a cluster.
    ///
    /// # Errors
    /// When one does not start, or they do not become a cluster in time.
    pub async fn start(
        host: &Host,
        binary: &Path,
        folder: &Path,
        nodes: usize,
        shards: u32,
        settings: &str,
    ) -> anyhow::Result<Self> {
        let mut routers = Vec::new();
        for number in 1..=nodes {
            let folder = folder.join(format!("router-{number}"));
            let mut router = Router::prepare(host, binary, folder, number)?;
            router.configure(settings)?;
            router.start()?;
            routers.push(router);
        }
        let nodes = routers.iter().map(|router| router.registry.clone()).collect();
        let config = Config { nodes, ..Config::default() };
        let client = ClusterClient::new(&config, host.clone());
        let mut cluster = Self { host: host.clone(), binary: binary.to_owned(), client, routers };
        cluster.listening().await?;
        let (addresses, replicas) = (cluster.addresses().join(","), cluster.routers.len().min(7));
        let (shards, replicas) = (shards.to_string(), replicas.to_string());
        let args = ["cluster", "bootstrap", "--nodes", &addresses];
        cluster.ctl(&[&args[..], &["--shards", &shards, "--replicas", &replicas]].concat()).await?;
        Ok(cluster)
    }

    /// Registry addresses of all nodes.
    pub fn addresses(&self) -> Vec<String> {
        self.routers.iter().map(|router| router.registry.clone()).collect()
    }

    /// Kills a node with SIGKILL.
    ///
    /// # Errors
    /// When it had ended by itself.
    pub async fn kill(&mut self, node: NodeId) -> anyhow::Result<()> {
        self.router(node)?.kill().await
    }

    /// Starts a node again.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn restart(&mut self, node: NodeId) -> anyhow::Result<()> {
        self.router(node)?.start()
    }

    /// Ends a node the way an operator does.
    ///
    /// # Errors
    /// When it had ended by itself, or does not end.
    pub async fn stop(&mut self, node: NodeId) -> anyhow::Result<()> {
        self.router(node)?.stop().await
    }

    /// Ends all nodes at once the way an operator does.
    ///
    /// # Errors
    /// When one had ended by itself, or does not end.
    pub async fn stop_all(&mut self) -> anyhow::Result<()> {
        try_join_all(self.routers.iter_mut().map(Router::stop)).await.map(drop)
    }

    /// All nodes.
    pub fn routers(&self) -> &[Router] {
        &self.routers
    }

    /// The nodes that run.
    pub fn running(&self) -> impl Iterator<Item = &Router> {
        self.routers.iter().filter(|router| router.pid().is_some())
    }

    /// Processes of all nodes that run.
    pub fn pids(&self) -> Vec<u32> {
        self.routers.iter().filter_map(Router::pid).collect()
    }

    /// Waits until a node says of itself that it is ready.
    ///
    /// # Errors
    /// When it ends by itself, or is not ready in time.
    pub async fn ready(&mut self, node: NodeId) -> anyhow::Result<()> {
        let give_up = Instant::now() + SETTLE_TIMEOUT;
        let host = self.host.clone();
        loop {
            let router = self.router(node)?;
            router.check()?;
            if router.is_ready(&host).await {
                return Ok(());
            }
            if Instant::now() > give_up {
                bail!("node {node} did not become ready within {SETTLE_TIMEOUT:?}");
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until every node serves and no replica is behind, whoever leads.
    ///
    /// # Errors
    /// When that does not happen in time, with what is missing.
    pub async fn caught_up(&mut self) -> anyhow::Result<Leaders> {
        let give_up = Instant::now() + SETTLE_TIMEOUT;
        loop {
            self.routers.iter_mut().try_for_each(Router::check)?;
            let missing = match leaders(&self.reports().await) {
                Ok(leaders) => return Ok(leaders),
                Err(missing) => missing,
            };
            if Instant::now() > give_up {
                bail!("not every replica caught up within {SETTLE_TIMEOUT:?}: {missing}");
            }
            sleep(LOOK).await;
        }
    }

    /// Lets a node write snapshots of some shards, or of all it has where none is named.
    ///
    /// # Errors
    /// When it does not.
    pub async fn snapshot(&self, node: NodeId, shards: &[ShardId]) -> anyhow::Result<()> {
        let index = usize::try_from(node.0 - 1).context("there is no such node")?;
        let router = self.routers.get(index).context("there is no such node")?;
        let deadline = Instant::now() + SNAPSHOT_TIMEOUT;
        self.client
            .snapshot(&router.registry, shards, deadline)
            .await
            .context("write snapshots")?;
        Ok(())
    }

    /// Moves the leader of a shard, as an operator does.
    ///
    /// # Errors
    /// When `orrery ctl` fails.
    pub async fn move_leader(&self, shard: ShardId, node: NodeId) -> anyhow::Result<()> {
        self.ctl(&["leader", "move", &shard.0.to_string(), &node.0.to_string()]).await
    }

    /// Waits until every node serves and has caught up, every shard is led, and nothing of this changed
    /// for a while; says who leads.
    ///
    /// # Errors
    /// When that does not happen in time, with what is missing.
    pub async fn settled(&mut self) -> anyhow::Result<Leaders> {
        let give_up = Instant::now() + SETTLE_TIMEOUT;
        let mut since: Option<(Leaders, Instant)> = None;
        loop {
            self.routers.iter_mut().try_for_each(Router::check)?;
            let missing = match leaders(&self.reports().await) {
                Ok(leaders) => match &since {
                    Some((same, begun)) if *same == leaders => {
                        if begun.elapsed() >= SETTLED {
                            return Ok(leaders);
                        }
                        "leaders that stay".to_owned()
                    }
                    _ => {
                        since = Some((leaders, Instant::now()));
                        "leaders that stay".to_owned()
                    }
                },
                Err(missing) => {
                    since = None;
                    missing
                }
            };
            if Instant::now() > give_up {
                bail!("the cluster did not come to rest within {SETTLE_TIMEOUT:?}: {missing}");
            }
            sleep(LOOK).await;
        }
    }

    /// How every node stands.
    pub async fn reports(&self) -> Vec<Result<Report, ClusterError>> {
        let report = |router: &Router| {
            let address = router.registry.clone();
            async move { self.client.report(&address, Instant::now() + REPORT_TIMEOUT).await }
        };
        join_all(self.routers.iter().map(report)).await
    }

    /// Waits until each process answers.
    async fn listening(&mut self) -> anyhow::Result<()> {
        let give_up = Instant::now() + START_TIMEOUT;
        for router in &mut self.routers {
            loop {
                router.check()?;
                let soon = Instant::now() + REPORT_TIMEOUT;
                match self.client.describe(&router.registry, soon).await {
                    Ok(_) => break,
                    Err(error) if Instant::now() > give_up => {
                        return Err(error).context("a router does not answer");
                    }
                    Err(_) => sleep(LOOK).await,
                }
            }
        }
        Ok(())
    }

    fn router(&mut self, node: NodeId) -> anyhow::Result<&mut Router> {
        let index = usize::try_from(node.0).ok().and_then(|number| number.checked_sub(1));
        index.and_then(|index| self.routers.get_mut(index)).context("there is no such node")
    }

    async fn ctl(&self, args: &[&str]) -> anyhow::Result<()> {
        let output = Command::new(&self.binary)
            .arg("ctl")
            .args(args)
            .args(["--router", &self.addresses().join(",")])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .context("start orrery ctl")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("orrery ctl {} failed: {}", args.join(" "), said.trim());
        }
        Ok(())
    }
}

/// Who leads each shard, where every node is ready and every replica has caught up.
fn leaders(reports: &[Result<Report, ClusterError>]) -> Result<Leaders, String> {
    let mut leaders = Leaders::new();
    let mut committed: BTreeMap<ShardId, u64> = BTreeMap::new();
    for report in reports {
        let report = report.as_ref().map_err(ToString::to_string)?;
        let node = report.node.node.id;
        if let Some(reason) = &report.not_ready {
            return Err(format!("node {node}: {reason}"));
        }
        for shard in report.leads() {
            if let Some(other) = leaders.insert(shard, node) {
                return Err(format!("nodes {other} and {node} both lead shard {shard}"));
            }
        }
        for replica in &report.replicas {
            let highest = committed.entry(replica.shard).or_default();
            *highest = replica.committed_index.max(*highest);
        }
    }
    for report in reports.iter().flatten() {
        for replica in &report.replicas {
            let (shard, node) = (replica.shard, report.node.node.id);
            if !leaders.contains_key(&shard) {
                return Err(format!("nobody leads shard {shard}"));
            }
            if committed[&shard] > replica.applied_index + BEHIND_MAX || !replica.recovered {
                return Err(format!("node {node} catches up with shard {shard}"));
            }
        }
    }
    match leaders.is_empty() {
        true => Err("there are no shards yet".to_owned()),
        false => Ok(leaders),
    }
}
