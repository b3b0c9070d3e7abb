//! A cluster under test: whole router nodes over a network that can be cut, on disks in memory, asked by the
//! client that logic uses. Each node has a runtime of its own, so that it can be killed as a process is.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use orrery_host::system::{SystemClock, SystemRandom, SystemTasks};
use orrery_host::{Clock, Host};
use orrery_model::cluster::{Counters, Node, NodeState};
use orrery_model::control::{ControlCommand, Found};
use orrery_model::{NodeId, ShardId, ring};
use orrery_proto::cluster as wire;
use orrery_proto::cluster::cluster_client::ClusterClient;
use orrery_router::{Config, Handle, StartError};
use orrery_router_client::Client;
use orrery_router_core::placement;
use orrery_router_store::StoreError;
use orrery_router_store::model::ModelDisk;
use tokio::runtime::Runtime;
use tokio::time::{Instant, sleep, timeout};
use tonic::Status;
use tonic::transport::Channel;

use crate::net::Faults;

/// No condition of a test takes longer than this unless something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The number under which clients are known to the network.
pub(crate) const CLIENT: u64 = 0;

pub(crate) const CLUSTER_ID: &str = "test-cluster";

/// What a cluster is made of.
#[derive(Clone)]
pub(crate) struct Plan {
    pub(crate) config: Config,
    pub(crate) nodes: u64,
    pub(crate) shards: u32,
    pub(crate) replicas: usize,
    /// Where these shards begin, instead of where they would by themselves.
    pub(crate) placements: Vec<(u32, Vec<u64>)>,
    /// The protocol of nodes that do not speak this build's.
    pub(crate) protocols: BTreeMap<u64, u32>,
}

impl Plan {
    pub(crate) fn new(nodes: u64, shards: u32) -> Self {
        Self {
            config: Config::default(),
            nodes,
            shards,
            replicas: 3,
            placements: Vec::new(),
            protocols: BTreeMap::new(),
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Starts the nodes and founds the cluster.
    pub(crate) async fn found(self) -> Cluster {
        let shards = self.shards;
        let nodes = self.nodes;
        let mut cluster = Cluster::blank(self);
        for id in 1..=nodes {
            cluster.start(id).await;
        }
        let found = cluster.plan().await;
        for id in 1..=nodes {
            cluster.adopt(id, CLUSTER_ID, shards, Some(found.clone())).await.unwrap();
        }
        cluster.ready().await;
        cluster
    }
}

/// A wall clock that can be set to anything.
#[derive(Clone, Default)]
struct SetClock {
    ahead_ms: Arc<AtomicI64>,
}

impl Clock for SetClock {
    fn wall_ms(&self) -> u64 {
        SystemClock.wall_ms().saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed))
    }
}

struct Running {
    handle: Handle,
    runtime: Runtime,
}

/// A node, running or not.
struct Place {
    disk: ModelDisk,
    /// Where it listens; it comes back there.
    registry: SocketAddr,
    peers: SocketAddr,
    clock: SetClock,
    running: Option<Running>,
}

/// A cluster.
pub(crate) struct Cluster {
    pub(crate) faults: Faults,
    plan: Plan,
    places: BTreeMap<u64, Place>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for place in self.places.values_mut() {
            if let Some(Running { handle, runtime }) = place.running.take() {
                drop(handle);
                runtime.shutdown_background();
            }
        }
    }
}

impl Cluster {
    pub(crate) fn blank(plan: Plan) -> Self {
        Self { faults: Faults::default(), plan, places: BTreeMap::new() }
    }

    /// Starts a node: with a blank disk where it is new, else where it was.
    pub(crate) async fn start(&mut self, id: u64) {
        self.try_start(id).await.unwrap_or_else(|error| panic!("node {id}: {error}"));
    }

