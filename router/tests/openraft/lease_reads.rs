//! A leader that trusts its lease although a follower that had granted it forgot so.

use std::time::Duration;

use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use tokio::time::{Instant, sleep};

use crate::cluster::{ALL, Cluster, LEASE, config};

/// The first node leads, and does not know that the second one does: elected by the third, which was restarted
/// within the lease that it had granted, and wrote a word since.
async fn two_leaders() -> Cluster {
    for _ in 0..ROUNDS {
        if let Some(cluster) = try_two_leaders().await {
            return cluster;
        }
    }
    panic!("the machine is too busy for leases of {LEASE:?}");
}

/// How often it is tried: each time it must be faster than a lease.
const ROUNDS: u32 = 10;

async fn try_two_leaders() -> Option<Cluster> {
    let mut cluster = Cluster::founded(config(Some(false))).await;
    cluster.write("old").await;
    cluster
        .until("all hold it", |cluster| ALL.iter().all(|id| cluster.machine(*id).holds("old")))
        .await;
    cluster.net.cut(1, 2);
    // Until the second one owes the leader nothing any more; the third does, with each heartbeat anew.
    sleep(2 * LEASE).await;
    if !cluster.leads(1) || cluster.leads(2) {
        return None;
    }
    let begun = Instant::now();
    cluster.net.cut(1, 3);
    cluster.crash(3).await;
    cluster.start(3).await;
    cluster.core(2).trigger().elect(false).await.unwrap();
    cluster.until("the second one leads", |cluster| cluster.leads(2)).await;
    cluster.core(2).client_write("new".to_owned()).await.unwrap();
    (begun.elapsed() < LEASE / 2).then_some(cluster)
}

/// Should this fail, openraft's leases have become safe: then reads could be had for less.
#[tokio::test]
async fn a_read_by_lease_is_stale_after_a_follower_was_restarted() {
    let cluster = two_leaders().await;
    cluster.core(1).ensure_linearizable(ReadPolicy::LeaseRead).await.unwrap();
    assert!(!cluster.machine(1).holds("new"), "what it would answer");
    assert!(cluster.machine(2).holds("new"), "what was acknowledged before it was asked");
}

#[tokio::test]
async fn a_read_by_index_is_refused_there() {
    let cluster = two_leaders().await;
    let read = cluster.core(1).ensure_linearizable(ReadPolicy::ReadIndex);
    let error = tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap_err();
    let RaftError::APIError(error) = error else { panic!("{error}") };
    assert!(
        matches!(
            error,
            LinearizableReadError::QuorumNotEnough(_) | LinearizableReadError::ForwardToLeader(_)
        ),
        "{error}"
    );
    cluster.net.heal();
    cluster.core(2).ensure_linearizable(ReadPolicy::ReadIndex).await.unwrap();
}
