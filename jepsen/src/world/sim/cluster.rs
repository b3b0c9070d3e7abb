//! Cluster: the machines of a simulation and what runs on them.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use orrery_comet::Ended;
use orrery_model::NodeId;
use orrery_router_store::model::ModelDisk;
use parking_lot::Mutex;
use tokio::time::sleep;

use super::host::Machine;
use super::orders::Orders;
use crate::plan::edge::HEARTBEATS_MAX;
use crate::plan::stream::seed_of;
use crate::plan::{Edge, Plan, Swarm};
use crate::recorder::Recorder;
use crate::workload::edge::{self as workload, Door};

/// After how long a process that ended by itself is started again, as a supervisor does.
const RESTART: Duration = Duration::from_millis(500);

/// What a router says that ends because the cluster has removed it.
const REMOVED: &str = "was removed from the cluster";

/// What a comet says that ends because another instance took its place.
const SUPERSEDED: &str = "another instance runs under its id";

/// The fault after which a router must end.
pub(crate) const SYNC_FAILED: &str = "its sync failed";

/// A router that is not yet stopped when its power goes sees its disk fail.
pub(crate) const POWER_GONE: &str = "its power went";

/// A router that lost its disk is not let in under the number that it had.
pub(crate) const DISK_LOST: &str = "it lost its disk";

/// Router nodes beyond the first, for those that take another's place.
const SPARES: usize = 2;

/// A machine with a router.
pub(crate) struct RouterMachine {
    pub(crate) name: String,
    pub(crate) id: NodeId,
    pub(crate) machine: Machine,
    pub(crate) disk: ModelDisk,
}

/// A machine with a logic or a comet.
pub(crate) struct OtherMachine {
    pub(crate) name: String,
    pub(crate) machine: Machine,
}

/// All machines.
pub(crate) struct Cluster {
    /// The first ones found the cluster; the others are spares.
    pub(crate) routers: Vec<RouterMachine>,
    pub(crate) founders: usize,
    pub(crate) logics: Vec<OtherMachine>,
    pub(crate) comets: Vec<OtherMachine>,
    pub(crate) orders: Orders,
    /// Which hosts are held down on purpose, so that nothing starts them again.
    pub(crate) held: Mutex<BTreeSet<String>>,
    /// Why a process may end by itself.
    excuses: Mutex<BTreeSet<(String, &'static str)>>,
    /// What ended by itself, and why.
    ended: Mutex<Vec<(String, String)>>,
    recorder: Recorder,
}

impl Cluster {
    pub(crate) fn new(plan: &Plan, orders: Orders, recorder: Recorder) -> Rc<Self> {
        let machine = |name: &str| Machine::new(seed_of(plan.seed, name));
        let router = |number: usize| {
            let (name, id) = (format!("router-{number}"), NodeId(number as u64));
            let disk = ModelDisk::blank(id, format!("instance-{number}-{}", plan.seed));
            RouterMachine { machine: machine(&name), name, id, disk }
        };
        let other = |role: &str, number: usize| {
            let name = format!("{role}-{number}");
            OtherMachine { machine: machine(&name), name }
        };
        let swarm = &plan.swarm;
        Rc::new(Self {
            routers: (1..=swarm.routers + SPARES).map(router).collect(),
            founders: swarm.routers,
            logics: (1..=swarm.logics).map(|number| other("logic", number)).collect(),
            comets: (1..=swarm.comets).map(|number| other("comet", number)).collect(),
            orders,
            held: Mutex::default(),
            excuses: Mutex::default(),
            ended: Mutex::default(),
            recorder,
        })
    }

    /// Where devices and backends reach the comets and logics.
    pub(crate) fn edge(&self, swarm: &Swarm) -> workload::Edge {
        let door = |comet: &OtherMachine| Door {
            comet: comet.name.clone(),
            tcp: format!("{}:3101", comet.name),
            websocket: format!("{}:3102", comet.name),
        };
        let doors = self.comets.iter().map(door).collect();
        let logics = self.logics.iter().map(|logic| format!("{}:3119", logic.name)).collect();
        workload::Edge::new(doors, logics, swarm.edge.clone(), swarm.devices)
    }

