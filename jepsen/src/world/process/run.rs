//! Run: one run of real processes from its plan to its history.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use judge::history::Event;
use machine::{Fabric, Ledger, Network};
use orrery_host::Host;
use orrery_model::NodeId;
use orrery_router_client::cluster::ClusterClient;
use orrery_router_client::{Client, Config};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::links::Links;
use super::load::work;
use super::progress::Progress;
use super::stations::Stations;
use super::supervisor::supervise;
use super::topology::Role;
use super::world::ProcessWorld;
use crate::conductor;
use crate::entries::Stores;
use crate::operator::Operator;
use crate::plan::Plan;
use crate::plan::stream::seed_of;
use crate::recorder::Recorder;
use crate::workload::bed::Stage;
use crate::workload::crowd;
use crate::world::admin::{Admin, Seat};

/// How long the routers may take until all of them answer.
const START: Duration = Duration::from_secs(30);

/// How long one question to a router may take.
const ASK: Duration = Duration::from_millis(800);

/// Pause between two looks at starting nodes.
const LOOK: Duration = Duration::from_millis(50);

/// Nodes that hold each shard.
const REPLICAS: usize = 3;

/// Where in a run's folder copies of the routers' data go.
pub const STORES: &str = "stores";

/// Where ledgers lie of what is made on the machine.
pub const LEDGERS: &str = machine::FOLDER;

/// Where and with what a plan runs.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The orrery binary.
    pub binary: PathBuf,
    /// The run's own folder: configurations, logs, disks. It is there and empty.
    pub folder: PathBuf,
    /// How the machines are connected.
    pub fabric: Fabric,
}

/// What a run gave.
#[derive(Debug)]
pub struct Ran {
    /// What everybody saw.
    pub events: Vec<Event>,
    /// What no fault explains: nodes that ended by themselves, nodes that went on when they should not.
    pub findings: Vec<String>,
    /// What became of packets.
    pub packets: machine::Counters,
    /// Every node's log.
    pub logs: Vec<PathBuf>,
    /// Copies of the routers' data.
    pub stores: Stores,
}

/// Runs a plan.
///
/// # Errors
/// What the harness could not do. Everything that was made is unmade by then.
pub async fn run(plan: &Plan, setting: &Setting) -> anyhow::Result<Ran> {
    let progress = Progress::begin(plan.seed);
    let ledger = Ledger::begin(Path::new(LEDGERS))?;
    let network = Network::new(&ledger, setting.fabric, seed_of(plan.seed, "network"))?;
    network.harness()?;
    let (binary, folder) = (&setting.binary, &setting.folder);
    let stations = Arc::new(Stations::make(plan, &ledger, &network, binary, folder)?);
    stations.start_routers()?;
    let host = Host::system();
    let config = Config { nodes: stations.registries(), ..Config::default() };
    let client = ClusterClient::new(&config, host.clone());
    let cluster_id = found(plan, setting, &stations, &client).await?;
    stations.start_others()?;
    progress.say(&format!(
        "{} routers, {} shards, {} logics, {} comets; heartbeat {} ms, lease {} ms, {} faults",
        plan.swarm.routers,
        plan.swarm.shards,
        plan.swarm.logics,
        plan.swarm.comets,
        plan.swarm.heartbeat_ms,
        plan.swarm.lease_ms,
        plan.faults.len()
    ));

    let recorder = Recorder::begin();
    let (stage, stages) = watch::channel(Stage::Work);
    let (ended_tx, ended) = watch::channel(false);
    // Dropping it ends all of them.
    let mut beside = JoinSet::new();
    let load = {
        let (plan, stations, recorder) = (plan.clone(), stations.clone(), recorder.clone());
        let client = Client::new(config, host.clone());
        async move {
            let mut comets = work(&plan, &stations, host, client, recorder, stages).await;
            ended_tx.send_replace(true);
            crowd::all(&mut comets).await;
        }
    };
    beside.spawn(load);
    beside.spawn(supervise(stations.clone(), recorder.clone(), progress.clone()));
    beside.spawn(progress.clone().count(recorder.clone()));
    let seat = |(at, place): (usize, &&super::topology::Place)| Seat {
        name: place.name.clone(),
        registry: place.registry().to_string(),
        id: NodeId(at as u64 + 1),
    };
    let seats = stations.of(Role::Router).iter().enumerate().map(seat).collect();
    let admin = Admin::new(client, cluster_id, ASK, seats, plan.swarm.routers);
    let world =
        ProcessWorld::new(plan, stations.clone(), admin, Links::new(network), progress.clone());
    let operator = Operator::new(stations.registries(), Host::system());
    let _end = End(stations.clone());
    let led = conductor::lead(plan, &world, &operator, &recorder, &stage, ended).await;
    if let Err(why) = led {
        recorder.harness_failure(why);
    }
    stations.failures().into_iter().for_each(|failure| recorder.harness_failure(failure));
    // Whoever judges the history alone must not take the run for one that holds.
    stations.findings().into_iter().for_each(|finding| recorder.harness_failure(finding));
    while let Some(one) = beside.try_join_next() {
        one.context("a part of the harness panicked")?;
    }
    let packets = world.links.lock().network().counters();
    let (events, findings) = (recorder.events(), stations.findings());
    // From here on nothing is watched any more, and what ends is to end.
    beside.abort_all();
    let stores = stations.keep(&setting.folder.join(STORES));
    Ok(Ran { events, findings, packets, logs: stations.logs(), stores })
}

/// Ends all nodes before what connects them, also when a run is given up: tasks that are told to end may hold
/// them for a while.
struct End(Arc<Stations>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Founds the cluster as those do who run one, with `orrery ctl`; its id.
async fn found(
    plan: &Plan,
    setting: &Setting,
    stations: &Stations,
    client: &ClusterClient,
) -> anyhow::Result<String> {
    let registries = stations.registries();
    let deadline = Instant::now() + START;
    for registry in &registries {
        while client.describe(registry, Instant::now() + ASK).await.is_err() {
            stations.all_run()?;
            if Instant::now() > deadline {
                bail!("no router answers at {registry} within {START:?}");
            }
            sleep(LOOK).await;
        }
    }
    let asked = Command::new(&setting.binary)
        .args(["ctl", "cluster", "bootstrap", "--nodes", &registries.join(",")])
        .args(["--shards", &plan.swarm.shards.to_string()])
        .args(["--replicas", &REPLICAS.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("run {} ctl", setting.binary.display()))?;
    if !asked.status.success() {
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        stations.all_run()?;
        bail!("the cluster could not be founded: {said}");
    }
    let described = client.describe(&registries[0], deadline).await?;
    described.cluster_id.ok_or_else(|| anyhow!("the cluster was founded and has no id"))
}
