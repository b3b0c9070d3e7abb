//! Member: a node that belongs to a cluster, and everything that it runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use orrery_host::{Host, Listener, Task};
use orrery_model::ShardId;
use orrery_model::cluster::Node;
use orrery_proto::peers::duties_server::DutiesServer;
use orrery_router_store::{Identity, Store};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::blocking::blocking;
use crate::config::Config;
use crate::control::ControlPlane;
use crate::desk::Desk;
use crate::doorkeeper::{Doorkeeper, instances};
use crate::duties::DutiesService;
use crate::failure::Failure;
use crate::holdings::{HoldError, Holdings};
use crate::leases::LeaseKeeper;
use crate::limits::{
    PEERS_END_TIMEOUT, READY_LAG_MAX, RECLAIM_PERIOD, SHUTDOWN_TIMEOUT, SNAPSHOTS_AT_ONCE_MAX,
    STOP_HANDOVER_TIMEOUT,
};
use crate::log_writer::{LogWriter, LogWriterTask};
use crate::metrics::Metrics;
use crate::peers::{self, Gate, Groups, Links, Me, PeersService};
use crate::plan::{self, PlanError};
use crate::raft::group::{Ground, Group};
use crate::raft::ticker;
use crate::reports::Reports;
use crate::room::Room;
use crate::shard::Shard;
use crate::shards::{Reached, Shards};
use crate::surroundings::Surroundings;
use crate::view::Views;
use crate::{fences, founding, keeper, opening, planner, presence, thrift};

