//! What operators meet when something is not as they believe: `orrery ctl` says so, names it, and changes
//! nothing.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use support::cluster::{Router, Told, addresses, ctl, start, try_ctl};
use support::{DEADLINE, free, http, orrery, output};

/// What a command takes at most that has nothing to wait for: far less than the minute it may wait.
const AT_ONCE: Duration = Duration::from_secs(30);

async fn founded<const N: usize>(folder: &TempDir, more: &[&str]) -> ([Router; N], String) {
    let routers = start(folder.path(), std::array::from_fn(|index| index as u64 + 1)).await;
    let all = addresses(&routers);
    ctl(&all, &[&["cluster", "bootstrap", "--nodes", &all], more].concat()).await;
    (routers, all)
}

/// Runs a command that is refused with these words.
async fn refused(routers: &str, arguments: &[&str], words: &str) {
    let told = try_ctl(routers, arguments).await;
    assert!(told.code == 1 && told.stderr.contains(words), "{arguments:?}: {told:?}");
}

async fn node(routers: &str, id: u64) -> Value {
    let told = ctl(routers, &["cluster", "nodes"]).await;
    let nodes = told["nodes"].as_array().unwrap();
    nodes.iter().find(|row| row["node"] == id).unwrap_or(&Value::Null).clone()
}

/// What a command says to people.
async fn text(routers: &str, arguments: &[&str]) -> String {
    let told = output(orrery(&[&["ctl", "--router", routers], arguments].concat())).await;
    assert!(told.status.success(), "{told:?}");
    String::from_utf8(told.stdout).unwrap()
}

async fn stop(routers: impl IntoIterator<Item = Router>) {
    for router in routers {
        router.stop().await;
    }
}

#[tokio::test]
async fn only_a_newcomer_takes_a_nodes_place_and_doing_so_may_be_repeated() {
    let folder = TempDir::new().unwrap();
    let ([one, two, mut three], all) = founded(&folder, &["--shards", "1"]).await;
    refused(&all, &["node", "replace", "3", &three.registry.to_string()], "node 3 itself").await;
    refused(&all, &["node", "replace", "3", &one.registry.to_string()], "was founded").await;
    assert_eq!(node(&all, 3).await["state"], "active");

    let mut four = Router::new(folder.path(), 4);
    four.start().await;
    let newcomer = four.registry.to_string();
    for _ in 0..2 {
        ctl(&all, &["node", "replace", "3", &newcomer]).await;
        let status = ctl(&all, &["cluster", "status"]).await;
        assert_eq!(
            (&status["healthy"], &status["removed_nodes"][0], &status["replicas"]),
            (&true.into(), &3.into(), &3.into()),
            "{status}"
        );
        assert_eq!(node(&all, 4).await["replicas"], 2);
    }
    assert!(!three.succeeded().await, "a node that was removed ends with an error");
    let mut five = Router::new(folder.path(), 5);
    five.start().await;
    let late = five.registry.to_string();
    refused(&all, &["node", "replace", "3", &late], "removed already").await;
    assert_eq!(node(&all, 5).await, Value::Null);
    stop([one, two, four, five]).await;
}

#[tokio::test]
async fn what_a_node_was_told_earlier_is_not_forgotten_by_the_next_command() {
    let folder = TempDir::new().unwrap();
    let more = ["--shards", "1", "--replicas", "2"];
    let ([one, two, mut three], all) = founded(&folder, &more).await;
    let shards = ctl(&all, &["cluster", "shards"]).await;
    let mut placed = shards["shards"][1]["placement"].as_array().unwrap().clone();
    placed.sort_by_key(Value::as_u64);
    assert_eq!(placed, [1, 3], "{shards}");

    // Shard 1 could only go to a node that takes nothing while it is draining.
    ctl(&all, &["node", "drain", "2"]).await;
    ctl(&all, &["node", "remove", "3", "--no-wait"]).await;
    refused(&all, &["node", "drain", "3"], "node 3 is leaving").await;
    refused(&all, &["node", "add", &three.registry.to_string()], "node 3 is leaving").await;
    assert_eq!(node(&all, 3).await["state"], "leaving");
    let begun = Instant::now();
    refused(&all, &["leader", "move", "1", "3"], "node 3 is leaving").await;
    refused(&all, &["leader", "move", "control", "2"], "node 2 is draining").await;
    refused(&all, &["leader", "move", "control", "3"], "no replica of shard control").await;
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    ctl(&all, &["node", "drain", "3", "--undo"]).await;
    ctl(&all, &["node", "drain", "2", "--undo"]).await;
    for id in [2, 3] {
        assert_eq!(node(&all, id).await["state"], "active");
    }

    // One that is dead is named, and keeps nothing from being done at the others.
    three.kill().await;
    let begun = Instant::now();
    let told = try_ctl(&all, &["leader", "move", "1", "3"]).await;
    assert!(told.code == 3 && told.stderr.contains("node 3: "), "{told:?}");
    let Told { code, json, stderr } = try_ctl(&all, &["snapshot", "control"]).await;
    assert!(code == 3 && stderr.contains("node 3: "), "{stderr}");
    assert_eq!((&json["exit_code"], json["snapshots"].as_array().unwrap().len()), (&3.into(), 2));
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    stop([one, two]).await;
}

