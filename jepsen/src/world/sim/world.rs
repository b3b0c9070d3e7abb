//! World: the simulation's faults, done from a host of its own that no fault reaches.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use orrery_model::ShardId;
use orrery_model::cluster::{NodeState, Placement};
use orrery_model::control::ControlCommand;
use orrery_router_client::cluster::{Adoption, ClusterClient, ClusterError};
use orrery_router_store::Space;
use parking_lot::Mutex;
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, RouterMachine, registry};
use super::founding::describe;
use crate::plan::stream::stream;
use crate::plan::{Aim, Fault, FaultKind, Plan};
use crate::world::{Installed, World};

/// How long one question to a router may take.
const ASK: Duration = Duration::from_millis(300);

/// How long a change of the cluster may take.
const CHANGE: Duration = Duration::from_secs(5);

/// How long a node that is stopped in a rolling restart stays away.
const RESTART: Duration = Duration::from_millis(300);

/// Pause between two nodes of a rolling restart.
const ROLL: Duration = Duration::from_secs(3);

/// Hosts of the harness itself.
pub(super) const CLIENTS: [&str; 2] = ["clients", "nemesis"];

/// The simulation as a world.
pub(crate) struct SimWorld {
    cluster: Rc<Cluster>,
    client: ClusterClient,
    /// How much of what was not synced a power cut leaves.
    chance: Mutex<SmallRng>,
    /// What each fault hit, so that it is taken back where it was done.
    hit: Mutex<std::collections::BTreeMap<u32, Vec<String>>>,
    latency: Duration,
    /// Routers that are members now, by their place among the machines.
    members: Mutex<Vec<usize>>,
    spares: Mutex<Vec<usize>>,
}

impl SimWorld {
    pub(crate) fn new(plan: &Plan, cluster: Rc<Cluster>, client: ClusterClient) -> Self {
        Self {
            client,
            chance: stream(plan.seed, "power").into(),
            hit: Mutex::default(),
            latency: Duration::from_millis(plan.swarm.latency_ms_max),
            members: (0..cluster.founders).collect::<Vec<_>>().into(),
            spares: (cluster.founders..cluster.routers.len()).rev().collect::<Vec<_>>().into(),
            cluster,
        }
    }

    /// The machine that an aim means now.
    async fn target(&self, aim: Aim) -> Option<String> {
        let at = |number: usize| {
            let members = self.members.lock();
            members.get(number % members.len()).map(|at| self.cluster.routers[*at].name.clone())
        };
        match aim {
            Aim::Router(number) => at(number),
            Aim::LeaderOf(shard) => self.leader(ShardId(shard)).await,
            Aim::Logic(number) => self.cluster.logics.get(number).map(|one| one.name.clone()),
            Aim::Comet(number) => self.cluster.comets.get(number).map(|one| one.name.clone()),
        }
    }

    /// Who leads a shard, as the routers say; with the highest term, should two of them think so.
    async fn leader(&self, shard: ShardId) -> Option<String> {
        let members = self.members.lock().clone();
        let mut best: Option<(u64, String)> = None;
        for at in members {
            let name = &self.cluster.routers[at].name;
            let Ok(report) = self.client.report(&registry(name), Instant::now() + ASK).await else {
                continue;
            };
            let leads = report.leads().any(|led| led == shard);
            let term = report.replica(shard).map_or(0, |replica| replica.term);
            if leads && best.as_ref().is_none_or(|(held, _)| *held < term) {
                best = Some((term, name.clone()));
            }
        }
        best.map(|(_, name)| name)
    }

    fn router(&self, name: &str) -> Option<&RouterMachine> {
        self.cluster.routers.iter().find(|router| router.name == name)
    }

    fn others(&self, name: &str) -> Vec<String> {
        self.cluster.names().into_iter().filter(|other| other != name).collect()
    }

