//! Snapshots and purged logs.

use std::sync::Arc;

use orrery_proto::cluster::StatusRequest;
use orrery_proto::cluster::cluster_client::ClusterClient;
use orrery_router::Config;

use crate::node::{Node, channel, config, directory, model, user};

fn config_with_small_logs() -> Config {
    Config { snapshot_log_entries: 40, log_keep_entries: 5, purge_batch_entries: 1, ..config() }
}

async fn fill_until_purged(node: &Node) -> Vec<(orrery_model::Address, u64)> {
    let mut bound = Vec::new();
    let mut cluster = ClusterClient::new(channel(&node.handle));
    // Every bind waits for the one before, so each is an entry of its own.
    for number in 0..2000 {
        let user = user(format!("user-{number}"));
        let seq = node.bind(&user, "comet-a", number).await.seq;
        bound.push((user, seq));
        if number % 50 == 0 {
            let status = cluster.status(StatusRequest {}).await.unwrap().into_inner();
            let mut data = status.replicas.iter().filter(|replica| replica.shard > 0);
            if data.all(|replica| replica.snapshot_index > 0 && replica.purged_index > 0) {
                return bound;
            }
        }
    }
    panic!("no shard's log is ever purged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_restarts_from_snapshots_and_the_rest_of_the_log() {
    let held = tempfile::tempdir().unwrap();
    let node = Node::start_with(config_with_small_logs(), directory(held.path())).await;
    let bound = fill_until_purged(&node).await;
    node.kill();

    let node = Node::start_with(config_with_small_logs(), directory(held.path())).await;
    for (user, seq) in &bound {
        assert_eq!(node.locate(user).await, [*seq]);
    }
    let (user, seq) = bound.last().unwrap();
    assert!(node.bind(user, "comet-a", 9999).await.seq > *seq);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_after_a_purge_loses_nothing() {
    let disk = Arc::new(model());
    let node = Node::start_with(config_with_small_logs(), disk.clone()).await;
    let bound = fill_until_purged(&node).await;
    disk.crash(|_| 0);
    node.kill();

    let node = Node::start_with(config_with_small_logs(), disk).await;
    for (user, seq) in &bound {
        assert_eq!(node.locate(user).await, [*seq]);
    }
}