#[tokio::test]
async fn too_few_nodes_for_all_replicas_are_chosen_on_purpose_and_not_called_healthy() {
    let folder = TempDir::new().unwrap();
    let ([one, two, mut three], all) = founded(&folder, &["--shards", "2"]).await;
    refused(&all, &["node", "remove", "3"], "--fewer-replicas").await;
    assert_eq!(node(&all, 3).await["state"], "active");
    ctl(&all, &["node", "remove", "3", "--fewer-replicas"]).await;
    assert!(!three.succeeded().await, "a node that was removed ends with an error");
    let status = ctl(&all, &["cluster", "status"]).await;
    assert_eq!(
        (&status["healthy"], &status["replicas"], &status["replicas_wanted"]),
        (&false.into(), &2.into(), &3.into()),
        "{status}"
    );
    let told = text(&all, &["cluster", "status"]).await;
    assert!(told.contains("replicas 2 (3 wanted)\n"), "{told}");
    assert!(told.contains("PROBLEM  3 shards have fewer than 3 replicas"), "{told}");

    // Another node gives them back.
    let mut four = Router::new(folder.path(), 4);
    four.start().await;
    ctl(&all, &["node", "add", &four.registry.to_string()]).await;
    whole(&all, 3).await;
    stop([one, two, four]).await;
}

