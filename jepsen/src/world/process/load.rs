//! Load: everybody who asks something of the cluster while it is being broken.

use std::sync::Arc;
use std::time::Duration;

use orrery_host::Host;
use orrery_router_client::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::stations::Stations;
use super::topology::{Place, Role};
use crate::plan::Plan;
use crate::recorder::Recorder;
use crate::workload::bed::{Bed, Stage};
use crate::workload::crowd::{Crowd, Share};
use crate::workload::edge::{Door, Edge};

/// Processes that only read.
const READERS: usize = 4;

/// The pause between two operations of a process, about.
const PACE: Duration = Duration::from_millis(30);

/// All load, until its stage says that it ends; the comets, which live on.
pub(crate) async fn work(
    plan: &Plan,
    stations: &Stations,
    host: Host,
    client: Client,
    recorder: Recorder,
    stage: watch::Receiver<Stage>,
) -> JoinSet<()> {
    let bed = Bed {
        seed: plan.seed,
        host,
        client,
        recorder,
        stage,
        pace: PACE,
        users: plan.swarm.users,
        done: Arc::default(),
    };
    let share = Share::all(stations.registries(), plan.swarm.writers, READERS);
    let mut crowd = Crowd::begin(&bed, &share);
    let edge = edge(plan, stations);
    edge.enter(&bed, &mut crowd.processes);
    crowd.ended().await;
    edge.last_look(&bed, Duration::from_millis(plan.swarm.lease_ms)).await;
    crowd.comets
}

/// Where devices and backends find whom they talk to.
fn edge(plan: &Plan, stations: &Stations) -> Edge {
    let door = |comet: &Place| Door {
        comet: comet.name.clone(),
        tcp: comet.tcp().to_string(),
        websocket: comet.websocket().to_string(),
    };
    let doors = stations.of(Role::Comet).into_iter().map(door).collect();
    let logics = stations.of(Role::Logic).into_iter().map(|logic| logic.grpc().to_string());
    Edge::new(doors, logics.collect(), plan.swarm.edge.clone(), plan.swarm.devices)
}
