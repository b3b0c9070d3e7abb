//! Run: one simulation from its plan to its history.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use judge::history::Event;
use orrery_jepsen_entropy::HeldClock;
use orrery_router_client::Config;
use orrery_router_client::cluster::ClusterClient;
use tokio::sync::watch;

use super::cluster::Cluster;
use super::host::Machine;
use super::load::Load;
use super::orders::{Order, Orders};
use super::panics::Panics;
use super::world::SimWorld;
use crate::conductor;
use crate::entries::Stores;
use crate::operator::Operator;
use crate::plan::Plan;
use crate::plan::stream::seed_of;
use crate::recorder::Recorder;
use crate::workload::bed::Stage;
use crate::world::founding::found;

/// Simulated time after which a run that has not ended never will.
const RUN_MAX: Duration = Duration::from_secs(300);

/// When every simulation begins by its wall clocks: state that holds wall time is part of what replicas are
/// compared by, so it must not depend on the day of the run.
const BEGINS: Duration = Duration::from_secs(1_700_000_000);

/// How likely a link that lost a message carries the next one.
const REPAIR_RATE: f64 = 0.05;

/// What a simulation gave.
#[derive(Debug)]
pub struct Ran {
    /// What everybody saw.
    pub events: Vec<Event>,
    /// How long it was, in its own time.
    pub simulated: Duration,
    /// The routers' disks.
    pub stores: Stores,
}

/// Runs a plan. The process must not have drawn a random number before, and can run only one.
///
/// # Errors
/// What the harness could not do.
pub fn run(plan: &Plan) -> Result<Ran, String> {
    orrery_jepsen_entropy::seed(plan.seed);
    let clock = HeldClock::begin();
    let mut sim = turmoil::Builder::new();
    let sim = sim
        .rng_seed(seed_of(plan.seed, "network"))
        .epoch(UNIX_EPOCH + BEGINS)
        .simulation_duration(RUN_MAX)
        .tick_duration(Duration::from_millis(1))
        .min_message_latency(Duration::from_millis(plan.swarm.latency_ms_min))
        .max_message_latency(Duration::from_millis(plan.swarm.latency_ms_max))
        .repair_rate(REPAIR_RATE)
        .tcp_capacity(1 << 16)
        .enable_random_order();
    let mut sim = sim.build();
    let orders = Orders::default();
    let recorder = Recorder::simulated();
    let panics = Panics::watch();
    let cluster = Cluster::new(plan, orders.clone(), recorder.clone());
    cluster.enter(&mut sim, &plan.swarm);
    let (stage, stages) = watch::channel(Stage::Work);
    let failure: Rc<RefCell<Option<String>>> = Rc::default();

    let founded = watch::Sender::new(false);
    let load = Load {
        plan: plan.clone(),
        cluster: cluster.clone(),
        recorder: recorder.clone(),
        stage: stages,
        founded: founded.subscribe(),
    };
    let ended = load.enter(&mut sim);

    let lead = {
        let (plan, cluster, recorder) = (plan.clone(), cluster.clone(), recorder.clone());
        let (machine, failure) = (Machine::new(seed_of(plan.seed, "nemesis")), failure.clone());
        async move {
            let config = Config { nodes: cluster.registries(), ..Config::default() };
            let client = ClusterClient::new(&config, machine.host());
            let registries = cluster.registries();
            let supervisor = tokio::task::spawn_local(cluster.clone().supervise());
            let led = match found(&client, &registries, plan.swarm.shards, 3).await {
                Err(error) => Err(error),
                Ok(()) => {
                    founded.send_replace(true);
                    let world = SimWorld::new(&plan, cluster, client);
                    let operator = Operator::new(registries, machine.host());
                    conductor::lead(&plan, &world, &operator, &recorder, &stage, ended).await
                }
            };
            supervisor.abort();
            if let Err(error) = led {
                *failure.borrow_mut() = Some(error);
            }
            Ok(())
        }
    };
    sim.client("nemesis", lead);

    let stepped = step(&mut sim, &clock, &orders, &failure, || panics.tell(&recorder));
    let simulated = sim.elapsed();
    if let Some(why) = failure.borrow_mut().take() {
        recorder.harness_failure(why);
    }
    let stores = Stores::of(cluster.routers.iter().map(|router| router.disk.clone()));
    stepped.map(|()| Ran { events: recorder.events(), simulated, stores })
}

/// Steps until every client has ended, doing what was ordered in between.
fn step(
    sim: &mut turmoil::Sim<'_>,
    clock: &HeldClock,
    orders: &Orders,
    failure: &RefCell<Option<String>>,
    after: impl Fn(),
) -> Result<(), String> {
    loop {
        clock.set(sim.elapsed());
        let stepped = sim.step().map_err(|error| error.to_string());
        after();
        let is_over = stepped?;
        if is_over || failure.borrow().is_some() {
            return Ok(());
        }
        while let Some(order) = orders.next() {
            match order {
                Order::Crash(host) => sim.crash(host.as_str()),
                Order::Start(host) => {
                    if !sim.is_host_running(host.as_str()) {
                        sim.bounce(host.as_str());
                    }
                }
                Order::Latency(a, b, least, most) => {
                    sim.set_link_latency(a.as_str(), b.as_str(), least);
                    sim.set_link_max_message_latency(a.as_str(), b.as_str(), most);
                }
                Order::Lose(a, b, rate) => sim.set_link_fail_rate(a.as_str(), b.as_str(), rate),
            }
        }
    }
}