/// Waits until the cluster is healthy with so many replicas.
async fn whole(all: &str, replicas: u64) {
    let whole = async {
        loop {
            let status = ctl(all, &["cluster", "status"]).await;
            if (&status["healthy"], &status["replicas"]) == (&true.into(), &replicas.into()) {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, whole).await.expect("the cluster becomes whole");
}

#[tokio::test]
async fn cluster_that_began_with_one_node_gets_more_replicas_with_more_nodes() {
    let folder = TempDir::new().unwrap();
    let ([one], all) = founded(&folder, &["--shards", "2"]).await;
    let mut more = [Router::new(folder.path(), 2), Router::new(folder.path(), 3)];
    for router in &mut more {
        router.start().await;
        ctl(&all, &["node", "add", &router.registry.to_string()]).await;
    }
    refused(&all, &["cluster", "replicas", "4"], "do not fit on 3 active nodes").await;
    let status = ctl(&all, &["cluster", "replicas", "3"]).await;
    assert_eq!(
        (&status["healthy"], &status["replicas"], &status["replicas_wanted"]),
        (&true.into(), &3.into(), &3.into()),
        "{status}"
    );
    let shards = ctl(&all, &["cluster", "shards"]).await;
    for row in shards["shards"].as_array().unwrap() {
        assert_eq!(row["voters"], serde_json::json!([1, 2, 3]), "{shards}");
    }
    // What it was given it keeps: to have less is a decision again.
    refused(&all, &["node", "remove", "3"], "--fewer-replicas").await;
    let status = ctl(&all, &["cluster", "replicas", "2"]).await;
    assert_eq!((&status["healthy"], &status["replicas"]), (&true.into(), &2.into()), "{status}");
    stop(more.into_iter().chain([one])).await;
}

#[tokio::test]
async fn leaders_are_spread_when_that_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let (routers, all) = founded::<3>(&folder, &["--shards", "5"]).await;
    ctl(&all, &["node", "drain", "1"]).await;
    assert_eq!(node(&all, 1).await["leads"], 0);
    ctl(&all, &["node", "drain", "1", "--undo"]).await;
    let balanced = ctl(&all, &["leader", "balance"]).await;
    let shards = ctl(&all, &["cluster", "shards"]).await;
    for moved in balanced["moved"].as_array().unwrap() {
        let row = &shards["shards"][usize::try_from(moved["shard"].as_u64().unwrap()).unwrap()];
        assert_eq!(row["leader"], moved["leader"], "{balanced} {shards}");
    }
    for id in 1..=3 {
        assert_eq!(node(&all, id).await["leads"], 2, "{balanced} {shards}");
    }
    let told = text(&all, &["cluster", "shards"]).await;
    assert!(told.lines().nth(1).unwrap().trim_start().starts_with("control "), "{told}");
    let leader = shards["shards"][0]["leader"].as_u64().unwrap();
    let told = text(&all, &["leader", "move", "control", &(leader % 3 + 1).to_string()]).await;
    assert!(told.contains("control"), "{told}");
    stop(routers).await;
}

#[tokio::test]
async fn address_that_is_no_routers_registry_is_named() {
    let folder = TempDir::new().unwrap();
    let ([one], all) = founded(&folder, &["--shards", "1"]).await;
    let mut two = Router::new(folder.path(), 2);
    two.start().await;
    let told = |address: String| {
        let all = all.clone();
        async move {
            let told = try_ctl(&all, &["--timeout", "6", "node", "add", &address]).await;
            let what = format!("{address} does not answer as a router's registry: ");
            assert!(told.code == 3 && told.stderr.contains(&what), "{told:?}");
            assert!(told.stderr.starts_with("orrery: waiting: "), "{told:?}");
            assert_eq!(told.stderr.lines().count(), 2, "{told:?}");
        }
    };
    let wrong = [two.peers, two.admin, free()].map(|address| told(address.to_string()));
    futures_util::future::join_all(wrong).await;
    stop([one, two]).await;
}

#[tokio::test]
async fn node_without_cluster_is_told_from_one_without_leader() {
    let folder = TempDir::new().unwrap();
    let [one] = start(folder.path(), [1]).await;
    let all = one.registry.to_string();
    assert_eq!(http(one.admin, "GET", "/livez", "").await.0, 200, "it lives");
    assert_eq!(http(one.admin, "GET", "/readyz", "").await.0, 503, "but cannot serve");
    let nobody = free().to_string();
    for arguments in [
        &["cluster", "status"][..],
        &["node", "add", &nobody],
        &["locate", "u"],
        &["--timeout", "1", "cluster", "status"],
    ] {
        let told = try_ctl(&all, arguments).await;
        let what = format!("{all} belongs to no cluster; see `orrery ctl cluster bootstrap`");
        assert!(told.code == 3 && told.stderr.contains(&what), "{arguments:?}: {told:?}");
    }
    let told = try_ctl(&nobody, &["--timeout", "1", "cluster", "status"]).await;
    let what = format!("no router node answers: {nobody}: ");
    assert!(told.code == 3 && told.stderr.contains(&what), "{told:?}");
    one.stop().await;
}

#[tokio::test]
async fn node_that_lost_its_disk_is_named_with_what_to_do() {
    let folder = TempDir::new().unwrap();
    let ([one, two, mut three], all) = founded(&folder, &["--shards", "1"]).await;
    three.kill().await;
    std::fs::remove_dir_all(folder.path().join("router-3")).unwrap();
    three.start().await;
    let address = three.registry.to_string();
    let what = format!("{address} is node 3, but lost its disk");
    let status = ctl(&all, &["cluster", "status"]).await;
    let problem = status["problems"][0].as_str().unwrap();
    assert!(problem.contains(&what) && problem.contains("node replace 3"), "{status}");
    refused(&all, &["cluster", "bootstrap", "--nodes", &all], &what).await;
    refused(&all, &["node", "add", &address], &what).await;
    refused(&all, &["node", "replace", "3", &address], &what).await;
    assert_eq!(node(&all, 3).await["state"], "active");
    stop([one, two, three]).await;
}
