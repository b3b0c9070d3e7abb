//! `orrery ctl` against router processes.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use orrery_host::Host;
use orrery_model::cluster::{Counters, Placement};
use orrery_model::command::{Bind, Command, Outcome};
use orrery_model::control::{Advertise, Attach, Found};
use orrery_model::{
    Address, CometRef, Conn, Details, Id, Incarnation, NodeId, Policy, Seq, ShardId, ring,
};
use orrery_router_client::cluster::{Adoption, ClusterClient};
use orrery_router_client::{Client, Config};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, timeout};

use support::cluster::{Router, addresses, ctl, start, try_ctl};
use support::{DEADLINE, orrery, output};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

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

fn bind_command(comet: &CometRef, user: &str, conn: u64) -> Command {
    Command::Bind(Bind {
        address: Address::user(id(user)),
        comet: comet.clone(),
        conn: Conn(conn),
        details: Details::default(),
        policy: Policy::default(),
        settled: Conn(1),
        rank: None,
    })
}

async fn bind(client: &Client, comet: &CometRef, user: &str, conn: u64) -> Seq {
    let bind = bind_command(comet, user, conn);
    let written = client.write(bind, Instant::now() + DEADLINE).await.unwrap();
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
    let stale = bind_command(&comet, "u1", 99);
    let written = client.write(stale, Instant::now() + DEADLINE).await.unwrap();
    assert!(written.reply.is_err(), "{written:?}");
    for router in routers.into_iter().chain(fresh) {
        router.stop().await;
    }
}

/// What a cluster gives first: an incarnation, and a seq.
async fn first_numbers(routers: &str) -> (CometRef, Seq) {
    let client = client(routers);
    let comet = attach(&client, 1).await;
    let seq = bind(&client, &comet, "u1", 1).await;
    (comet, seq)
}

#[tokio::test]
async fn backup_restored_twice_becomes_two_clusters_that_share_no_number() {
    let folder = TempDir::new().unwrap();
    let [old] = start(folder.path(), [1]).await;
    let all = old.registry.to_string();
    ctl(&all, &["cluster", "bootstrap", "--nodes", &all, "--shards", "1"]).await;
    first_numbers(&all).await;
    let dir = folder.path().join("backup");
    let dir = dir.to_str().unwrap();
    ctl(&all, &["backup", "create", dir]).await;
    old.stop().await;

    let [drill] = start(folder.path(), [11]).await;
    let new = drill.registry.to_string();
    ctl(&new, &["backup", "restore", dir, "--nodes", &new]).await;
    let (first_comet, first_seq) = first_numbers(&new).await;
    drill.stop().await;
    std::fs::remove_dir_all(folder.path().join("router-11")).unwrap();

    // The second one is interrupted after its first node has taken the plan.
    let second = start(folder.path(), [11, 12]).await;
    let (new, obstacle) = (addresses(&second), folder.path().join("router-12").join("log"));
    std::fs::write(&obstacle, "no folder").unwrap();
    let told = try_ctl(&new, &["--timeout", "2", "backup", "restore", dir, "--nodes", &new]).await;
    assert_eq!(told.code, 3, "{told:?}");
    std::fs::remove_file(&obstacle).unwrap();
    let restored = ctl(&new, &["backup", "restore", dir, "--nodes", &new]).await;
    let whole = ctl(&new, &["backup", "verify", dir]).await;
    let restores = whole["restores"].as_array().unwrap();
    assert_eq!(restores.len(), 2, "the interrupted one keeps its numbers: {whole}");
    assert_eq!(
        (&restores[1]["generation"], &restores[1]["cluster_id"]),
        (&2.into(), &restored["cluster_id"])
    );

    let (comet, seq) = first_numbers(&new).await;
    // A cluster gives fewer numbers in its life.
    let above = |number: u64| number + (1 << 40);
    assert!(comet.incarnation.0 >= above(first_comet.incarnation.0), "{comet} {first_comet}");
    assert!(seq.0 >= above(first_seq.0), "{seq} {first_seq}");
    let stale = bind_command(&first_comet, "u1", 2);
    let written = client(&new).write(stale, Instant::now() + DEADLINE).await.unwrap();
    assert!(written.reply.is_err(), "a comet of the first one is nobody here: {written:?}");
    for router in second {
        router.stop().await;
    }
}