    /// Every machine's name.
    pub(crate) fn names(&self) -> Vec<String> {
        let routers = self.routers.iter().map(|router| router.name.clone());
        let others = self.logics.iter().chain(&self.comets).map(|other| other.name.clone());
        routers.chain(others).collect()
    }

    /// Where the registry of each founding router listens.
    pub(crate) fn registries(&self) -> Vec<String> {
        self.routers[..self.founders].iter().map(|router| registry(&router.name)).collect()
    }

    /// The machine by its name.
    pub(crate) fn machine(&self, name: &str) -> Option<&Machine> {
        let router = self.routers.iter().find(|router| router.name == name);
        let others = || self.logics.iter().chain(&self.comets).find(|other| other.name == name);
        router.map(|router| &router.machine).or_else(|| others().map(|other| &other.machine))
    }

    /// Puts every machine into the simulation.
    pub(crate) fn enter(self: &Rc<Self>, sim: &mut turmoil::Sim<'_>, swarm: &Swarm) {
        for at in 0..self.routers.len() {
            let (cluster, swarm) = (self.clone(), swarm.clone());
            let name = self.routers[at].name.clone();
            sim.host(name, move || {
                let (cluster, swarm) = (cluster.clone(), swarm.clone());
                async move {
                    let router = &cluster.routers[at];
                    let disk = Arc::new(router.disk.clone());
                    let config = router_config(router, &swarm);
                    let why = match orrery_router::start(config, router.machine.host(), disk).await
                    {
                        Ok(handle) => handle.failed().await,
                        Err(error) => error.to_string(),
                    };
                    cluster.over(&router.name, why).await
                }
            });
        }
        for at in 0..self.logics.len() {
            let (cluster, edge) = (self.clone(), swarm.edge.clone());
            sim.host(self.logics[at].name.clone(), move || {
                let (cluster, edge) = (cluster.clone(), edge.clone());
                async move {
                    let logic = &cluster.logics[at];
                    let config = logic_config(cluster.registries(), &edge);
                    let started = orrery_logic::start(config, logic.machine.host()).await;
                    match started {
                        Ok(_handle) => std::future::pending().await,
                        Err(error) => cluster.over(&logic.name, error.to_string()).await,
                    }
                }
            });
        }
        for at in 0..self.comets.len() {
            let (cluster, edge) = (self.clone(), swarm.edge.clone());
            sim.host(self.comets[at].name.clone(), move || {
                let (cluster, edge) = (cluster.clone(), edge.clone());
                async move {
                    let comet = &cluster.comets[at];
                    let logics = cluster.logics.iter();
                    let edges = logics.map(|logic| format!("{}:3118", logic.name)).collect();
                    let config = comet_config(&comet.name, edges, &edge);
                    let why = match orrery_comet::start(config, comet.machine.host()).await {
                        Ok(handle) => match handle.ended().await {
                            Ended::Superseded => SUPERSEDED.to_owned(),
                            ended => ended.to_string(),
                        },
                        Err(error) => error.to_string(),
                    };
                    cluster.over(&comet.name, why).await
                }
            });
        }
    }

    /// From now on a fault explains that the process ends by itself.
    pub(crate) fn excuse(&self, name: &str, why: &'static str) {
        self.excuses.lock().insert((name.to_owned(), why));
    }

    /// That explains nothing any more.
    pub(crate) fn no_excuse(&self, name: &str, why: &'static str) {
        self.excuses.lock().remove(&(name.to_owned(), why));
    }

