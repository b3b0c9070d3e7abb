//! Nodes that cannot become a cluster, or not yet, are named with the reason.

use orrery_host::Host;
use orrery_model::cluster::{Counters, Placement};
use orrery_model::control::Found;
use orrery_model::{NodeId, ShardId, ring};
use orrery_router_client::Config;
use orrery_router_client::cluster::{Adoption, ClusterClient};
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use crate::support::DEADLINE;
use crate::support::cluster::{Router, addresses, ctl, start, try_ctl};

#[tokio::test]
async fn nodes_that_cannot_become_a_cluster_are_named() {
    let folder = TempDir::new().unwrap();
    let [one] = start(folder.path(), [1]).await;
    let mut twin = Router::at(folder.path().join("twin"), 1);
    twin.start().await;
    let all = format!("{},{}", one.registry, twin.registry);
    let told = try_ctl(&all, &["cluster", "bootstrap", "--nodes", &all]).await;
    assert!(told.code == 1 && told.stderr.contains("both are node 1"), "{told:?}");
    let twice = format!("{},{}", one.registry, one.registry);
    let told = try_ctl(&all, &["cluster", "bootstrap", "--nodes", &twice]).await;
    assert!(told.code == 2 && told.stderr.contains("named twice"), "{told:?}");
    let alone = one.registry.to_string();
    let arguments = ["cluster", "bootstrap", "--nodes", &alone, "--replicas", "3"];
    let told = try_ctl(&all, &arguments).await;
    assert!(told.code == 2 && told.stderr.contains("3 replicas"), "{told:?}");

    ctl(&alone, &["cluster", "bootstrap", "--nodes", &alone, "--shards", "1"]).await;
    // The same number, another directory: what was promised there is lost.
    let told = try_ctl(&alone, &["cluster", "bootstrap", "--nodes", &alone, "--shards", "1"]).await;
    assert_eq!(told.code, 0, "{told:?}");
    one.stop().await;
    let told =
        try_ctl(&alone, &["node", "add", &twin.registry.to_string(), "--timeout", "2"]).await;
    assert_eq!(told.code, 3, "nobody is there: {told:?}");
    twin.stop().await;
}

#[tokio::test]
async fn node_that_lost_its_disk_is_refused_under_its_old_number() {
    let folder = TempDir::new().unwrap();
    let [one, mut two] = start(folder.path(), [1, 2]).await;
    let all = format!("{},{}", one.registry, two.registry);
    ctl(&all, &["cluster", "bootstrap", "--nodes", &all, "--shards", "1"]).await;
    two.kill().await;
    std::fs::remove_dir_all(folder.path().join("router-2")).unwrap();
    two.start().await;
    let told = try_ctl(&all, &["cluster", "bootstrap", "--nodes", &all]).await;
    assert!(told.code == 1 && told.stderr.contains("lost its disk"), "{told:?}");
    two.kill().await;
    drop(one);
}

#[tokio::test]
async fn cluster_whose_founding_was_cut_short_says_by_whom() {
    let folder = TempDir::new().unwrap();
    let mut routers = start(folder.path(), [1, 2, 3]).await;
    let all = addresses(&routers);
    let config = Config { nodes: all.split(',').map(str::to_owned).collect(), ..Config::default() };
    let cluster = ClusterClient::new(&config, Host::system());
    let soon = || Instant::now() + DEADLINE;
    let mut nodes = Vec::new();
    for router in &routers {
        nodes.push(cluster.describe(&router.registry.to_string(), soon()).await.unwrap().node);
    }
    let place = |shard, replicas: [u64; 3]| Placement {
        shard: ShardId(shard),
        version: 1,
        replicas: replicas.map(NodeId).into(),
    };
    let plan = Found {
        cluster_id: "cut-short".to_owned(),
        nodes: nodes.clone(),
        table: ring::propose(1, &[ShardId(1), ShardId(2)]).unwrap(),
        placements: vec![place(0, [1, 2, 3]), place(1, [2, 1, 3]), place(2, [3, 1, 2])],
        counters: Counters::default(),
    };
    for node in &nodes[..2] {
        let adoption = Adoption {
            cluster_id: plan.cluster_id.clone(),
            node: node.id,
            instance: node.instance.clone(),
            shards: 2,
            founding: Some(plan.clone()),
        };
        cluster.adopt(&node.registry, &adoption, "a test", soon()).await.unwrap();
    }
    // Its disk is lost before it has begun the shard that it was to begin.
    routers[2].kill().await;
    std::fs::remove_dir_all(folder.path().join("router-3")).unwrap();
    let others_lead = async {
        loop {
            let told = try_ctl(&all, &["cluster", "status"]).await;
            let shards = told.json["shards"].as_array().cloned().unwrap_or_default();
            if shards.iter().filter(|row| !row["leader"].is_null()).count() == 2 {
                return told;
            }
        }
    };
    let told = timeout(DEADLINE, others_lead).await.expect("the other shards have leaders");
    assert_eq!(told.json["healthy"], false, "{told:?}");
    let problems = told.json["problems"].to_string();
    let wanted = ["shard 2 was not begun yet", "node 3", "wipe all nodes and bootstrap again"];
    assert!(wanted.iter().all(|part| problems.contains(part)), "{problems}");

    let two = addresses(&routers[..2]);
    let told = try_ctl(&two, &["--timeout", "2", "cluster", "bootstrap", "--nodes", &two]).await;
    assert_eq!(told.code, 3, "{told:?}");
    assert!(wanted.iter().all(|part| told.stderr.contains(part)), "{told:?}");
    drop(routers);
}
