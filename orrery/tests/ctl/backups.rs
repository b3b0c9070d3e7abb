//! Backups: made, verified, restored into clusters that share no number.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use futures_util::future::join_all;
use orrery_host::Host;
use orrery_model::command::Command;
use orrery_model::{CometRef, Incarnation, Seq, ShardId};
use orrery_router_client::Config;
use orrery_router_client::cluster::ClusterClient;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::comets::{attach, bind, bind_command, client};
use crate::support::cluster::{addresses, ctl, start, try_ctl};
use crate::support::{DEADLINE, orrery, output};

/// A user that owns nothing.
const NOBODY: u32 = 65_534;

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
