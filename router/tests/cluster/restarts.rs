//! Nodes that die, stop and come back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orrery_host::{Host, Task};
use orrery_model::command::Outcome;
use orrery_router_client::Client;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::cluster::{PATIENCE, Plan, until};
use crate::users::{bind, bind_all, located_all, routes, write};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_loses_nothing_and_catches_up() {
    let mut cluster = Plan::new(3, 4).found().await;
    let client = cluster.client();
    bind_all(&client, 0..40).await;
    let victim = cluster.leader(1).await;
    cluster.kill(victim);
    let begun = Instant::now();
    bind_all(&client, 40..80).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "took {:?}", begun.elapsed());
    located_all(&client, 0..80).await;

    cluster.start(victim).await;
    cluster.ready().await;
    // What was written meanwhile is there: it can lead again, without the others' help but one's.
    let other = cluster.running().into_iter().find(|id| *id != victim).unwrap();
    cluster.kill(other);
    located_all(&client, 0..80).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_lost_its_power_goes_on_where_it_was() {
    let mut cluster = Plan::new(3, 2).found().await;
    bind_all(&cluster.client(), 0..30).await;
    for id in 1..=3 {
        cluster.kill(id);
    }
    for id in 1..=3 {
        cluster.start(id).await;
    }
    cluster.ready().await;
    let client = cluster.client();
    located_all(&client, 0..30).await;
    bind_all(&client, 30..40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_far_behind_is_brought_a_snapshot_while_the_shard_serves() {
    let plan = Plan::new(3, 1).with(|plan| {
        plan.config.snapshot_log_entries = 50;
        plan.config.log_keep_entries = 5;
        plan.config.purge_batch_entries = 1;
    });
    let mut cluster = plan.found().await;
    let client = cluster.client();
    bind_all(&client, 0..10).await;
    let leader = cluster.leader(1).await;
    let behind = (1..=3).find(|id| *id != leader).unwrap();
    cluster.kill(behind);
    bind_all(&client, 10..250).await;
    cluster.start(behind).await;
    cluster.ready().await;
    until("the node has caught up", || async {
        let status = cluster.status(behind).await.map_err(|status| status.to_string())?;
        let replica = status.replicas.iter().find(|replica| replica.shard == 1);
        match replica.map(|replica| replica.routes) {
            Some(250) => Ok(()),
            routes => Err(format!("{routes:?}")),
        }
    })
    .await;
    located_all(&client, [0, 249]).await;
}

/// Callers that bind and look up users without a pause, and what they met.
struct Load {
    stop: Arc<AtomicBool>,
    seen: Arc<Mutex<Seen>>,
    tasks: Vec<Task>,
}

#[derive(Default)]
struct Seen {
    done: u64,
    failed: Vec<String>,
    /// The longest any one operation took.
    longest: Duration,
}

impl Seen {
    fn note(&mut self, result: Result<(), String>, took: Duration) {
        self.longest = self.longest.max(took);
        match result {
            Ok(()) => self.done += 1,
            Err(error) => self.failed.push(error),
        }
    }
}

impl Load {
    fn start(client: &Client, callers: u64) -> Self {
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Seen>>::default());
        let host = Host::system();
        let tasks = (0..callers)
            .map(|caller| {
                let (client, stop, seen) = (client.clone(), stop.clone(), seen.clone());
                host.tasks.spawn("load", async move {
                    let mut number = caller * 1_000_000;
                    while !stop.load(Ordering::Relaxed) {
                        number += 1;
                        let begun = Instant::now();
                        let result = operate(&client, number).await;
                        let took = begun.elapsed();
                        seen.lock().note(result, took);
                        sleep(Duration::from_millis(5)).await;
                    }
                })
            })
            .collect();
        Self { stop, seen, tasks }
    }

    async fn end(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            assert!(task.join().await, "a caller panicked");
        }
        std::mem::take(&mut self.seen.lock())
    }
}

/// Binds a user and finds it where it was bound.
async fn operate(client: &Client, number: u64) -> Result<(), String> {
    let patience = Duration::from_secs(10);
    match write(client, bind(number), patience).await {
        Ok(Ok(Outcome::Bound(_))) => {}
        other => return Err(format!("bind: {other:?}")),
    }
    match routes(client, number, patience).await {
        Ok(1) => Ok(()),
        other => Err(format!("locate: {other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_fails_no_operation() {
    let mut cluster = Plan::new(3, 4).found().await;
    let client = cluster.client();
    bind_all(&client, 0..8).await;
    let load = Load::start(&client, 4);
    sleep(Duration::from_millis(700)).await;
    // What this machine takes for an operation while nothing happens.
    let calm = load.seen.lock().longest;
    for id in 1..=3 {
        sleep(Duration::from_millis(300)).await;
        cluster.stop(id).await;
        cluster.start(id).await;
        cluster.ready().await;
    }
    sleep(Duration::from_millis(300)).await;
    let seen = load.end().await;
    assert!(seen.failed.is_empty(), "{:?}", seen.failed);
    assert!(seen.done > 20, "only {} operations", seen.done);
    println!("{} operations, the longest took {:?}, {calm:?} before", seen.done, seen.longest);
    // An election alone would take longer than this.
    assert!(seen.longest < calm + GAP_MAX, "an operation took {:?}", seen.longest);
}

/// What an operation may take at most while leaderships move, beside what it takes anyway.
const GAP_MAX: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_in_order_gives_way_at_once() {
    let mut cluster = Plan::new(3, 1).found().await;
    let client = cluster.client();
    bind_all(&client, 0..5).await;
    let leader = cluster.leader(1).await;
    let before = cluster.status(leader).await.unwrap();
    let term = before.replicas.iter().find(|replica| replica.shard == 1).unwrap().term;
    cluster.stop(leader).await;
    let next = cluster.leader(1).await;
    let after = cluster.status(next).await.unwrap();
    let now = after.replicas.iter().find(|replica| replica.shard == 1).unwrap().term;
    assert_eq!(now, term + 1, "one handover, no election that failed");
    assert_eq!(routes(&client, 0, PATIENCE).await, Ok(1));
}
