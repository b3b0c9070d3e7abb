//! A cluster under test: nodes made straight from groups, links and the peers service. Each has a runtime
//! of its own, so that it can be killed as a process is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use orrery_host::system::{SystemClock, SystemRandom, SystemTasks};
use orrery_host::{Host, Task};
use orrery_model::command::{Batch, Bind, Command, Open, Reply};
use orrery_model::{
    Address, CometRef, Conn, Details, Id, Incarnation, NodeId, Policy, Seq, ShardId, Slot,
};
use orrery_proto::peers as wire;
use orrery_proto::peers::duties_server::{Duties, DutiesServer};
use orrery_router_store::model::ModelDisk;
use orrery_router_store::{Identity, Store};
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep};

use super::net::Faults;
use crate::config::Config;
use crate::error::WriteError;
use crate::failure::Failure;
use crate::gated_store::GatedStore;
use crate::limits::SNAPSHOTS_AT_ONCE_MAX;
use crate::log_writer::{LogWriter, LogWriterTask};
use crate::metrics::Metrics;
use crate::peers::{Door, Groups, Known, Links, Me, PeersService, serve};
use crate::raft::group::{Ground, Group, Proposed};
use crate::raft::ticker;
use crate::raft::types::{Payload, Replies};

/// No condition of a test takes longer than this unless something is wrong.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

pub(super) const SHARD: ShardId = ShardId(1);

/// The groups of a node.
#[derive(Default)]
pub(super) struct Shelf(Mutex<BTreeMap<ShardId, Arc<Group>>>);

impl Groups for Shelf {
    fn group(&self, shard: ShardId) -> Option<Arc<Group>> {
        self.0.lock().get(&shard).cloned()
    }

    fn groups(&self) -> Vec<Arc<Group>> {
        self.0.lock().values().cloned().collect()
    }
}

/// A node that runs.
pub(super) struct Node {
    runtime: Option<Runtime>,
    pub(super) shelf: Arc<Shelf>,
    pub(super) store: Arc<GatedStore>,
    pub(super) snapshot_permits: Arc<Semaphore>,
    config: Config,
    ground: Ground,
    stopping: watch::Sender<bool>,
    _log_writer: LogWriterTask,
    /// The service first.
    tasks: Vec<Task>,
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Node {
    pub(super) fn group(&self, shard: ShardId) -> Arc<Group> {
        self.shelf.group(shard).expect("the node holds the shard")
    }
}

/// Where each node listens now.
type Book = Arc<Mutex<BTreeMap<NodeId, String>>>;

type Removed = Arc<Mutex<BTreeSet<NodeId>>>;

/// A cluster.
pub(super) struct World {
    pub(super) config: Config,
    pub(super) faults: Faults,
    pub(super) book: Book,
    pub(super) shards: Vec<ShardId>,
    pub(super) protocols: BTreeMap<u64, u32>,
    /// Nodes that all others take for removed.
    pub(super) removed: Removed,
    disks: BTreeMap<u64, ModelDisk>,
    nodes: BTreeMap<u64, Node>,
}

pub(super) fn config() -> Config {
    Config { snapshot_log_entries: 1_000_000, ..Config::default() }
}

impl World {
    /// Nodes 1 to `nodes` that hold these shards and have not been told of each other.
    pub(super) async fn blank(config: Config, nodes: u64, shards: u32) -> Self {
        let mut world = Self {
            config,
            faults: Faults::default(),
            book: Book::default(),
            shards: (1..=shards).map(ShardId).collect(),
            protocols: BTreeMap::new(),
            removed: Removed::default(),
            disks: BTreeMap::new(),
            nodes: BTreeMap::new(),
        };
        for node in 1..=nodes {
            world.start(node).await;
        }
        world
    }

    /// A cluster whose shards all have a leader, all nodes voting in all of them.
    pub(super) async fn founded(config: Config, nodes: u64, shards: u32) -> Self {
        let world = Self::blank(config, nodes, shards).await;
        for shard in world.shards.clone() {
            let founder = u64::from(shard.0) % nodes + 1;
            world.found(shard, founder, 1..=nodes).await;
        }
        world
    }

