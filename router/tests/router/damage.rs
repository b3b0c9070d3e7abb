//! A node whose directory is damaged: it says so and takes part in nothing, neither with its vote nor as a
//! leader.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use orrery_host::Host;
use orrery_router::Config;
use tokio::time::{sleep, timeout};

use crate::node::{Node, PATIENCE, config, directory, user};
use crate::snapshots::{config_with_small_logs, fill_until_purged};

/// What is done to a file, and its name.
type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 4] = [
    ("a changed bit", |file| {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.iter().rposition(|byte| *byte != 0).unwrap() / 2;
        bytes[middle] ^= 0x10;
        fs::write(file, bytes).unwrap();
    }),
    ("cut in the middle", |file| {
        let bytes = fs::read(file).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
        File::options().write(true).open(file).unwrap().set_len(end as u64 / 2).unwrap();
    }),
    ("zeroes", |file| {
        let length = fs::metadata(file).unwrap().len();
        let opened = File::options().write(true).open(file).unwrap();
        opened.write_all_at(&vec![0; length as usize], 0).unwrap();
    }),
    ("missing", |file| fs::remove_file(file).unwrap()),
];

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), &to).unwrap()),
        }
    }
}

/// The newest file of a folder.
fn newest(folder: &Path, extension: Option<&str>) -> PathBuf {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of_kind = |file: &PathBuf| {
        extension.is_none_or(|wanted| file.extension().is_some_and(|found| found == wanted))
    };
    files.filter(of_kind).max().unwrap()
}

/// Why a node with this directory does not start, or ends itself without having been ready.
async fn ends_before_it_serves(what: &str, config: Config, directory: &Path) -> String {
    let disk = crate::node::directory(directory);
    let handle = match orrery_router::start(config, Host::system(), disk).await {
        Err(error) => return error.to_string(),
        Ok(handle) => handle,
    };
    let failed = async { timeout(PATIENCE, handle.failed()).await.expect("it ends itself") };
    let served = async {
        while handle.ready().is_err() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        biased;
        reason = failed => reason,
        () = served => panic!("{what}: it serves"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_log_with_its_votes_is_damaged_ends_before_it_serves() {
    let held = tempfile::tempdir().unwrap();
    let good = held.path().join("good");
    let node = Node::start(directory(&good)).await;
    let alice = user("alice");
    let seq = node.bind(&alice, "comet-a", 1).await.seq;
    node.stop().await;
    for (what, damage) in DAMAGES {
        let damaged = held.path().join(what);
        copy(&good, &damaged);
        damage(&newest(&damaged.join("log"), Some("raftlog")));
        let reason = ends_before_it_serves(what, config(), &damaged).await;
        assert!(reason.contains("corrupt") && reason.contains(what), "{what}: {reason}");
    }
    let node = Node::start(directory(&good)).await;
    assert_eq!(node.locate(&alice).await, [seq]);
}

/// The snapshot holds what the log does not any more: its shard has no state, and so no say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_snapshot_is_damaged_ends_itself_before_it_serves() {
    let held = tempfile::tempdir().unwrap();
    let good = held.path().join("good");
    let node = Node::start_with(config_with_small_logs(), directory(&good)).await;
    let bound = fill_until_purged(&node).await;
    node.stop().await;
    for (what, damage) in DAMAGES {
        let damaged = held.path().join(what);
        copy(&good, &damaged);
        damage(&newest(&damaged.join("snapshots").join("2"), None));
        let reason = ends_before_it_serves(what, config_with_small_logs(), &damaged).await;
        assert!(reason.contains("snapshot"), "{what}: {reason}");
    }
    let node = Node::start_with(config_with_small_logs(), directory(&good)).await;
    for (user, seq) in &bound {
        assert_eq!(node.locate(user).await, [*seq]);
    }
}
