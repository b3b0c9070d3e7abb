//! Snapshots and purged logs.

use std::sync::Arc;

use orrery_model::ShardId;
use orrery_router::Config;
use orrery_router_store::model::ModelDisk;
use orrery_router_store::{Store, StoreError};

use crate::node::{Node, SHARDS, config, disk, identity, until, user};

fn config_with_small_logs() -> Config {
    Config { snapshot_log_entries: 40, log_keep_entries: 5, purge_batch_entries: 1, ..config() }
}

async fn fill_until_purged(
    node: &Node,
    store: &Arc<dyn Store>,
) -> Vec<(orrery_model::Address, u64)> {
    let mut bound = Vec::new();
    let purged = |shard| -> Result<bool, StoreError> {
        Ok(store.snapshot(shard)?.is_some() && store.log_state(shard)?.purged_index > 0)
    };
    // Every bind waits for the one before, so each is an entry of its own.
    for number in 0..2000 {
        let user = user(format!("user-{number}"));
        let seq = node.bind(&user, "comet-a", number).await.seq;
        bound.push((user, seq));
        if number % 50 == 0 && (1..=SHARDS).all(|shard| purged(ShardId(shard)).unwrap()) {
            return bound;
        }
    }
    panic!("no shard's log is ever purged");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_restarts_from_snapshots_and_the_rest_of_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = disk(directory.path()).await;
    let node = Node::start_with(config_with_small_logs(), store.clone()).await;
    let bound = fill_until_purged(&node, &store).await;
    node.kill();
    drop(store);

    let store = disk(directory.path()).await;
    let node = Node::start_with(config_with_small_logs(), store).await;
    for (user, seq) in &bound {
        assert_eq!(node.locate(user).await, [*seq]);
    }
    let (user, seq) = bound.last().unwrap();
    assert!(node.bind(user, "comet-a", 9999).await.seq > *seq);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_cut_after_a_purge_loses_nothing() {
    let disk = ModelDisk::new(identity());
    let store: Arc<dyn Store> = Arc::new(disk.open().unwrap());
    let node = Node::start_with(config_with_small_logs(), store.clone()).await;
    let bound = fill_until_purged(&node, &store).await;
    disk.crash(|_| 0);
    node.kill();
    drop(store);

    let store = until("the disk is free", || std::future::ready(disk.open().ok())).await;
    let node = Node::start_with(config_with_small_logs(), Arc::new(store)).await;
    for (user, seq) in &bound {
        assert_eq!(node.locate(user).await, [*seq]);
    }
}