#[tokio::test]
async fn backup_that_cannot_be_written_is_restored_only_if_it_is_said_for_which_time() {
    let folder = TempDir::new().unwrap();
    let [old] = start(folder.path(), [1]).await;
    let all = old.registry.to_string();
    ctl(&all, &["cluster", "bootstrap", "--nodes", &all, "--shards", "1"]).await;
    let (old_comet, old_seq) = first_numbers(&all).await;
    let dir = folder.path().join("backup");
    ctl(&all, &["backup", "create", dir.to_str().unwrap()]).await;
    old.stop().await;

    let allow = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(folder.path(), 0o755);
    allow(&dir, 0o555);
    let fresh = start(folder.path(), [11]).await;
    let new = addresses(&fresh);
    let restore = async |more: &[&str]| {
        let dir = dir.to_str().unwrap();
        let arguments =
            [&["ctl", "--router", &new, "backup", "restore", dir, "--nodes", &new], more];
        let mut command = orrery(&arguments.concat());
        // Nothing is forbidden to root.
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        output(command).await
    };
    let refused = restore(&[]).await;
    let told = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && told.contains("--generation"), "{told}");
    let blank = try_ctl(&new, &["--timeout", "1", "cluster", "status"]).await;
    assert_eq!(blank.code, 3, "nothing was made: {blank:?}");

    let restored = restore(&["--generation", "3"]).await;
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let (comet, seq) = first_numbers(&new).await;
    assert!(comet.incarnation.0 >= old_comet.incarnation.0 + (3 << 40), "{comet}");
    assert!(seq.0 >= old_seq.0 + (3 << 40), "{seq}");
    allow(&dir, 0o755);
    for router in fresh {
        router.stop().await;
    }
}

/// A bind of four kilobytes.
fn large_bind(comet: &CometRef, conn: u64) -> Command {
    let Command::Bind(mut bind) = bind_command(comet, &format!("u{conn}"), conn) else {
        panic!("it is a bind");
    };
    bind.details.labels = (0..16).map(|n| (format!("label-{n}"), "x".repeat(240))).collect();
    Command::Bind(bind)
}

#[tokio::test]
async fn backup_waits_for_one_that_somebody_else_is_fetching() {
    let folder = TempDir::new().unwrap();
    let [router] = start(folder.path(), [1]).await;
    let all = router.registry.to_string();
    ctl(&all, &["cluster", "bootstrap", "--nodes", &all, "--shards", "1"]).await;
    let client = client(&all);
    let comet = attach(&client, 1).await;
    // Together more than connection and node hold of a stream nobody reads.
    for conns in (1..=2500).collect::<Vec<_>>().chunks(250) {
        let until = Instant::now() + DEADLINE;
        let binds = conns.iter().map(|conn| client.write(large_bind(&comet, *conn), until));
        for written in join_all(binds).await {
            written.unwrap().reply.unwrap();
        }
    }
    let config = Config { nodes: vec![all.clone()], ..Config::default() };
    let cluster = ClusterClient::new(&config, Host::system());
    let mut other = cluster.backup(&all, ShardId(1), Instant::now() + DEADLINE).await.unwrap();
    assert!(other.next().await.unwrap().unwrap().end.is_none());

    let dir = folder.path().join("backup");
    let dir = dir.to_str().unwrap();
    let told = try_ctl(&all, &["--timeout", "2", "backup", "create", dir]).await;
    assert!(told.code == 3 && told.stderr.contains("giving a backup already"), "{told:?}");
    // What was tried in vain is not in the way.
    let fetched = async { while other.next().await.unwrap().is_some() {} };
    let create = ["backup", "create", dir];
    let (made, ()) = tokio::join!(ctl(&all, &create), fetched);
    assert_eq!(made["routes"], 2500, "{made}");
    router.stop().await;
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
