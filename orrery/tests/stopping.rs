//! What processes say while nothing is wrong, and when they are stopped in order: nothing that somebody would
//! have to look at, and nothing twice.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::collections::BTreeSet;

use rustix::process::Signal;
use tempfile::TempDir;

use support::Dev;
use support::cluster::{Router, addresses, ctl};

/// The lines of a log that ask for attention.
fn complaints(log: &str) -> Vec<&str> {
    let complains = |line: &&str| [" ERROR ", " WARN "].iter().any(|level| line.contains(level));
    log.lines().filter(complains).collect()
}

/// Who led which shard in which term, as each life of a node has logged it.
fn leaderships(log: &str) -> Vec<Vec<&str>> {
    let lives = log.split("router node started").skip(1);
    let told = |line: &&str| line.contains("shard leadership");
    lives.map(|life| life.lines().filter(told).filter_map(after_time).collect()).collect()
}

fn after_time(line: &str) -> Option<&str> {
    line.split_once(' ').map(|(_, rest)| rest)
}

#[tokio::test]
async fn nodes_that_stop_in_order_complain_of_nothing_and_repeat_nothing() {
    let folder = TempDir::new().unwrap();
    let mut routers = [1, 2, 3].map(|id| Router::new(folder.path(), id));
    for router in &mut routers {
        router.log = Some(folder.path().join(format!("log-{}", router.id)));
        router.start().await;
    }
    let all = addresses(&routers);
    ctl(&all, &["cluster", "bootstrap", "--nodes", &all, "--shards", "16"]).await;
    for router in &routers {
        router.ready().await;
    }
    // Each of a healthy cluster in turn, then all at once: the last ones have nobody to hand over to.
    for router in &mut routers {
        router.end().await;
        router.start().await;
        router.ready().await;
    }
    for router in &routers {
        router.signal(Signal::TERM);
    }
    for router in &mut routers {
        router.ended().await;
    }
    for router in &routers {
        let log = std::fs::read_to_string(router.log.as_ref().unwrap()).unwrap();
        assert!(log.contains("router node stopped"), "it logs what it does: {log}");
        assert_eq!(complaints(&log), [""; 0], "router {}", router.id);
        let lives = leaderships(&log);
        assert_eq!(lives.len(), 2, "{log}");
        for told in lives {
            let once: BTreeSet<_> = told.iter().collect();
            // Each node holds all shards.
            assert!(told.len() >= 17 && once.len() == told.len(), "router {}: {told:?}", router.id);
            let known = |line: &&str| line.contains("leader=") && !line.contains("term=0");
            assert!(told.iter().all(known), "{told:?}");
        }
    }
}

#[tokio::test]
async fn a_whole_cluster_in_one_process_ends_without_a_complaint() {
    let data = TempDir::new().unwrap();
    let dev = Dev::start(data.path(), &["--nodes", "3"]).await;
    // It logs nothing but complaints.
    assert_eq!(dev.interrupt().await, "");
}
