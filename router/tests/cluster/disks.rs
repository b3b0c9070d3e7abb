//! Disks that fill up.

use std::time::Duration;

use orrery_router_store::Space;

use crate::cluster::{Cluster, PATIENCE, Plan, bind, bind_all, located_all, routes, until, write};

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
