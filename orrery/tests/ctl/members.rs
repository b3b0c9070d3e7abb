//! A cluster's life: founded, one node dies, leaders move, nodes come and go.

use serde_json::Value;
use tempfile::TempDir;

use crate::comets::{attach, bind, client};
use crate::support::cluster::{Router, addresses, ctl, start, try_ctl};

fn shard(status: &Value, shard: u64) -> &Value {
    let shards = status["shards"].as_array().unwrap();
    shards.iter().find(|row| row["shard"] == shard).unwrap()
}

#[tokio::test]
async fn three_processes_become_a_cluster_that_survives_the_death_of_one() {
    let folder = TempDir::new().unwrap();
    let mut routers = start(folder.path(), [1, 2, 3]).await;
    let all = addresses(&routers);
    let waiting = try_ctl(&all, &["--timeout", "2", "cluster", "status"]).await;
    assert_eq!(waiting.code, 3, "there is no cluster yet: {waiting:?}");

    let founded = ctl(&all, &["cluster", "bootstrap", "--nodes", &all, "--shards", "4"]).await;
    assert_eq!(
        (&founded["healthy"], founded["nodes"].as_array().unwrap().len()),
        (&true.into(), 3)
    );
    let again = ctl(&all, &["cluster", "bootstrap", "--nodes", &all]).await;
    assert_eq!(again["cluster_id"], founded["cluster_id"], "a repeat changes nothing");
    let other = try_ctl(&all, &["cluster", "bootstrap", "--nodes", &all, "--shards", "5"]).await;
    assert!(other.code == 1 && other.stderr.contains("founded with 4"), "{other:?}");

    let client = client(&all);
    let comet = attach(&client, 1).await;
    for conn in 1..=20 {
        bind(&client, &comet, &format!("u{conn}"), conn).await;
    }
    let listed = ctl(&all, &["cluster", "comets"]).await;
    assert_eq!(listed["comets"][0]["comet"], "comet-1", "{listed}");
    let located = ctl(&all, &["locate", "u7"]).await;
    assert_eq!(located["routes"][0]["conn"], 7, "{located}");
    assert_eq!(ctl(&all, &["locate", "--key", "u7"]).await["routes"], Value::Array(Vec::new()));

    let digests = ctl(&all, &["cluster", "digests"]).await;
    let digests = digests["digests"].as_array().unwrap();
    assert_eq!(digests.len(), 5 * 3, "{digests:?}");
    assert!(digests.iter().all(|replica| replica["verdict"] == "equal"), "{digests:?}");

    // Whichever dies, what it knew is known by the others.
    routers[0].kill().await;
    for conn in 21..=40 {
        bind(&client, &comet, &format!("u{conn}"), conn).await;
    }
    let located = ctl(&all, &["locate", "u7"]).await;
    assert_eq!(located["routes"][0]["conn"], 7, "{located}");
    let status = ctl(&all, &["cluster", "status"]).await;
    assert_eq!(status["healthy"], false, "{status}");
    assert_eq!(status["nodes"][0]["reachable"], false, "{status}");

    routers[0].start().await;
    routers[0].ready().await;
    let members = ctl(&all, &["cluster", "members"]).await;
    assert_eq!(members["members"].as_array().unwrap().len(), 5 * 3, "{members}");
    for router in routers {
        router.stop().await;
    }
}

#[tokio::test]
async fn leaders_move_and_nodes_come_and_go() {
    let folder = TempDir::new().unwrap();
    let routers = start(folder.path(), [1, 2, 3]).await;
    let all = addresses(&routers);
    ctl(&all, &["cluster", "bootstrap", "--nodes", &all, "--shards", "2"]).await;

    let shards = ctl(&all, &["cluster", "shards"]).await;
    let leader = shard(&shards, 1)["leader"].as_u64().unwrap();
    let next = leader % 3 + 1;
    ctl(&all, &["leader", "move", "1", &next.to_string()]).await;
    let shards = ctl(&all, &["cluster", "shards"]).await;
    assert_eq!(shard(&shards, 1)["leader"], next, "{shards}");
    ctl(&all, &["node", "drain", "2"]).await;
    let nodes = ctl(&all, &["cluster", "nodes"]).await;
    assert_eq!(
        (&nodes["nodes"][1]["state"], &nodes["nodes"][1]["leads"]),
        (&"draining".into(), &0.into())
    );
    ctl(&all, &["node", "drain", "2", "--undo"]).await;
    ctl(&all, &["leader", "balance"]).await;
    let made = ctl(&all, &["snapshot", "--node", "3", "0", "1"]).await;
    assert_eq!(made["snapshots"].as_array().unwrap().len(), 2, "{made}");

    let mut four = Router::new(folder.path(), 4);
    four.start().await;
    ctl(&all, &["node", "add", &four.registry.to_string()]).await;
    four.ready().await;
    let nodes = ctl(&all, &["cluster", "nodes"]).await;
    let held = nodes["nodes"][3]["replicas"].as_u64().unwrap();
    assert!(held >= 2, "9 replicas are spread over 4 nodes: {nodes}");
    // Its number was given away for good.
    let mut imposter = Router::at(folder.path().join("imposter"), 4);
    imposter.start().await;
    let told = try_ctl(&all, &["node", "add", &imposter.registry.to_string()]).await;
    assert!(told.code == 1 && told.stderr.contains("new node id"), "{told:?}");
    imposter.stop().await;

    ctl(&all, &["node", "remove", "4"]).await;
    let status = ctl(&all, &["cluster", "status"]).await;
    assert_eq!(
        (&status["healthy"], &status["removed_nodes"][0]),
        (&true.into(), &4.into()),
        "{status}"
    );
    assert!(!four.succeeded().await, "a node that was removed ends with an error");
    for router in routers {
        router.stop().await;
    }
}
