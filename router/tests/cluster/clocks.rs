//! Wall clocks that jump: seen by people who read them, and by nobody else.

use std::time::Duration;

use orrery_host::{Clock as _, system::SystemClock};
use orrery_model::control::{Advertise, Attach};
use orrery_model::{CometRef, Id};
use orrery_router_client::{Client, Pulse};
use tokio::time::{Instant, sleep};

use crate::cluster::{Cluster, PATIENCE, Plan};
use crate::users::{bind_in, routes, user, write};

const DAY_MS: i64 = 86_400_000;
const LEASE: Duration = Duration::from_secs(3);
/// By how much a life may outlast its lease. Each stall of a busy machine lets the leases begin anew, so it is
/// far more than two seconds; a clock that counts would keep it for a day.
const LATE_MAX: Duration = Duration::from_secs(30);

async fn attach(client: &Client, id: &str) -> CometRef {
    let id = Id::new(id).unwrap();
    let advertise = Advertise { delivery: "127.0.0.1:3109".to_owned(), ..Advertise::default() };
    let attach = Attach { comet: id.clone(), instance: "one".to_owned(), attempt: 1, advertise };
    let attached = client.attach(attach, Instant::now() + PATIENCE).await.unwrap();
    CometRef { id, incarnation: attached.incarnation }
}

async fn bind(client: &Client, comet: &CometRef, number: u64) {
    let bound = write(client, bind_in(comet.clone(), number, number), PATIENCE).await.unwrap();
    assert!(bound.is_ok(), "{bound:?}");
}

/// Sets one node's clock so far ahead, and all others' so far back.
fn part(cluster: &Cluster, id: u64, ahead_ms: i64) {
    for other in cluster.running() {
        cluster.set_clock(other, if other == id { ahead_ms } else { -ahead_ms });
    }
}

/// The term of each shard, as its leader has it.
async fn terms(cluster: &Cluster) -> Vec<(u32, u64)> {
    let mut terms = Vec::new();
    for shard in 0..=2 {
        let leader = cluster.leader(shard).await;
        let status = cluster.status(leader).await.unwrap();
        let replica = status.replicas.iter().find(|replica| replica.shard == shard).unwrap();
        terms.push((shard, replica.term));
    }
    terms
}

/// Keeps one comet alive until the routes of the other, silent since `since`, are gone.
async fn outlive(client: &Client, living: &CometRef, silent: u64, since: Instant) {
    while routes(client, silent, PATIENCE).await.unwrap() > 0 {
        assert!(since.elapsed() < LEASE + LATE_MAX, "the silent one outlives its lease");
        let pulse = client.keep_alive(living.clone(), Instant::now() + PATIENCE).await.unwrap();
        assert_eq!(pulse, Pulse::Alive, "{:?} after the jump", since.elapsed());
        assert_eq!(routes(client, 1, PATIENCE).await, Ok(1), "the living one's user");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(since.elapsed() >= LEASE, "its life ended {:?} after it began", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jump_of_a_day_ends_no_life_early_or_late_and_changes_no_leader() {
    let plan = Plan::new(3, 2).with(|plan| {
        plan.config.lease_ms = LEASE.as_millis() as u64;
        plan.config.keep_alive_ms = 500;
        // A busy machine alone is to change no leader either.
        plan.config.election_ms_min = 2_000;
        plan.config.election_ms_max = 3_000;
    });
    let mut cluster = plan.found().await;
    let client = cluster.client();
    let living = attach(&client, "living").await;
    bind(&client, &living, 1).await;
    let before = terms(&cluster).await;

    for (round, ahead_ms) in [DAY_MS, -DAY_MS].into_iter().enumerate() {
        let number = 10 + round as u64;
        let since = Instant::now();
        let silent = attach(&client, &format!("silent-{round}")).await;
        bind(&client, &silent, number).await;
        let leader = cluster.leader(0).await;
        part(&cluster, leader, ahead_ms);
        // People see it.
        bind(&client, &living, 20 + number).await;
        let deadline = Instant::now() + PATIENCE;
        let located = client.locate(user(20 + number), false, deadline).await.unwrap();
        let off_ms = located.routes[0].bound_at_ms.abs_diff(SystemClock.wall_ms());
        assert!(off_ms.abs_diff(DAY_MS as u64) < 3_600_000, "a stamp is {off_ms} ms off");
        outlive(&client, &living, number, since).await;
    }
    assert_eq!(terms(&cluster).await, before, "leaders were elected");

    // Whoever leads next is two days back.
    let leader = cluster.leader(0).await;
    part(&cluster, leader, DAY_MS);
    let silent = attach(&client, "silent").await;
    bind(&client, &silent, 19).await;
    let killed = Instant::now();
    cluster.kill(leader);
    cluster.leader(0).await;
    // A new leader gives everybody a lease.
    while killed.elapsed() < LEASE {
        assert_eq!(routes(&client, 19, PATIENCE).await, Ok(1), "{:?}", killed.elapsed());
        let pulse = client.keep_alive(living.clone(), Instant::now() + PATIENCE).await.unwrap();
        assert_eq!(pulse, Pulse::Alive);
        sleep(Duration::from_millis(100)).await;
    }
    outlive(&client, &living, 19, killed + LEASE).await;
}