    fn crash(&self, name: &str) {
        self.cluster.held.lock().insert(name.to_owned());
        self.cluster.orders.crash(name);
        if let Some(router) = self.router(name) {
            // A process that ends leaves what it wrote to the system.
            router.disk.crash(|unsynced| unsynced);
        }
    }

    fn start(&self, name: &str) {
        if self.cluster.held.lock().remove(name) {
            self.cluster.orders.start(name);
        }
    }

    async fn do_it(&self, fault: &Fault) -> Installed {
        let yes = |targets: Vec<String>| Installed::Yes { targets };
        let aim = match &fault.kind {
            FaultKind::Isolate { node }
            | FaultKind::Mute { node }
            | FaultKind::Deafen { node }
            | FaultKind::Hold { node }
            | FaultKind::Slow { node, .. }
            | FaultKind::Kill { node }
            | FaultKind::Pause { node }
            | FaultKind::Stall { node }
            | FaultKind::FailedSync { node }
            | FaultKind::FullDisk { node }
            | FaultKind::ClockJump { node, .. }
            | FaultKind::Snapshot { node }
            | FaultKind::ReplaceNode { node }
            | FaultKind::Wipe { node } => Some(*node),
            FaultKind::Bridge { a, .. } => Some(*a),
            FaultKind::Loss { .. }
            | FaultKind::PowerCut { .. }
            | FaultKind::MoveLeader { .. }
            | FaultKind::RollingRestart => None,
        };
        let name = match aim {
            None => String::new(),
            Some(aim) => match self.target(aim).await {
                Some(name) => name,
                None => return Installed::Skipped("nobody leads it".to_owned()),
            },
        };
        let machine = self.cluster.machine(&name);
        match &fault.kind {
            FaultKind::Isolate { .. } => {
                for other in self.others(&name) {
                    turmoil::partition(name.as_str(), other.as_str());
                }
                yes(vec![name])
            }
            FaultKind::Mute { .. } => {
                for other in self.others(&name) {
                    turmoil::partition_oneway(name.as_str(), other.as_str());
                }
                yes(vec![name])
            }
            FaultKind::Deafen { .. } => {
                for other in self.others(&name) {
                    turmoil::partition_oneway(other.as_str(), name.as_str());
                }
                yes(vec![name])
            }
            FaultKind::Bridge { b, .. } => {
                let Some(other) = self.target(*b).await.filter(|other| *other != name) else {
                    return Installed::Skipped("it is the same node".to_owned());
                };
                turmoil::partition(name.as_str(), other.as_str());
                yes(vec![name, other])
            }
            FaultKind::Hold { .. } => {
                for other in self.others(&name) {
                    turmoil::hold(name.as_str(), other.as_str());
                }
                yes(vec![name])
            }
            FaultKind::Pause { .. } => {
                machine.expect("it has a machine").process.close();
                for other in self.others(&name) {
                    turmoil::hold(name.as_str(), other.as_str());
                }
                yes(vec![name])
            }
            FaultKind::Slow { latency_ms, .. } => {
                let latency = Duration::from_millis(*latency_ms);
                for other in self.others(&name) {
                    self.cluster.orders.slow(&name, &other, latency);
                }
                yes(vec![name])
            }
            FaultKind::Loss { per_100k } => {
                self.cluster.orders.lose(f64::from(*per_100k) / 100_000.0);
                yes(vec!["everybody".to_owned()])
            }
            FaultKind::Kill { .. } => {
                self.crash(&name);
                yes(vec![name])
            }
            FaultKind::PowerCut { routers } => {
                let members = self.members.lock().clone();
                let hit: Vec<String> = members
                    .iter()
                    .take(*routers)
                    .map(|at| self.cluster.routers[*at].name.clone())
                    .collect();
                for name in &hit {
                    self.cluster.held.lock().insert(name.clone());
                    self.cluster.orders.crash(name);
                    let mut chance = self.chance.lock();
                    let disk = &self.router(name).expect("it is a router").disk;
                    disk.crash(|unsynced| chance.random_range(0..=unsynced));
                }
                yes(hit)
            }
            FaultKind::Stall { .. } => {
                machine.expect("it has a machine").disk.close();
                yes(vec![name])
            }
            FaultKind::FailedSync { .. } => {
                self.router(&name).expect("it is a router").disk.fail_next_write();
                yes(vec![name])
            }
            FaultKind::FullDisk { .. } => {
                let disk = &self.router(&name).expect("it is a router").disk;
                disk.set_space(Space { free_bytes: 0, total_bytes: 1 << 40 });
                yes(vec![name])
            }
            FaultKind::ClockJump { by_ms, .. } => {
                machine.expect("it has a machine").clock.jump_ms(*by_ms);
                yes(vec![name])
            }
            FaultKind::Snapshot { .. } => {
                let deadline = Instant::now() + CHANGE;
                match self.client.snapshot(&registry(&name), &[], deadline).await {
                    Ok(_) => yes(vec![name]),
                    Err(error) => Installed::Skipped(error.to_string()),
                }
            }
            FaultKind::MoveLeader { shard } => self.move_leader(ShardId(*shard)).await,
            FaultKind::RollingRestart => {
                let members = self.members.lock().clone();
                let mut hit = Vec::new();
                for at in members {
                    let name = self.cluster.routers[at].name.clone();
                    self.crash(&name);
                    sleep(RESTART).await;
                    self.start(&name);
                    sleep(ROLL).await;
                    hit.push(name);
                }
                yes(hit)
            }
            FaultKind::ReplaceNode { .. } => self.replace(&name, false).await,
            FaultKind::Wipe { .. } => self.replace(&name, true).await,
        }
    }

