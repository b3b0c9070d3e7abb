//! Disks that fill up.

use std::time::Duration;

use orrery_proto::cluster as wire;
use orrery_router_store::Space;
use tokio::time::Instant;

use crate::cluster::{Cluster, PATIENCE, Plan, until};
use crate::users::{bind, bind_all, located_all, routes, write};

const NOTHING: Space = Space { free_bytes: 0, total_bytes: 1 << 40 };
const LITTLE: Space = Space { free_bytes: 1 << 20, total_bytes: 1 << 40 };
const PLENTY: Space = Space { free_bytes: 1 << 39, total_bytes: 1 << 40 };

async fn until_full(cluster: &Cluster, id: u64, full: bool) {
    until("the disk was looked at", || async {
        let status = cluster.status(id).await.map_err(|status| status.to_string())?;
        match status.disk_full == full {
            true => Ok(()),
            false => Err(format!("{} bytes are free", status.disk_free_bytes)),
        }
    })
    .await;
}

async fn replica(cluster: &Cluster, id: u64, shard: u32) -> wire::ReplicaStatus {
    let status = cluster.status(id).await.unwrap();
    status.replicas.into_iter().find(|held| held.shard == shard).expect("it has a replica")
}

async fn applied(cluster: &Cluster, id: u64, least: u64) -> wire::ReplicaStatus {
    until(&format!("node {id} has it all"), || async {
        let now = replica(cluster, id, 1).await;
        let has_all = now.applied_index >= least;
        has_all.then(|| now.clone()).ok_or_else(|| format!("at {}", now.applied_index))
    })
    .await
}

async fn a_follower(cluster: &Cluster, shard: u32) -> u64 {
    let leader = cluster.leader(shard).await;
    (1..=3).find(|id| *id != leader).expect("there are three")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_a_full_disk_gives_way_and_takes_no_writes() {
    let cluster = Plan::new(3, 2).found().await;
    let client = cluster.client();
    bind_all(&client, 0..10).await;
    let full = cluster.leader(1).await;
    cluster.disk(full).set_space(LITTLE);
    until_full(&cluster, full, true).await;
    until("somebody else leads", || async {
        match cluster.leader(1).await {
            leader if leader == full => Err("it still leads".to_owned()),
            _ => Ok(()),
        }
    })
    .await;
    bind_all(&client, 10..20).await;

    // With all disks full nothing is written, and everything can be read.
    for id in 1..=3 {
        cluster.disk(id).set_space(LITTLE);
    }
    for id in 1..=3 {
        until_full(&cluster, id, true).await;
    }
    until("a write is refused for that reason", || async {
        // While leaderships still settle nobody may lead.
        match write(&client, bind(20), Duration::from_secs(2)).await {
            Err(error) if error.to_string().contains("reserve") => Ok(()),
            Err(error) => Err(error.to_string()),
            Ok(reply) => panic!("written: {reply:?}"),
        }
    })
    .await;
    assert_eq!(routes(&client, 0, PATIENCE).await, Ok(1));

    for id in 1..=3 {
        cluster.disk(id).set_space(PLENTY);
    }
    for id in 1..=3 {
        until_full(&cluster, id, false).await;
    }
    bind_all(&client, 20..30).await;
    located_all(&client, 0..30).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_that_did_not_fit_are_made_up_for_when_there_is_room_again() {
    let cluster = Plan::new(3, 1).with(|plan| plan.config.snapshot_log_entries = 50).found().await;
    let client = cluster.client();
    let full = a_follower(&cluster, 1).await;
    cluster.disk(full).set_space(NOTHING);
    until_full(&cluster, full, true).await;
    let before = replica(&cluster, full, 1).await;
    bind_all(&client, 0..200).await;
    let filled = applied(&cluster, full, before.applied_index + 200).await;
    assert_eq!(filled.snapshot_index, before.snapshot_index, "nothing fits");
    let refused = cluster.snapshot(full, 1).await.unwrap_err();
    assert!(refused.message().contains("0 bytes are free"), "{refused}");

    cluster.disk(full).set_space(PLENTY);
    let made_up = until("the snapshot is made up for", || async {
        let now = replica(&cluster, full, 1).await;
        let is_newer = now.snapshot_index >= filled.applied_index;
        is_newer.then(|| now.clone()).ok_or_else(|| format!("it is at {}", now.snapshot_index))
    })
    .await;
    // Log time goes on without anybody writing, far from as many entries as a snapshot takes otherwise.
    let since = made_up.snapshot_index - filled.applied_index;
    assert!(since < 20, "only after {since} more entries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_that_fits_is_written_below_the_reserve_and_lets_the_log_go() {
    let cluster = Plan::new(3, 1).found().await;
    let client = cluster.client();
    bind_all(&client, 0..100).await;
    let full = a_follower(&cluster, 1).await;
    assert_eq!(replica(&cluster, full, 1).await.snapshot_index, 0);
    cluster.disk(full).set_space(LITTLE);
    let saved = |least: u64| {
        let cluster = &cluster;
        until("log was let go up to a snapshot", move || async move {
            let now = replica(cluster, full, 1).await;
            let is_let_go = now.snapshot_index >= least && now.purged_index == now.snapshot_index;
            is_let_go.then(|| now.clone()).ok_or_else(|| {
                format!("at {}: {} of {}", now.purged_index, now.snapshot_index, now.applied_index)
            })
        })
    };
    let first = saved(100).await;
    // So does what operators ask for.
    bind_all(&client, 100..150).await;
    applied(&cluster, full, first.snapshot_index + 50).await;
    let asked = cluster.snapshot(full, 1).await.unwrap();
    assert!(asked >= first.snapshot_index + 50, "{asked} after {first:?}");
    saved(asked).await;
    // Whoever has room keeps its log as it is.
    let leader = cluster.leader(1).await;
    assert_eq!(replica(&cluster, leader, 1).await.purged_index, 0);
    located_all(&client, 0..150).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_that_logs_have_filled_take_writes_again_by_themselves() {
    // The logs of two seconds and more lie between full and nothing left.
    const RESERVE: u64 = 150 << 10;
    let cluster = Plan::new(3, 1).with(|plan| plan.config.disk_reserve_bytes = RESERVE);
    let cluster = cluster.found().await;
    let client = cluster.client();
    for id in 1..=3 {
        cluster.disk(id).set_capacity(2 * RESERVE);
    }
    let (mut refused, mut taken_again, begun) = (false, 0, Instant::now());
    while taken_again < 2 {
        assert!(begun.elapsed() < 2 * PATIENCE, "taken again {taken_again} times only");
        for number in 0..10 {
            match write(&client, bind(number), Duration::from_millis(500)).await {
                Ok(reply) => {
                    assert!(reply.is_ok(), "{reply:?}");
                    taken_again += u64::from(std::mem::take(&mut refused));
                }
                Err(error) => refused |= error.to_string().contains("reserve"),
            }
        }
    }
    located_all(&client, 0..10).await;
}