    /// Founds a shard with these voters and opens all slots in it.
    pub(super) async fn found(
        &self,
        shard: ShardId,
        founder: u64,
        voters: impl IntoIterator<Item = u64>,
    ) {
        let voters: Vec<_> = voters.into_iter().map(|id| (NodeId(id), self.address(id))).collect();
        self.group(founder, shard).initialize(&voters).await.unwrap();
        let open = Command::Open(Open::new(Slot::all().collect(), 1));
        let opened = self.write_all(shard, vec![open]).await;
        assert!(opened[0].is_ok(), "{opened:?}");
    }

    /// Starts a node on its disk, at another address than before.
    pub(super) async fn start(&mut self, id: u64) {
        let protocol = self.protocols.get(&id).copied().unwrap_or(2);
        let disk = self.disks.entry(id).or_insert_with(|| ModelDisk::new(identity(id)));
        let store: Arc<dyn Store> = Arc::new(disk.open().expect("nobody uses the disk"));
        let store = Arc::new(GatedStore::new(store));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let host = Host {
            net: self.faults.net(id),
            clock: Arc::new(SystemClock),
            random: Arc::new(SystemRandom),
            tasks: Arc::new(SystemTasks::on(runtime.handle().clone())),
        };
        let me = Me {
            cluster_id: "test".to_owned(),
            node: NodeId(id),
            instance: identity(id).instance,
            protocol,
            instance_of: Default::default(),
        };
        let (config, shards, book) = (self.config.clone(), self.shards.clone(), self.book.clone());
        let config = Config { node_id: id, ..config };
        let own = config.clone();
        let used = store.clone();
        let removed = self.removed.clone();
        let known = move |node: NodeId| match removed.lock().contains(&node) {
            true => Known::Removed,
            false => Known::Member { instance: identity(node.0).instance },
        };
        let gate = Door::new(me.clone(), known);
        let started = runtime
            .spawn(async move { start_groups(config, shards, book, used, host, me, gate).await });
        let (shelf, log_writer, tasks, stopping, ground) = started.await.unwrap();
        let node = Node {
            runtime: Some(runtime),
            shelf,
            store,
            snapshot_permits: ground.snapshot_permits.clone(),
            config: own,
            ground,
            stopping,
            _log_writer: log_writer,
            tasks,
        };
        assert!(self.nodes.insert(id, node).is_none(), "node {id} runs already");
    }

    /// Kills a node; of what was not synced nothing is left.
    pub(super) fn kill(&mut self, id: u64) {
        self.disks[&id].crash(|_| 0);
        let node = self.nodes.remove(&id).expect("the node runs");
        node.store.open();
        drop(node);
    }

    /// Ends a node's service in order, and waits until it has ended.
    pub(super) async fn stop_service(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).expect("the node runs");
        node.stopping.send_replace(true);
        let server = node.tasks.remove(0);
        assert!(tokio::time::timeout(PATIENCE, server.join()).await.expect("in time"));
    }

    /// Ends a node's service in order, then the node.
    pub(super) async fn stop(&mut self, id: u64) {
        let node = self.nodes.remove(&id).expect("the node runs");
        node.stopping.send_replace(true);
        for group in node.shelf.groups() {
            group.shutdown().await;
        }
        self.disks[&id].crash(|all| all);
        drop(node);
    }

    /// A node leaves a shard, all of it but the removal of its snapshot.
    pub(super) async fn begin_to_leave(&self, id: u64, shard: ShardId) -> Arc<Group> {
        let group = self.node(id).shelf.0.lock().remove(&shard).expect("the node holds the shard");
        group.shutdown().await;
        group.clear_log(&self.node(id).ground.log_writer).await.unwrap();
        group
    }

    pub(super) async fn leave(&self, id: u64, shard: ShardId) {
        self.begin_to_leave(id, shard).await.remove_snapshot().await.unwrap();
    }

