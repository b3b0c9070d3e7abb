//! Comets' lives across leaders of the control shard.

use std::time::Duration;

use orrery_model::CometRef;
use orrery_model::control::{Advertise, Attach};
use orrery_router_client::{Client, Pulse};
use tokio::time::{Instant, sleep};

use crate::cluster::{PATIENCE, Plan, until};
use crate::users::{bind_in, comet, routes, write};

async fn attach(client: &Client) -> CometRef {
    let advertise = Advertise { delivery: "127.0.0.1:3109".to_owned(), ..Advertise::default() };
    let attach = Attach { comet: comet(0).id, instance: "one".to_owned(), attempt: 1, advertise };
    let attached = client.attach(attach, Instant::now() + PATIENCE).await.unwrap();
    comet(attached.incarnation.0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_leader_never_shortens_a_lease_and_ends_it_in_time() {
    let lease = Duration::from_secs(3);
    let plan = Plan::new(3, 2).with(|plan| {
        plan.config.lease_ms = 3_000;
        plan.config.keep_alive_ms = 500;
    });
    let mut cluster = plan.found().await;
    let client = cluster.client();
    let life = attach(&client).await;
    let bound = write(&client, bind_in(life.clone(), 1, 1), PATIENCE).await.unwrap();
    assert!(bound.is_ok(), "{bound:?}");

    // Two leaders change, each after most of a lease.
    for _ in 0..2 {
        let pulse = client.keep_alive(life.clone(), Instant::now() + PATIENCE).await.unwrap();
        assert_eq!(pulse, Pulse::Alive);
        sleep(lease * 2 / 3).await;
        let leader = cluster.leader(0).await;
        cluster.stop(leader).await;
        cluster.start(leader).await;
        let pulse = client.keep_alive(life.clone(), Instant::now() + PATIENCE).await.unwrap();
        assert_eq!(pulse, Pulse::Alive);
        cluster.ready().await;
    }

    // Silent from here on, it ends, and its routes with it.
    until("the comet has ended", || async {
        match routes(&client, 1, PATIENCE).await {
            Ok(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let pulse = client.keep_alive(life.clone(), Instant::now() + PATIENCE).await.unwrap();
    assert_eq!(pulse, Pulse::Ended);
    let late = write(&client, bind_in(life, 2, 2), PATIENCE).await.unwrap();
    assert!(late.is_err(), "a comet that has ended bound {late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_without_its_quorum_ends_no_comet() {
    let plan = Plan::new(3, 1).with(|plan| {
        plan.config.lease_ms = 2_000;
        plan.config.keep_alive_ms = 500;
    });
    let cluster = plan.found().await;
    let client = cluster.client();
    let life = attach(&client).await;
    for pair in [(1, 2), (1, 3), (2, 3)] {
        cluster.faults.cut(pair.0, pair.1);
    }
    // Nobody can be heard for more than a lease.
    sleep(Duration::from_secs(3)).await;
    cluster.faults.heal();
    let pulse = client.keep_alive(life, Instant::now() + PATIENCE).await.unwrap();
    assert_eq!(pulse, Pulse::Alive);
}