    /// What explains that the process ends by itself, saying so. A sync that fails does so once.
    fn excused(&self, name: &str, said: &str) -> Option<&'static str> {
        let mut excuses = self.excuses.lock();
        let of_fault = excuses.iter().find(|(whose, _)| whose == name).map(|(_, why)| *why);
        if let Some(why) = of_fault.filter(|why| *why == SYNC_FAILED) {
            excuses.remove(&(name.to_owned(), why));
        }
        of_fault.or_else(|| [REMOVED, SUPERSEDED].into_iter().find(|known| said.contains(known)))
    }

    /// A process has ended by itself: so does its host, and a supervisor starts it again.
    async fn over(&self, name: &str, why: String) -> turmoil::Result {
        // One that is being killed may see its disk die first: it does not end by itself. Nor does one that is
        // killed and started again within a step.
        if !self.held.lock().contains(name) && !self.orders.is_to_crash(name) {
            let excuse = self.excused(name, &why).map(str::to_owned);
            self.recorder.ended(name, why.clone(), excuse);
        }
        self.ended.lock().push((name.to_owned(), why));
        self.orders.crash(name);
        // The crash takes this with it.
        std::future::pending().await
    }

    /// Starts what ended by itself, after a while, but for who is of no cluster any more. Runs beside the simulation's own hosts.
    pub(crate) async fn supervise(self: Rc<Self>) {
        let mut seen = 0;
        loop {
            sleep(RESTART).await;
            let fresh: Vec<String> = {
                let ended = self.ended.lock();
                let stays = |(_, why): &&(String, String)| !why.contains(REMOVED);
                let fresh = ended[seen..].iter().filter(stays);
                let fresh = fresh.map(|(name, _)| name.clone()).collect();
                seen = ended.len();
                fresh
            };
            let held = self.held.lock();
            fresh
                .iter()
                .filter(|name| !held.contains(*name))
                .for_each(|name| self.orders.start(name));
        }
    }
}

/// Where a router's registry listens.
pub(crate) fn registry(name: &str) -> String {
    format!("{name}:3121")
}

fn router_config(router: &RouterMachine, swarm: &Swarm) -> orrery_router::Config {
    orrery_router::Config {
        node_id: router.id.0,
        registry_listen: ([0, 0, 0, 0], 3121).into(),
        registry_advertise: Some(registry(&router.name)),
        peers_listen: ([0, 0, 0, 0], 3120).into(),
        peers_advertise: Some(format!("{}:3120", router.name)),
        snapshot_log_entries: swarm.snapshot_log_entries,
        log_keep_entries: swarm.log_keep_entries,
        purge_batch_entries: 1,
        heartbeat_ms: swarm.heartbeat_ms,
        election_ms_min: swarm.election_ms_min,
        election_ms_max: swarm.election_ms_max,
        lease_ms: swarm.lease_ms,
        keep_alive_ms: swarm.lease_ms / 5,
        ..orrery_router::Config::default()
    }
}

fn logic_config(routers: Vec<String>, edge: &Edge) -> orrery_logic::Config {
    let any = |port| ([0, 0, 0, 0], port).into();
    orrery_logic::Config {
        http_listen: any(3111),
        grpc_listen: any(3119),
        edge_listen: any(3118),
        routers,
        auth: orrery_logic::config::AuthMode::Open,
        heartbeat_ms: edge.heartbeat_ms,
        heartbeats_max: HEARTBEATS_MAX,
        ..orrery_logic::Config::default()
    }
}

fn comet_config(name: &str, logic: Vec<String>, edge: &Edge) -> orrery_comet::Config {
    let any = |port| ([0, 0, 0, 0], port).into();
    orrery_comet::Config {
        id: name.to_owned(),
        tcp_listen: any(3101),
        websocket_listen: any(3102),
        delivery_listen: any(3109),
        delivery_advertise: Some(format!("{name}:3109")),
        logic,
        workers: 1,
        audit_ms: edge.audit_ms,
        room_linger_ms: edge.room_linger_ms,
        outbox_frames: edge.outbox_frames,
        ..orrery_comet::Config::default()
    }
}