    /// A node opens a shard that it left.
    pub(super) async fn come_back(&self, id: u64, shard: ShardId) {
        let node = self.node(id);
        let (config, ground) = (node.config.clone(), node.ground.clone());
        let open = async move { Group::open(&config, shard, ground).await };
        let runtime = node.runtime.as_ref().expect("it runs");
        let group = runtime.spawn(open).await.unwrap().unwrap();
        node.shelf.0.lock().insert(shard, Arc::new(group));
    }

    pub(super) fn ids(&self) -> Vec<u64> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn node(&self, id: u64) -> &Node {
        &self.nodes[&id]
    }

    pub(super) fn group(&self, id: u64, shard: ShardId) -> Arc<Group> {
        self.node(id).group(shard)
    }

    pub(super) fn address(&self, id: u64) -> String {
        self.book.lock()[&NodeId(id)].clone()
    }

    /// Waits until a node leads the shard and can confirm it.
    pub(super) async fn leader(&self, shard: ShardId) -> u64 {
        self.leader_among(shard, &self.ids()).await
    }

    pub(super) async fn leader_among(&self, shard: ShardId, ids: &[u64]) -> u64 {
        let begun = Instant::now();
        loop {
            for id in ids {
                let group = self.group(*id, shard);
                if group.leading_term().is_some()
                    && group.confirm(Duration::from_millis(500)).await.is_ok()
                {
                    return *id;
                }
            }
            assert!(begun.elapsed() < PATIENCE, "shard {shard} has no leader among {ids:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Writes commands that may be written twice, in one entry; tries until it knows the outcome.
    pub(super) async fn write_all(&self, shard: ShardId, commands: Vec<Command>) -> Vec<Reply> {
        self.write_among(shard, &self.ids(), commands).await
    }

    pub(super) async fn write_among(
        &self,
        shard: ShardId,
        ids: &[u64],
        commands: Vec<Command>,
    ) -> Vec<Reply> {
        let begun = Instant::now();
        loop {
            let leader = self.leader_among(shard, ids).await;
            match write(&self.group(leader, shard), commands.clone()).await {
                Ok((_, replies)) => return replies,
                Err(error) => assert!(begun.elapsed() < PATIENCE, "cannot write: {error}"),
            }
        }
    }

    /// Binds a user.
    pub(super) async fn bind(&self, shard: ShardId, conn: u64) {
        let replies = self.write_all(shard, vec![bind(conn)]).await;
        assert!(replies[0].is_ok(), "{replies:?}");
    }

    /// Waits until these nodes' replicas have applied the same and are equal.
    pub(super) async fn agree(&self, shard: ShardId, ids: &[u64]) {
        until(&format!("shard {shard} is equal on {ids:?}"), || {
            let states: BTreeSet<_> = ids
                .iter()
                .map(|id| {
                    let group = self.group(*id, shard);
                    group.replica().registry(|registry, applied| (applied, registry.digest()))
                })
                .collect();
            let last = ids.iter().map(|id| self.group(*id, shard).progress().last_index).max();
            states.len() == 1 && states.first().map(|(applied, _)| *applied) == last
        })
        .await;
    }

    /// Which of these users a node's replica holds.
    pub(super) fn bound(&self, id: u64, shard: ShardId, conns: &[u64]) -> Vec<u64> {
        let group = self.group(id, shard);
        let held = |conn: &u64| {
            group.replica().registry(|registry, _| {
                registry.locate(&user(*conn)).is_ok_and(|located| !located.routes.is_empty())
            })
        };
        conns.iter().copied().filter(held).collect()
    }
}

type Started = (Arc<Shelf>, LogWriterTask, Vec<Task>, watch::Sender<bool>, Ground);

async fn start_groups(
    config: Config,
    shards: Vec<ShardId>,
    book: Book,
    store: Arc<GatedStore>,
    host: Host,
    me: Me,
    gate: Door,
) -> Started {
    let failure = Failure::new();
    let metrics = Metrics::default().log();
    let store: Arc<dyn Store> = store;
    let (log_writer, log_writer_task) =
        LogWriter::start(store.clone(), &host.tasks, failure, metrics);
    let addresses = book.clone();
    let address = move |node| addresses.lock().get(&node).cloned();
    let links = Links::new(host.clone(), me.clone(), Default::default(), address);
    let snapshot_permits = Arc::new(Semaphore::new(SNAPSHOTS_AT_ONCE_MAX));
    let ground = Ground { store, host: host.clone(), log_writer, peers: links, snapshot_permits };
    let shelf = Arc::new(Shelf::default());
    for shard in shards {
        let group = Group::open(&config, shard, ground.clone()).await.unwrap();
        shelf.0.lock().insert(shard, Arc::new(group));
    }
    let node = me.node;
    let listener = host.net.listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    book.lock().insert(node, listener.local_addr().unwrap().to_string());
    let stopping = watch::Sender::new(false);
    let service = PeersService::new(shelf.clone(), Arc::new(gate), stopping.subscribe());
    let server = serve(&host, listener, service, DutiesServer::new(NoDuties), stopping.subscribe());
    let groups: Arc<dyn Groups> = shelf.clone();
    let ticks = ticker::run(Arc::downgrade(&groups), Duration::from_millis(config.heartbeat_ms));
    let ticker = host.tasks.spawn("ticker", ticks);
    (shelf, log_writer_task, vec![server, ticker], stopping, ground)
}

/// These nodes do nothing for each other beside Raft.
struct NoDuties;

#[tonic::async_trait]
impl Duties for NoDuties {
    async fn propose(
        &self,
        _request: tonic::Request<wire::ProposeRequest>,
    ) -> Result<tonic::Response<wire::ProposeResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented("not here"))
    }

    async fn report(
        &self,
        _request: tonic::Request<wire::ReportRequest>,
    ) -> Result<tonic::Response<wire::ReportResponse>, tonic::Status> {
        Err(tonic::Status::unimplemented("not here"))
    }
}

pub(super) fn identity(id: u64) -> Identity {
    Identity {
        cluster_id: "test".to_owned(),
        node: NodeId(id),
        instance: format!("instance-{id}"),
        shards: 1,
        founding: bytes::Bytes::new(),
    }
}

/// Hands one entry to a group that leads.
pub(super) async fn propose(group: &Group, commands: Vec<Command>) -> Proposed {
    let batch = Batch { elapsed_ms: group.replica().elapsed_ms() + 1, wall_ms: 0, commands };
    group.propose(Payload::Data(Arc::new(batch)), None).await
}

/// Writes one entry through a group that leads.
pub(super) async fn write(
    group: &Group,
    commands: Vec<Command>,
) -> Result<(u64, Vec<Reply>), WriteError> {
    let proposed = propose(group, commands).await;
    let outcome = tokio::time::timeout(Duration::from_secs(5), proposed.outcome()).await;
    match outcome.map_err(|_| WriteError::Unknown("not in time".to_owned()))?? {
        (index, Replies::Data(replies)) => Ok((index, replies)),
        (_, other) => panic!("{other:?}"),
    }
}

pub(super) fn user(conn: u64) -> Address {
    Address::user(Id::new(format!("user-{conn}")).unwrap())
}

/// The bind of a connection to a user of its own.
pub(super) fn bind(conn: u64) -> Command {
    bind_with(conn, "")
}

/// The same, with so much text.
pub(super) fn bind_with(conn: u64, device: &str) -> Command {
    Command::Bind(Bind {
        address: user(conn),
        comet: CometRef { id: Id::new("comet").unwrap(), incarnation: Incarnation(1) },
        conn: Conn(conn),
        details: Details { device: device.to_owned(), ..Details::default() },
        policy: Policy::default(),
        settled: Conn(0),
        rank: None::<Seq>,
    })
}

/// Looks until it is so.
pub(super) async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < PATIENCE, "in vain waited until {what}");
        sleep(Duration::from_millis(5)).await;
    }
}