    pub(crate) async fn try_start(&mut self, id: u64) -> Result<(), StartError> {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let place = self.places.entry(id).or_insert_with(|| Place {
            disk: ModelDisk::blank(NodeId(id), format!("instance-{id}")),
            registry: any,
            peers: any,
            clock: SetClock::default(),
            running: None,
        });
        assert!(place.running.is_none(), "node {id} runs already");
        let protocol = self.plan.protocols.get(&id).copied();
        let config = Config {
            node_id: id,
            registry_listen: place.registry,
            peers_listen: place.peers,
            protocol: protocol.unwrap_or(self.plan.config.protocol),
            ..self.plan.config.clone()
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let host = Host {
            net: self.faults.net(id),
            clock: Arc::new(place.clock.clone()),
            random: Arc::new(SystemRandom),
            tasks: Arc::new(SystemTasks::on(runtime.handle().clone())),
        };
        let disk = Arc::new(place.disk.clone());
        let started = runtime.spawn(async move {
            let begun = Instant::now();
            loop {
                match orrery_router::start(config.clone(), host.clone(), disk.clone()).await {
                    // The one before is letting go of its disk and its ports.
                    Err(
                        StartError::Disk(StoreError::Locked { .. }) | StartError::Listen { .. },
                    ) if begun.elapsed() < PATIENCE => {
                        sleep(Duration::from_millis(5)).await;
                    }
                    other => return other,
                }
            }
        });
        let handle = started.await.unwrap()?;
        place.registry = handle.registry_address();
        place.peers = handle.peers_address();
        place.running = Some(Running { handle, runtime });
        Ok(())
    }

    /// Kills a node; of what was not synced nothing is left.
    pub(crate) fn kill(&mut self, id: u64) {
        let place = self.places.get_mut(&id).expect("there is such a node");
        let Running { handle, runtime } = place.running.take().expect("the node runs");
        place.disk.crash(|_| 0);
        drop(handle);
        runtime.shutdown_background();
    }

    /// Stops a node in order.
    pub(crate) async fn stop(&mut self, id: u64) {
        let place = self.places.get_mut(&id).expect("there is such a node");
        let Running { handle, runtime } = place.running.take().expect("the node runs");
        let stopped = runtime.spawn(handle.stop());
        timeout(PATIENCE, stopped).await.expect("stopping is bounded in time").unwrap();
        runtime.shutdown_background();
    }

    /// Gives a node an empty disk under its old number.
    pub(crate) fn lose_disk(&mut self, id: u64) {
        let place = self.places.get_mut(&id).expect("there is such a node");
        assert!(place.running.is_none(), "node {id} runs");
        place.disk = ModelDisk::blank(NodeId(id), format!("another-instance-{id}"));
    }

    /// Sets a node's wall clock ahead, or back where it is less than nothing.
    pub(crate) fn set_clock(&self, id: u64, ahead_ms: i64) {
        self.places[&id].clock.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }

    /// The nodes that run.
    pub(crate) fn running(&self) -> Vec<u64> {
        let runs = |(id, place): (&u64, &Place)| place.running.is_some().then_some(*id);
        self.places.iter().filter_map(runs).collect()
    }

    pub(crate) fn handle(&self, id: u64) -> &Handle {
        &self.places[&id].running.as_ref().expect("the node runs").handle
    }

    pub(crate) fn disk(&self, id: u64) -> &ModelDisk {
        &self.places[&id].disk
    }

    pub(crate) fn registry(&self, id: u64) -> String {
        self.places[&id].registry.to_string()
    }

    /// Uses another configuration for nodes that are started from here on.
    pub(crate) fn reconfigure(&mut self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.plan);
    }

    pub(crate) fn host(&self) -> Host {
        Host { net: self.faults.net(CLIENT), ..Host::system() }
    }

    /// A client of the whole cluster.
    pub(crate) fn client(&self) -> Client {
        self.client_of(&self.places.keys().copied().collect::<Vec<_>>())
    }

    /// A client that begins with these nodes.
    pub(crate) fn client_of(&self, ids: &[u64]) -> Client {
        let nodes = ids.iter().map(|id| self.registry(*id)).collect();
        let config = orrery_router_client::Config {
            nodes,
            attempt_timeout_ms: 1_000,
            table_refresh_ms: 500,
            ..Default::default()
        };
        Client::new(config, self.host())
    }

    /// The way to one node's services.
    pub(crate) fn channel(&self, id: u64) -> Channel {
        orrery_host::grpc::channel(self.host().net, &self.registry(id)).unwrap()
    }

    pub(crate) async fn describe(&self, id: u64) -> wire::DescribeResponse {
        let mut cluster = ClusterClient::new(self.channel(id));
        cluster.describe(wire::DescribeRequest {}).await.unwrap().into_inner()
    }

    /// What the nodes that run would be founded with.
    pub(crate) async fn plan(&self) -> Found {
        let mut nodes = Vec::new();
        for id in self.running() {
            nodes.push(node(&self.describe(id).await));
        }
        let shards: Vec<_> = (1..=self.plan.shards).map(ShardId).collect();
        let all: Vec<_> = (0..=self.plan.shards).map(ShardId).collect();
        let ids: Vec<_> = nodes.iter().map(|node| node.id).collect();
        let mut placements = placement::propose(&ids, &all, self.plan.replicas);
        for (shard, replicas) in &self.plan.placements {
            let held = placements.iter_mut().find(|held| held.shard.0 == *shard).unwrap();
            held.replicas = replicas.iter().copied().map(NodeId).collect();
        }
        Found {
            cluster_id: CLUSTER_ID.to_owned(),
            nodes,
            table: ring::propose(1, &shards).unwrap(),
            placements,
            counters: Counters::default(),
        }
    }

    /// Makes a node a member.
    pub(crate) async fn adopt(
        &self,
        id: u64,
        cluster_id: &str,
        shards: u32,
        founding: Option<Found>,
    ) -> Result<(), Status> {
        let instance = self.describe(id).await.instance;
        let request = wire::AdoptRequest {
            cluster_id: cluster_id.to_owned(),
            node: id,
            instance,
            shards,
            founding: founding.map(Into::into),
            by: "a test".to_owned(),
        };
        let mut cluster = ClusterClient::new(self.channel(id));
        cluster.adopt(request).await.map(|_| ())
    }

