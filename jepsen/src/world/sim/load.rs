//! Load: everybody who asks something of the cluster while it is being broken, on hosts of their own, so that a
//! router may be out of reach for some of them and within that of others.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use orrery_router_client::Client;
use rand::Rng as _;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::cluster::Cluster;
use super::host::Machine;
use crate::plan::stream::{seed_of, stream};
use crate::plan::{Fault, FaultKind, Plan};
use crate::recorder::Recorder;
use crate::workload::bed::{Bed, Stage};
use crate::workload::crowd::{self, Crowd, Share};

/// Hosts of the load.
const HOSTS: usize = 3;

/// Processes that only read.
const READERS: usize = 3;

/// The pause between two operations of a process, about.
const PACE: Duration = Duration::from_millis(40);

/// All load of a simulation.
#[derive(Clone)]
pub(super) struct Load {
    pub(super) plan: Plan,
    pub(super) cluster: Rc<Cluster>,
    pub(super) recorder: Recorder,
    pub(super) stage: watch::Receiver<Stage>,
    /// Nobody asks anything before.
    pub(super) founded: watch::Receiver<bool>,
}

impl Load {
    /// Puts it on its hosts; becomes true once all of it has ended but for the comets, which live on.
    pub(super) fn enter(self, sim: &mut turmoil::Sim<'_>) -> watch::Receiver<bool> {
        let (ended_tx, ended) = watch::channel(false);
        let (ended_tx, working) = (Rc::new(ended_tx), Rc::new(Cell::new(HOSTS)));
        let done = Arc::default();
        for (place, name) in names().into_iter().enumerate() {
            let (ended_tx, working) = (ended_tx.clone(), working.clone());
            let machine = Machine::new(seed_of(self.plan.seed, &name));
            let (mut load, done) = (self.clone(), Arc::clone(&done));
            sim.client(name, async move {
                // Fails only once nobody is left to found it.
                let _ = load.founded.wait_for(|founded| *founded).await;
                let mut comets = load.work(place, &machine, done).await;
                working.set(working.get() - 1);
                if working.get() == 0 {
                    ended_tx.send_replace(true);
                }
                crowd::all(&mut comets).await;
                Ok(())
            });
        }
        ended
    }

    /// The part of one host, until its stage says that it ends; the comets, which live on.
    async fn work(&self, place: usize, machine: &Machine, done: Arc<AtomicU64>) -> JoinSet<()> {
        let (swarm, host) = (&self.plan.swarm, machine.host());
        let share = Share::all(self.cluster.registries(), swarm.writers, READERS);
        let share = share.part(place, HOSTS);
        let bed = Bed {
            seed: self.plan.seed,
            client: Client::new(share.ways(), host.clone()),
            host,
            recorder: self.recorder.clone(),
            stage: self.stage.clone(),
            pace: PACE,
            users: swarm.users,
            done,
        };
        let mut crowd = Crowd::begin(&bed, &share);
        if place > 0 {
            crowd.ended().await;
            return crowd.comets;
        }
        let edge = self.cluster.edge(swarm);
        edge.enter(&bed, &mut crowd.processes);
        crowd.ended().await;
        edge.last_look(&bed, Duration::from_millis(swarm.lease_ms)).await;
        crowd.comets
    }
}

/// The names of its hosts.
pub(super) fn names() -> Vec<String> {
    (1..=HOSTS).map(|number| format!("clients-{number}")).collect()
}

/// Those of its hosts that a fault of a router's links is about too: any of them, drawn for each fault. What all
/// of them ask of a process that stands still has to wait.
pub(super) fn hit(seed: u64, fault: &Fault) -> Vec<String> {
    let mut names = names();
    if !matches!(fault.kind, FaultKind::Pause { .. }) {
        let mut draw = stream(seed, &format!("clients of fault {}", fault.id));
        names.retain(|_| draw.random_bool(0.5));
    }
    names
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::plan::Aim;

    #[test]
    fn a_fault_of_a_router_is_about_any_of_the_hosts() {
        let fault = |id, kind| Fault { id, at_ms: 0, lasts_ms: 0, kind };
        let node = Aim::Router(0);
        let hit_by = |id| hit(7, &fault(id, FaultKind::Isolate { node }));
        let all: BTreeSet<Vec<String>> = (0..100).map(hit_by).collect();
        assert_eq!(all.len(), 1 << HOSTS);
        assert_eq!(hit_by(3), hit_by(3));
        // What stands still answers nobody.
        assert_eq!(hit(7, &fault(1, FaultKind::Pause { node })), names());
    }
}
