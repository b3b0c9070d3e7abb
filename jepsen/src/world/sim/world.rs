//! World: the simulation's faults, done from a host of its own that no fault reaches.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use orrery_model::ShardId;
use orrery_router_client::cluster::ClusterClient;
use parking_lot::Mutex;
use rand::rngs::SmallRng;

use super::cluster::{Cluster, POWER_GONE, RouterMachine, registry};
use super::links::Links;
use super::load;
use crate::plan::stream::stream;
use crate::plan::{Aim, Fault, Plan};
use crate::world::admin::{Admin, Seat};
use crate::world::founding::CLUSTER;
use crate::world::{Installed, World};

/// How long one question to a router may take.
const ASK: Duration = Duration::from_millis(300);

/// The simulation as a world.
pub(crate) struct SimWorld {
    pub(super) cluster: Rc<Cluster>,
    pub(super) admin: Admin,
    /// How much of what was not synced a power cut leaves.
    pub(super) chance: Mutex<SmallRng>,
    /// What each fault hit, so that it is taken back where it was done.
    hit: Mutex<BTreeMap<u32, Vec<String>>>,
    pub(super) links: Links,
    seed: u64,
}

impl SimWorld {
    pub(crate) fn new(plan: &Plan, cluster: Rc<Cluster>, client: ClusterClient) -> Self {
        let seat = |router: &RouterMachine| Seat {
            name: router.name.clone(),
            registry: registry(&router.name),
            id: router.id,
        };
        let seats = cluster.routers.iter().map(seat).collect();
        let mut hosts = cluster.names();
        hosts.extend(load::names());
        let latency = (plan.swarm.latency_ms_min, plan.swarm.latency_ms_max);
        let latency = (Duration::from_millis(latency.0), Duration::from_millis(latency.1));
        Self {
            admin: Admin::new(client, CLUSTER.to_owned(), ASK, seats, cluster.founders),
            chance: stream(plan.seed, "power").into(),
            hit: Mutex::default(),
            links: Links::new(cluster.orders.clone(), hosts, latency),
            cluster,
            seed: plan.seed,
        }
    }

    /// The machine that an aim means now.
    pub(super) async fn target(&self, aim: Aim) -> Option<String> {
        match aim {
            Aim::Router(number) => self.admin.member(number),
            Aim::LeaderOf(shard) => self.admin.leader(ShardId(shard)).await,
            Aim::Logic(number) => self.cluster.logics.get(number).map(|one| one.name.clone()),
            Aim::Comet(number) => self.cluster.comets.get(number).map(|one| one.name.clone()),
        }
    }

    pub(super) fn router(&self, name: &str) -> Option<&RouterMachine> {
        self.cluster.routers.iter().find(|router| router.name == name)
    }

    /// Whom a fault of a host's links is about: all others, and of a router some of the load too.
    pub(super) fn reach(&self, fault: &Fault, name: &str) -> Vec<String> {
        let mut others = self.cluster.names();
        others.retain(|other| other != name);
        if self.router(name).is_some() {
            others.extend(load::hit(self.seed, fault));
        }
        others
    }

    pub(super) fn crash(&self, name: &str) {
        self.cluster.held.lock().insert(name.to_owned());
        self.cluster.orders.crash(name);
        if let Some(router) = self.router(name) {
            // A process that ends leaves what it wrote to the system.
            router.disk.crash(|unsynced| unsynced);
        }
    }

    pub(super) fn start(&self, name: &str) {
        if self.cluster.held.lock().remove(name) {
            self.cluster.no_excuse(name, POWER_GONE);
            self.cluster.orders.start(name);
        }
    }
}

impl World for SimWorld {
    fn install<'a>(&'a self, fault: &'a Fault) -> LocalBoxFuture<'a, Installed> {
        async move {
            let installed = self.do_it(fault).await;
            if let Installed::Yes { targets } = &installed {
                self.hit.lock().insert(fault.id, targets.clone());
            }
            installed
        }
        .boxed_local()
    }

    fn take_back<'a>(&'a self, fault: &'a Fault) -> LocalBoxFuture<'a, ()> {
        async move {
            let targets = self.hit.lock().remove(&fault.id);
            self.undo(fault, &targets.unwrap_or_default());
        }
        .boxed_local()
    }

    fn mend(&self) -> LocalBoxFuture<'_, ()> {
        async move {
            self.admin.finish().await;
        }
        .boxed_local()
    }

    fn drained(&self) -> Vec<(u64, String)> {
        self.admin.drained()
    }

    fn heal(&self) -> LocalBoxFuture<'_, ()> {
        async move {
            self.links.heal();
            self.admin.lead_again();
            let members = self.admin.members();
            for name in self.cluster.names() {
                self.cluster.machine(&name).expect("it has a machine").process.open();
                self.cluster.machine(&name).expect("it has a machine").disk.open();
                let removed = self.router(&name).is_some() && !members.contains(&name);
                if !removed {
                    self.start(&name);
                }
            }
        }
        .boxed_local()
    }
}
