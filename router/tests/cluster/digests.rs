//! Replicas that have applied the same hold the same, however they got it.

use std::collections::BTreeMap;

use orrery_model::command::{Command, RouteName, Unbind};
use orrery_model::{Conn, ShardId};
use orrery_router_client::cluster::{ClusterClient, ShardDigest};
use tokio::time::Instant;

use crate::cluster::{Cluster, PATIENCE, Plan, until};
use crate::users::{bind_all, comet, user, write};

fn operator(cluster: &Cluster) -> ClusterClient {
    let nodes = cluster.running().into_iter().map(|id| cluster.registry(id)).collect();
    let config = orrery_router_client::Config { nodes, ..Default::default() };
    ClusterClient::new(&config, cluster.host())
}

/// Waits until all replicas of all shards stand at the same index, and gives what they are there.
async fn digests(cluster: &Cluster) -> BTreeMap<ShardId, Vec<ShardDigest>> {
    let operator = operator(cluster);
    until("the replicas of each shard stand at one index", || async {
        let mut shards: BTreeMap<ShardId, Vec<ShardDigest>> = BTreeMap::new();
        for id in cluster.running() {
            let registry = cluster.registry(id);
            let told = operator.digests(&registry, &[], Instant::now() + PATIENCE);
            for told in told.await.map_err(|error| error.to_string())? {
                shards.entry(told.shard).or_default().push(told);
            }
        }
        match shards.values().all(|told| told.iter().all(|one| one.index == told[0].index)) {
            true => Ok(shards),
            false => Err(format!("{shards:?}")),
        }
    })
    .await
}

/// Checks that each shard has so many replicas, and that they are equal.
async fn all_agree(cluster: &Cluster, replicas: usize) {
    for (shard, told) in digests(cluster).await {
        assert_eq!(told.len(), replicas, "replicas of shard {shard}");
        assert!(told.iter().all(|one| *one == told[0]), "shard {shard}: {told:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_replicas_of_a_cluster_agree_and_those_that_restored_a_snapshot_too() {
    let plan = Plan::new(3, 2).with(|plan| {
        plan.config.snapshot_log_entries = 50;
        plan.config.log_keep_entries = 5;
        plan.config.purge_batch_entries = 1;
    });
    let mut cluster = plan.found().await;
    let client = cluster.client();
    bind_all(&client, 0..20).await;
    all_agree(&cluster, 3).await;

    // One is away for longer than the log goes back: it is brought a snapshot, with marks in it.
    let leader = cluster.leader(1).await;
    let behind = (1..=3).find(|id| *id != leader).unwrap();
    cluster.kill(behind);
    bind_all(&client, 20..200).await;
    for number in 0..10 {
        let unbind = Unbind {
            address: user(number),
            comet: comet(1),
            route: RouteName::Conn(Conn(1_000_000 + number)),
            settled: Conn(0),
        };
        write(&client, Command::Unbind(unbind), PATIENCE).await.unwrap().unwrap();
    }
    let before = digests(&cluster).await;
    cluster.start(behind).await;
    cluster.ready().await;
    all_agree(&cluster, 3).await;

    // All are made again from what their disks hold.
    for id in 1..=3 {
        cluster.kill(id);
    }
    for id in 1..=3 {
        cluster.start(id).await;
    }
    cluster.ready().await;
    all_agree(&cluster, 3).await;
    bind_all(&cluster.client(), 200..210).await;
    let after = digests(&cluster).await;
    for (shard, told) in before {
        assert_ne!(told[0].digest, after[&shard][0].digest, "shard {shard} has changed");
    }
}