    /// Has another replica preferred as a shard's leader.
    async fn move_leader(&self, shard: ShardId) -> Installed {
        let Some(leader) = self.leader(shard).await else {
            return Installed::Skipped("nobody leads it".to_owned());
        };
        let deadline = Instant::now() + CHANGE;
        let report = match self.client.report(&registry(&leader), deadline).await {
            Ok(report) => report,
            Err(error) => return Installed::Skipped(error.to_string()),
        };
        let held = report.placements.into_iter().map(|(placement, _)| placement);
        let Some(held) = held.into_iter().find(|placement| placement.shard == shard) else {
            return Installed::Skipped("it has no placement".to_owned());
        };
        let mut replicas = held.replicas;
        replicas.rotate_left(1);
        let placement = Placement { shard, version: held.version + 1, replicas };
        self.change(ControlCommand::Place(placement), vec![leader]).await
    }

    async fn change(&self, command: ControlCommand, targets: Vec<String>) -> Installed {
        match self.client.change(&command, "jepsen", Instant::now() + CHANGE).await {
            Ok(_) => Installed::Yes { targets },
            Err(error @ ClusterError::Unknown { .. }) => {
                Installed::Indeterminate(error.to_string())
            }
            Err(error) => Installed::Skipped(error.to_string()),
        }
    }

    /// Puts a spare in a router's place. A router that is wiped is gone first.
    async fn replace(&self, old: &str, wipe: bool) -> Installed {
        let Some(spare) = self.spares.lock().pop() else {
            return Installed::Skipped("no spare is left".to_owned());
        };
        let (new, gone) = (&self.cluster.routers[spare], self.router(old).expect("it is a router"));
        if wipe {
            self.crash(old);
        }
        let address = registry(&new.name);
        let node = describe(&self.client, &address).await;
        let targets = vec![old.to_owned(), new.name.clone()];
        let added = self.change(ControlCommand::AddNode(node.clone()), targets.clone()).await;
        if !matches!(added, Installed::Yes { .. }) {
            return added;
        }
        let adoption = Adoption {
            cluster_id: super::founding::CLUSTER.to_owned(),
            node: node.id,
            instance: node.instance,
            shards: self.shards().await,
            founding: None,
        };
        let adopted = self.client.adopt(&address, &adoption, "jepsen", Instant::now() + CHANGE);
        if let Err(error) = adopted.await {
            return Installed::Indeterminate(error.to_string());
        }
        let place = self.cluster.routers.iter().position(|one| one.name == old);
        let mut members = self.members.lock().clone();
        members.retain(|at| Some(*at) != place);
        members.push(spare);
        *self.members.lock() = members;
        let (node, state) = (gone.id, NodeState::Leaving);
        self.change(ControlCommand::SetNodeState { node, state }, targets).await
    }