    /// Starts a node with a blank disk and lets it join.
    pub(crate) async fn join(&mut self, id: u64) {
        self.start(id).await;
        let node = node(&self.describe(id).await);
        self.change(ControlCommand::AddNode(node)).await.unwrap();
        self.adopt(id, CLUSTER_ID, self.plan.shards, None).await.unwrap();
    }

    pub(crate) async fn status(&self, id: u64) -> Result<wire::StatusResponse, Status> {
        let mut cluster = ClusterClient::new(self.channel(id));
        let asked = timeout(Duration::from_secs(5), cluster.status(wire::StatusRequest {})).await;
        Ok(asked.map_err(|_| Status::deadline_exceeded("no answer"))??.into_inner())
    }

    /// Has a node write a snapshot of a shard: its log index.
    pub(crate) async fn snapshot(&self, id: u64, shard: u32) -> Result<u64, Status> {
        let mut cluster = ClusterClient::new(self.channel(id));
        let request = wire::SnapshotRequest { shards: vec![shard] };
        let written = timeout(PATIENCE, cluster.snapshot(request)).await;
        let written = written.map_err(|_| Status::deadline_exceeded("no answer"))??.into_inner();
        Ok(written.snapshots.iter().map(|snapshot| snapshot.index).max().unwrap_or(0))
    }

    /// Has the cluster changed, whoever leads the control shard.
    pub(crate) async fn change(&self, command: ControlCommand) -> Result<u64, Status> {
        let begun = Instant::now();
        loop {
            for id in self.running() {
                let request = wire::ChangeRequest {
                    command: Some((&command).into()),
                    by: "a test".to_owned(),
                };
                let mut cluster = ClusterClient::new(self.channel(id));
                match cluster.change(request).await {
                    Ok(changed) => return Ok(changed.into_inner().log_index),
                    Err(status) if status.code() == tonic::Code::Unavailable => {}
                    Err(status) => return Err(status),
                }
            }
            assert!(begun.elapsed() < PATIENCE, "nobody takes {command:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn set_state(&self, id: u64, state: NodeState) -> Result<u64, Status> {
        self.change(ControlCommand::SetNodeState { node: NodeId(id), state }).await
    }

    /// Waits until all nodes that run are ready.
    pub(crate) async fn ready(&self) {
        let what = "all nodes are ready";
        until(what, || async {
            let reasons: Vec<_> = self
                .running()
                .into_iter()
                .filter_map(|id| Some((id, self.handle(id).ready().err()?)))
                .collect();
            match reasons.is_empty() {
                true => Ok(()),
                false => Err(format!("{reasons:?}")),
            }
        })
        .await;
    }

    /// Waits until a shard has a leader among the nodes that run, all of which know it.
    pub(crate) async fn leader(&self, shard: u32) -> u64 {
        until(&format!("shard {shard} has a leader"), || async {
            for id in self.running() {
                let status = self.status(id).await.map_err(|status| status.to_string())?;
                let leads = wire::replica_status::Role::Leader;
                let mut replicas = status.replicas.iter();
                if replicas.any(|held| held.shard == shard && held.role() == leads) {
                    return Ok(id);
                }
            }
            Err("nobody leads".to_owned())
        })
        .await
    }

    /// The voters of each shard, as its leader has them; waits until `accept` takes them.
    pub(crate) async fn voters(
        &self,
        what: &str,
        accept: impl Fn(&BTreeMap<u32, Vec<u64>>) -> bool,
    ) -> BTreeMap<u32, Vec<u64>> {
        until(what, || async {
            let mut voters = BTreeMap::new();
            let mut placed = String::new();
            for id in self.running() {
                let status = self.status(id).await.map_err(|status| status.to_string())?;
                let leaders: Vec<_> =
                    status.replicas.iter().map(|r| (r.shard, r.term, r.leader)).collect();
                placed += &format!("node {id}: {leaders:?} {:?}; ", status.placements);
                for replica in status.replicas {
                    if replica.role() == wire::replica_status::Role::Leader && !replica.joint {
                        voters.insert(replica.shard, replica.voters);
                    }
                }
            }
            let all = voters.len() == self.plan.shards as usize + 1;
            match all && accept(&voters) {
                true => Ok(voters),
                false => Err(format!("{voters:?}; {placed}")),
            }
        })
        .await
    }
}

/// A node as it says it is.
pub(crate) fn node(described: &wire::DescribeResponse) -> Node {
    Node {
        id: NodeId(described.node),
        registry: described.registry.clone(),
        peers: described.peers.clone(),
        instance: described.instance.clone(),
        protocol: described.protocol,
    }
}

/// Looks until there is what was waited for; says what there was instead.
pub(crate) async fn until<T, F, Fut>(what: &str, mut look: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, String>>,
{
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(instead) => {
                assert!(begun.elapsed() < PATIENCE, "in vain waited until {what}: {instead}");
            }
        }
        sleep(Duration::from_millis(20)).await;
    }
}