/// Why a member did not start. Final for the node.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MemberError {
    #[error("the data directory's founding: {0}")]
    Plan(#[from] PlanError),
    #[error("cannot open shard {shard}: {source}")]
    Control { shard: ShardId, source: io::Error },
    #[error(transparent)]
    Hold(#[from] HoldError),
    #[error("the shards cannot be initialized: {0}")]
    Initialize(io::Error),
}

/// What a member is started with.
pub(crate) struct Beginning {
    pub(crate) config: Arc<Config>,
    pub(crate) host: Host,
    pub(crate) store: Arc<dyn Store>,
    /// This node with the addresses it has now.
    pub(crate) node: Arc<Node>,
    pub(crate) peers_listener: Box<dyn Listener>,
    pub(crate) failure: Failure,
    pub(crate) metrics: Metrics,
}

/// A node that belongs to a cluster. Dropping it ends it as a crash would.
pub(crate) struct Member {
    pub(crate) around: Surroundings,
    pub(crate) shards: Arc<Shards>,
    pub(crate) control: ControlPlane,
    pub(crate) desk: Arc<Desk>,
    pub(crate) identity: Identity,
    parts: parking_lot::Mutex<Option<Parts>>,
}

/// What runs, in the order in which it ends.
struct Parts {
    /// What would take leaderships back, or write more.
    upkeep: Vec<Task>,
    peers: Task,
    peers_stop: watch::Sender<bool>,
    /// The groups as others reach them, and as they are ticked.
    reached: Arc<dyn Groups>,
    ticker: Task,
    log_writer: LogWriterTask,
}

impl Member {
    /// Opens the shards and starts everything that a member does.
    ///
    /// # Errors
    /// See [`MemberError`].
    pub(crate) async fn start(beginning: Beginning) -> Result<Arc<Self>, MemberError> {
        let Beginning { config, host, store, node, peers_listener, failure, metrics } = beginning;
        let identity = store.identity().clone();
        let plan = plan::decode(&identity.founding)?;
        if let Some(plan) = &plan {
            let Identity { cluster_id, shards, node, instance, .. } = &identity;
            plan::check(plan, cluster_id, *shards, *node, instance)?;
        }
        let views = Views::new(plan.as_ref());
        let around = Surroundings {
            room: Room::new(config.disk_reserve_bytes),
            handovers: Arc::new(Semaphore::new(1)),
            views: views.clone(),
            config,
            host,
            node,
            failure,
            metrics,
        };
        let me = Me {
            cluster_id: identity.cluster_id.clone(),
            node: identity.node,
            instance: identity.instance.clone(),
            protocol: around.node.protocol,
            instance_of: instances(&views),
        };
        let (ground, log_writer) = ground(&around, &store, me.clone());
        let spawn = around.host.tasks.clone();

        let open = Group::open(&around.config, ShardId::CONTROL, ground.clone()).await;
        let shard = ShardId::CONTROL;
        let group = open.map_err(|source| MemberError::Control { shard, source })?;
        let control_metrics = around.metrics.shard(ShardId::CONTROL);
        let (control, mut upkeep) = Shard::start(group, &around, control_metrics);
        let control = Arc::new(control);
        views.refresh(control.replica());
        upkeep.push(spawn.spawn("view", views.clone().follow(control.group().replica().clone())));
        let shards = Arc::new(Shards::new(control.clone()));
        let reports = Arc::new(Reports::default());
        let desk = Desk::new(control.clone(), around.clone(), me.clone(), reports.clone());
        let desk = Arc::new(desk);

        let mut holdings = Holdings::new(around.clone(), ground, shards.clone(), desk.clone());
        holdings.open_all(identity.shards).await?;
        let (node, failure) = (around.node.clone(), around.failure.clone());
        let gate = Doorkeeper::new(me, node, views.clone(), Arc::downgrade(&desk), failure);
        let gate: Arc<dyn Gate> = Arc::new(gate);
        let reached: Arc<dyn Groups> = Arc::new(Reached(Arc::downgrade(&shards)));
        let peers_stop = watch::Sender::new(false);
        let stop = peers_stop.subscribe();
        let service = PeersService::new(reached.clone(), gate.clone(), stop.clone());
        let duties =
            DutiesService { shards: Arc::downgrade(&shards), gate, reports: reports.clone() };
        let duties = DutiesServer::new(duties);
        let peers = peers::serve(&around.host, peers_listener, service, duties, stop);
        let heartbeat = Duration::from_millis(around.config.heartbeat_ms);
        let ticker = spawn.spawn("ticker", ticker::run(Arc::downgrade(&reached), heartbeat));
        founding::initialize(&shards, plan.as_ref(), around.me())
            .await
            .map_err(MemberError::Initialize)?;

        let lease_ms = around.config.lease_ms;
        let (wall, expiries) = (around.host.clock.clone(), around.metrics.expiries());
        let leases = LeaseKeeper::new(control.clone(), wall, lease_ms, expiries);
        let leases = Arc::new(leases);
        let (cluster_id, failure) = (identity.cluster_id.clone(), around.failure.clone());
        let found = founding::found(control.clone(), plan, cluster_id, failure.clone());
        let keep = keeper::Keeper::new(control.clone(), around.clone(), desk.clone());
        let present = presence::run(around.clone(), shards.clone(), desk.clone());
        let look = around.room.clone().look(store.clone(), spawn.clone());
        upkeep.extend([
            spawn.spawn("founding", found),
            spawn.spawn("shard-keeper", keep.run()),
            spawn.spawn("leases", leases.clone().run()),
            spawn.spawn("holdings", holdings.run()),
            spawn.spawn("trim", fences::trim(control.clone(), reports.clone())),
            spawn.spawn("planner", planner::run(control.clone(), reports)),
            spawn.spawn("presence", present),
            spawn.spawn("disk-room", look),
            spawn.spawn("thrift", thrift::run(around.clone(), shards.clone())),
            spawn.spawn("reclaim", reclaim(around.host.clone(), store.clone(), failure)),
        ]);
        let parts = Parts { upkeep, peers, peers_stop, reached, ticker, log_writer };
        Ok(Arc::new(Self {
            control: ControlPlane::new(control, leases),
            parts: parking_lot::Mutex::new(Some(parts)),
            around,
            shards,
            desk,
            identity,
        }))
    }

    /// What each part of the node is ready for: the cluster, each shard, the disk.
    pub(crate) fn report(&self) -> Vec<(String, Result<(), String>)> {
        let mut report = vec![("cluster".to_owned(), self.knows_the_cluster())];
        for group in self.shards.groups() {
            let name = match group.shard() {
                ShardId::CONTROL => "shard control".to_owned(),
                shard => format!("shard {shard}"),
            };
            let open = || match group.shard() {
                ShardId::CONTROL => true,
                shard => self.shards.get(shard).is_some_and(|shard| opening::is_open(&shard)),
            };
            report.push((
                name,
                self.ready(&group).and_then(|()| match open() {
                    true => Ok(()),
                    false => Err("its slots are not open yet".to_owned()),
                }),
            ));
        }
        let (view, me) = (self.around.views.now(), self.around.me());
        let placed = view.placements.keys().filter(|shard| view.places(**shard, me));
        let missing = placed
            .filter(|shard| **shard != ShardId::CONTROL && self.shards.get(**shard).is_none());
        let opened = |shard: &ShardId| {
            (format!("shard {shard}"), Err("is placed here and not open yet".to_owned()))
        };
        report.extend(missing.map(opened));
        let disk = match self.around.room.is_full() {
            false => Ok(()),
            true => Err("below its reserve".to_owned()),
        };
        report.push(("disk".to_owned(), disk));
        report
    }

    fn ready(&self, group: &Group) -> Result<(), String> {
        ready(group).map_err(|why| self.not_begun(group).unwrap_or(why))
    }

    /// Why a shard that was not begun yet is not, as far as this node knows.
    fn not_begun(&self, group: &Group) -> Option<String> {
        let view = self.around.views.now();
        let node = founding::awaited(group, &view, &self.identity.founding)?;
        Some(format!("was not begun yet, which node {node} is to do"))
    }

    /// Whether this node knows a cluster that it is part of.
    ///
    /// # Errors
    /// Why it does not.
    pub(crate) fn knows_the_cluster(&self) -> Result<(), String> {
        let view = self.around.views.now();
        if !view.learnt {
            return Err(match self.desk.shut_out() {
                Some(why) => format!("other nodes do not talk to this one: {why}"),
                None => {
                    let why = self.not_begun(self.shards.control().group());
                    let why = why.map(|why| format!(": its control shard {why}"));
                    format!("the cluster is not founded yet{}", why.unwrap_or_default())
                }
            });
        }
        if let Some(why) = self.desk.shut_out() {
            return Err(format!("other nodes do not talk to this one: {why}"));
        }
        match view.member(self.around.me()) {
            Some(_) => Ok(()),
            None => Err("the cluster does not know this node".to_owned()),
        }
    }

    /// Gives this node's leaderships away, as far as others can take them at once.
    pub(crate) async fn hand_over(&self) {
        // Said first, or who takes one would give it back where this node is preferred.
        self.desk.lead_no_more();
        let report = presence::report(&self.shards);
        let said = self.desk.report(report, Instant::now() + STOP_HANDOVER_TIMEOUT / 4).await;
        if let Err(error) = said {
            tracing::debug!(%error, "not said that the node is stopping");
        }
        let view = self.around.views.now();
        let groups = self.shards.groups();
        let over = keeper::hand_over_all(&groups, &view, self.around.me());
        if timeout(STOP_HANDOVER_TIMEOUT, over).await.is_err() {
            tracing::info!("some leaderships were not taken over in time");
        }
    }

    /// Ends the shards and the log.
    pub(crate) async fn end(&self) {
        let Some(parts) = self.parts.lock().take() else { return };
        let Parts { upkeep, peers, peers_stop, reached, ticker, log_writer } = parts;
        let upkeep: Vec<Task> = upkeep.into_iter().chain([ticker]).collect();
        upkeep.iter().for_each(Task::cancel);
        for task in upkeep {
            task.join().await;
        }
        // A core that is gone would call everything that still comes an error.
        peers_stop.send_replace(true);
        if timeout(PEERS_END_TIMEOUT, peers.join()).await.is_err() {
            tracing::info!("peers still talked to the node when it stopped");
        }
        drop(reached);
        let spoke: Vec<bool> =
            self.shards.groups().iter().map(|group| group.fall_silent()).collect();
        if spoke.contains(&true) {
            // A heartbeat is given up after an interval, and then nobody misses the core.
            sleep(Duration::from_millis(self.around.config.heartbeat_ms) * 3 / 2).await;
        }
        self.shards.shutdown().await;
        if timeout(SHUTDOWN_TIMEOUT, log_writer.stop()).await.is_err() {
            tracing::warn!("the log's writer did not end in time");
        }
    }
}

/// Whether a replica is of use: it has a leader, has caught up with its own log and is close to what is
/// committed.
fn ready(group: &Group) -> Result<(), String> {
    let at = group.progress();
    if at.leader.is_none() {
        return Err(match group.leading_term() {
            Some(_) => "has lost its quorum".to_owned(),
            None => "has no leader".to_owned(),
        });
    }
    if !group.has_recovered() {
        return Err("is catching up with its log".to_owned());
    }
    let lag = at.committed_index.saturating_sub(at.applied_index);
    match lag > READY_LAG_MAX {
        true => Err(format!("is {lag} entries behind")),
        false => Ok(()),
    }
}

fn ground(around: &Surroundings, store: &Arc<dyn Store>, me: Me) -> (Ground, LogWriterTask) {
    let host = around.host.clone();
    let (log_writer, task) =
        LogWriter::start(store.clone(), &host.tasks, around.failure.clone(), around.metrics.log());
    let views = around.views.clone();
    let address = move |node| views.now().member(node).map(|(node, _)| node.peers.clone());
    let peers = Links::new(host.clone(), me, around.metrics.peers(), address);
    let snapshot_permits = Arc::new(Semaphore::new(SNAPSHOTS_AT_ONCE_MAX));
    (Ground { store: store.clone(), host, log_writer, peers, snapshot_permits }, task)
}

/// Lets the store give back the space of purged entries, every now and then.
async fn reclaim(host: Host, store: Arc<dyn Store>, failure: Failure) {
    loop {
        sleep(RECLAIM_PERIOD).await;
        let store = store.clone();
        let reclaim = move || store.reclaim().map_err(io::Error::other);
        if let Err(error) = blocking(&host.tasks, "reclaim", reclaim).await {
            failure.report(format!("the log's space cannot be reclaimed: {error}"));
            return;
        }
    }
}