    async fn shards(&self) -> u32 {
        let table = self.client.table(Instant::now() + CHANGE).await;
        table.map_or(0, |table| table.shards.len().try_into().unwrap_or(0))
    }

    fn undo(&self, fault: &Fault, targets: &[String]) {
        let Some(name) = targets.first() else { return };
        let machine = self.cluster.machine(name);
        match &fault.kind {
            FaultKind::Isolate { .. } | FaultKind::Mute { .. } | FaultKind::Deafen { .. } => {
                for other in self.others(name) {
                    turmoil::repair(name.as_str(), other.as_str());
                }
            }
            FaultKind::Bridge { .. } => {
                turmoil::repair(name.as_str(), targets[1].as_str());
            }
            FaultKind::Hold { .. } => self.release(name),
            FaultKind::Pause { .. } => {
                machine.expect("it has a machine").process.open();
                self.release(name);
            }
            FaultKind::Slow { .. } => {
                for other in self.others(name) {
                    self.cluster.orders.slow(name, &other, self.latency);
                }
            }
            FaultKind::Loss { .. } => self.end_loss(),
            FaultKind::Kill { .. } | FaultKind::PowerCut { .. } => {
                targets.iter().for_each(|name| self.start(name));
            }
            FaultKind::Stall { .. } => machine.expect("it has a machine").disk.open(),
            FaultKind::FullDisk { .. } => {
                let disk = &self.router(name).expect("it is a router").disk;
                disk.set_space(Space { free_bytes: 1 << 40, total_bytes: 1 << 40 });
            }
            FaultKind::FailedSync { .. }
            | FaultKind::ClockJump { .. }
            | FaultKind::MoveLeader { .. }
            | FaultKind::Snapshot { .. }
            | FaultKind::ReplaceNode { .. }
            | FaultKind::Wipe { .. }
            | FaultKind::RollingRestart => {}
        }
    }

    /// Lets nothing be lost any more, on no link.
    fn end_loss(&self) {
        self.cluster.orders.lose(0.0);
        let mut names = self.cluster.names();
        names.extend(CLIENTS.map(str::to_owned));
        for (at, name) in names.iter().enumerate() {
            for other in &names[at + 1..] {
                turmoil::repair(name.as_str(), other.as_str());
            }
        }
    }

    fn release(&self, name: &str) {
        for other in self.others(name) {
            turmoil::release(name, other.as_str());
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

    fn heal(&self) -> LocalBoxFuture<'_, ()> {
        async move {
            self.end_loss();
            let members: BTreeSet<usize> = self.members.lock().iter().copied().collect();
            for name in self.cluster.names() {
                self.cluster.machine(&name).expect("it has a machine").process.open();
                self.cluster.machine(&name).expect("it has a machine").disk.open();
                let is_away = |at: usize| self.cluster.routers[at].name == name;
                let removed =
                    (0..self.cluster.routers.len()).any(|at| is_away(at) && !members.contains(&at));
                if !removed {
                    self.start(&name);
                }
                for other in self.others(&name) {
                    turmoil::release(name.as_str(), other.as_str());
                    turmoil::repair(name.as_str(), other.as_str());
                    self.cluster.orders.slow(&name, &other, self.latency);
                }
            }
        }
        .boxed_local()
    }
}
