//! `orrery ctl` against router processes.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use orrery_host::Host;
use orrery_model::command::{Bind, Command, Outcome};
use orrery_model::control::{Advertise, Attach};
use orrery_model::{Address, CometRef, Conn, Details, Id, Incarnation, Policy, Seq};
use orrery_router_client::{Client, Config};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use support::cluster::{Router, addresses, ctl, start, try_ctl};
use support::{DEADLINE, orrery, output};

fn client(routers: &str) -> Client {
    let nodes = routers.split(',').map(str::to_owned).collect();
    Client::new(Config { nodes, ..Config::default() }, Host::system())
}

fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

async fn attach(client: &Client, attempt: u64) -> CometRef {
    let attach = Attach {
        comet: id("comet-1"),
        instance: "i".to_owned(),
        attempt,
        advertise: Advertise { delivery: "127.0.0.1:9".to_owned(), ..Advertise::default() },
    };
    let attached = client.attach(attach, Instant::now() + DEADLINE).await.unwrap();
    CometRef { id: id("comet-1"), incarnation: attached.incarnation }
}

async fn bind(client: &Client, comet: &CometRef, user: &str, conn: u64) -> Seq {
    let bind = Bind {
        address: Address::user(id(user)),
        comet: comet.clone(),
        conn: Conn(conn),
        details: Details::default(),
        policy: Policy::default(),
        settled: Conn(1),
        rank: None,
    };
    let written = client.write(Command::Bind(bind), Instant::now() + DEADLINE).await.unwrap();
    match written.reply.unwrap() {
        Outcome::Bound(bound) => bound.seq,
        other => panic!("not bound: {other:?}"),
    }
}

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
    assert!(!four.ended().await, "a node that was removed ends with an error");
    for router in routers {
        router.stop().await;
    }
}

#[tokio::test]
async fn backup_becomes_a_new_cluster_whose_numbers_are_above_the_old_ones() {
    let folder = TempDir::new().unwrap();
    let routers = start(folder.path(), [1]).await;
    let all = addresses(&routers);
    ctl(&all, &["cluster", "bootstrap", "--nodes", &all, "--shards", "2"]).await;
    let old = client(&all);
    let comet = attach(&old, 1).await;
    let mut last = Seq(0);
    for conn in 1..=50 {
        last = last.max(bind(&old, &comet, &format!("u{conn}"), conn).await);
    }
    let dir = folder.path().join("backup");
    let dir = dir.to_str().unwrap();
    let made = ctl(&all, &["backup", "create", dir]).await;
    assert_eq!(made["routes"], 50, "{made}");
    let told = try_ctl(&all, &["backup", "create", dir]).await;
    assert!(told.code == 1 && told.stderr.contains("nothing is overwritten"), "{told:?}");
    assert_eq!(ctl(&all, &["backup", "verify", dir]).await["whole"], true);

    let told = try_ctl(&all, &["backup", "restore", dir, "--nodes", &all]).await;
    assert!(told.code == 1 && told.stderr.contains("blank nodes"), "{told:?}");
    let fresh = start(folder.path(), [11, 12, 13]).await;
    let new = addresses(&fresh);
    let restored = ctl(&new, &["backup", "restore", dir, "--nodes", &new]).await;
    let again = ctl(&new, &["backup", "restore", dir, "--nodes", &new]).await;
    assert_eq!(restored["cluster_id"], again["cluster_id"], "a repeat goes on with the same plan");
    assert_ne!(restored["cluster_id"], made["manifest"]["cluster_id"]);

    let client = client(&new);
    let located = ctl(&new, &["locate", "u7"]).await;
    assert_eq!(located["routes"], Value::Array(Vec::new()), "routes are not carried over");
    let revived = attach(&client, 1).await;
    assert!(revived.incarnation > Incarnation(comet.incarnation.0 + (1 << 39)), "{revived}");
    for conn in 1..=50 {
        let seq = bind(&client, &revived, &format!("u{conn}"), conn).await;
        assert!(seq > last, "{seq} came after {last}");
    }
    // A comet of the old cluster that never heard of it is nobody here.
    let stale = Bind {
        address: Address::user(id("u1")),
        comet,
        conn: Conn(99),
        details: Details::default(),
        policy: Policy::default(),
        settled: Conn(1),
        rank: None,
    };
    let written = client.write(Command::Bind(stale), Instant::now() + DEADLINE).await.unwrap();
    assert!(written.reply.is_err(), "{written:?}");
    for router in routers.into_iter().chain(fresh) {
        router.stop().await;
    }
}

#[tokio::test]
async fn damaged_backup_is_not_whole() {
    let folder = TempDir::new().unwrap();
    let [router] = start(folder.path(), [1]).await;
    let all = router.registry.to_string();
    ctl(&all, &["cluster", "bootstrap", "--nodes", &all, "--shards", "1"]).await;
    let dir = folder.path().join("backup");
    ctl(&all, &["backup", "create", dir.to_str().unwrap()]).await;
    router.stop().await;
    for file in ["manifest.json", "shard-0000.orrery", "shard-0001.orrery"] {
        let path = dir.join(file);
        let good = std::fs::read(&path).unwrap();
        // A flipped bit anywhere is noticed; every 97th place stands for all.
        for at in (0..good.len()).step_by(97) {
            let mut bad = good.clone();
            bad[at] ^= 4;
            std::fs::write(&path, &bad).unwrap();
            let told = try_ctl(&all, &["backup", "verify", dir.to_str().unwrap()]).await;
            let blank = file.ends_with("json") && good[at].is_ascii_whitespace();
            assert!(told.code == 1 || blank, "byte {at} of {file}: {told:?}");
            if at > 97 * 12 {
                break;
            }
        }
        std::fs::write(&path, &good[..good.len() - 3]).unwrap();
        let told = try_ctl(&all, &["backup", "verify", dir.to_str().unwrap()]).await;
        assert_eq!(told.code, 1, "a cut {file}: {told:?}");
        std::fs::write(&path, &good).unwrap();
    }
    std::fs::remove_file(dir.join("shard-0001.orrery")).unwrap();
    let told = try_ctl(&all, &["backup", "verify", dir.to_str().unwrap()]).await;
    assert!(told.code == 1 && told.stderr.contains("shard-0001"), "{told:?}");
}

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
async fn endings_have_codes_that_scripts_can_tell_apart() {
    let nobody = support::free().to_string();
    for wrong in [
        &["ctl"][..],
        &["ctl", "cluster"],
        &["ctl", "cluster", "bootstrap"],
        &["ctl", "cluster", "status", "--router", "nonsense"],
        &["ctl", "node", "remove", "first"],
        &["ctl", "leader", "move", "1"],
        &["ctl", "locate", "u", "--key", "--room"],
        &["ctl", "cluster", "status", "--timeout", "0"],
    ] {
        let output = output(orrery(wrong)).await;
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
    let begun = Instant::now();
    let told = try_ctl(&nobody, &["--timeout", "1", "cluster", "status"]).await;
    assert_eq!((told.code, &told.json["exit_code"]), (3, &3.into()), "{told:?}");
    assert!(told.stderr.starts_with("orrery: "), "{told:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    let told = try_ctl(&nobody, &["backup", "verify", "/nowhere/backup"]).await;
    assert!(told.code == 1 && told.stderr.contains("/nowhere/backup"), "{told:?}");
    // The environment says where the cluster is.
    let mut command = orrery(&["ctl", "--timeout", "1", "cluster", "nodes"]);
    command.env("ORRERY_ROUTERS", &nobody);
    assert_eq!(output(command).await.status.code(), Some(3));
}
