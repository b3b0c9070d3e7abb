//! Snapshots and purged logs.

use std::sync::Arc;

use orrery_host::Host;
use orrery_model::ShardId;
use orrery_proto::cluster::StatusRequest;
use orrery_proto::cluster::cluster_client::ClusterClient;
use orrery_router::Config;
use orrery_router_store::{Disk, Opened, Write, WriteBatch};
use tokio::time::timeout;

use crate::node::{Node, PATIENCE, channel, config, directory, model, user};

pub(crate) fn config_with_small_logs() -> Config {
    Config { snapshot_log_entries: 40, log_keep_entries: 5, purge_batch_entries: 1, ..config() }
}

pub(crate) async fn fill_until_purged(node: &Node) -> Vec<(orrery_model::Address, u64)> {
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

/// What a directory holds of the logs and votes, in another one; of the snapshots all but `without`. What is
/// known to be committed is not there, as before it was first noted.
fn copy_but(from: &Arc<dyn Disk>, to: &Arc<dyn Disk>, without: Option<ShardId>) {
    let Opened::Member(from) = from.open().unwrap() else { panic!("it is a member") };
    let to = to.adopt(from.identity().clone()).unwrap();
    for shard in (0..=from.identity().shards).map(ShardId) {
        let log = from.log_state(shard).unwrap();
        let mut writes = Vec::new();
        writes.extend(from.vote(shard).unwrap().map(Write::Vote));
        if let Some(position) = log.purged {
            writes.push(Write::Purge { index: log.purged_index, position });
        }
        if !log.empty {
            // A log that was never purged begins with entry 0.
            let first = if log.purged_index == 0 { 0 } else { log.purged_index + 1 };
            let entries = from.entries(shard, first, log.last_index + 1, usize::MAX).unwrap();
            writes.push(Write::Append(entries));
        }
        let writes = writes.into_iter().map(|write| (shard, write)).collect();
        to.write(WriteBatch { writes }).unwrap();
        if without == Some(shard) {
            continue;
        }
        if let Some(mut snapshot) = from.snapshot(shard).unwrap() {
            let mut writer = to.begin_snapshot(shard, snapshot.meta().clone()).unwrap();
            while let Some(record) = snapshot.next_record().unwrap() {
                writer.record(&record).unwrap();
            }
            writer.finish().unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purged_log_without_its_snapshot_is_refused_by_name() {
    let held = tempfile::tempdir().unwrap();
    let disk = |name: &str| directory(&held.path().join(name));
    let node = Node::start_with(config_with_small_logs(), disk("first")).await;
    let bound = fill_until_purged(&node).await;
    node.stop().await;
    for (name, without) in [("whole", None), ("without", Some(ShardId(2)))] {
        copy_but(&disk("first"), &disk(name), without);
    }

    let start = orrery_router::start(config_with_small_logs(), Host::system(), disk("without"));
    let handle = start.await.unwrap();
    let reason = timeout(PATIENCE, handle.failed()).await.expect("it ends itself");
    assert!(reason.contains("shard 2 is corrupt"), "{reason}");
    assert!(reason.contains("no snapshot"), "{reason}");
    drop(handle);
    let node = Node::start_with(config_with_small_logs(), disk("whole")).await;
    for (user, seq) in &bound {
        assert_eq!(node.locate(user).await, [*seq]);
    }
}
