//! Directories written in each format stay readable; the bytes under `golden` are never written again.
//!
//! `golden/format_1` is what the scene's history (without what came later) and one snapshot left after an
//! orderly end, without what is not data: the lock, the catalogue and the notes of lengths.
//! `golden/format_2` is the same of the whole history, with the notes; `golden/blank_2` is a blank directory.
//! `golden/left_2` is what came later to format 2: a version of before reads all of it but what it does not
//! know.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod scene;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orrery_model::ShardId;
use orrery_router_store::{Blank, Disk, Identity, Opened, Store, StoreError, Write, WriteBatch};
use scene::{
    SHARDS, Scene, copy, disk, history, history_1, history_of_leaving, identity, open, read,
};

const SNAPSHOT: &str = "snapshots/1/00000000000000000001.snapshot";
const LOG: [&str; 2] = ["log/0000000000000001.raftlog", "log/0000000000000001.rewrite"];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Who the golden directory of format 2 belongs to.
fn identity_2() -> Identity {
    Identity { founding: "the plan".into(), ..identity() }
}

/// What the golden directories were made of.
fn make(path: &Path, identity: Identity, history: Vec<WriteBatch>) {
    let store = disk(path).adopt(identity).unwrap();
    for batch in history {
        store.write(batch).unwrap();
    }
    let mut writer = store.begin_snapshot(ShardId(1), "meta".into()).unwrap();
    for record in ["one", "", "three"] {
        writer.record(record.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
}

fn assert_snapshot(store: &Arc<dyn Store>) {
    let mut snapshot = store.snapshot(ShardId(1)).unwrap().unwrap();
    assert_eq!(snapshot.meta(), "meta");
    for record in [Some("one"), Some(""), Some("three"), None, None] {
        let found = snapshot.next_record().unwrap();
        assert_eq!(found.as_deref(), record.map(str::as_bytes));
    }
}

/// A directory of format 1 belongs to the instance "first" and has no plan. It is left as it is, so that the
/// version that wrote it may open it again.
#[test]
fn a_directory_of_format_1_is_readable_and_stays_one() {
    let scene = Scene::new();
    make(&scene.path(), identity(), history_1());
    let expected = read(&open(&scene.path()).unwrap()).unwrap();
    let old = scene.path().with_file_name("old");
    copy(&golden("format_1"), &old);
    for _ in 0..2 {
        let store = open(&old).unwrap();
        assert_eq!(store.identity(), &identity());
        assert_eq!(read(&store).unwrap(), expected);
        assert_snapshot(&store);
    }
    let store = disk(&old).adopt(identity()).unwrap();
    let vote = (ShardId(1), Write::Vote("later".into()));
    store.write(WriteBatch { writes: vec![vote] }).unwrap();
    drop(store);
    assert_eq!(fs::read(old.join("header")).unwrap(), fs::read(golden("format_1/header")).unwrap());
    let error = disk(&old).adopt(identity_2()).expect_err("it has no plan");
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
}

/// The catalogue that a version of before made says the same of whom it belongs to.
#[test]
fn a_catalogue_of_format_1_guards_its_snapshots_still() {
    let scene = Scene::new();
    copy(&golden("format_1"), &scene.path());
    let catalogue = sled::open(scene.path().join("catalogue")).unwrap();
    catalogue.insert("identity", fs::read(golden("format_1/header")).unwrap()).unwrap();
    let mut entry = vec![1];
    entry.extend_from_slice(&2_u64.to_be_bytes());
    entry.extend_from_slice(&[0; 12]);
    catalogue.insert([&b"snapshot/"[..], &1_u32.to_be_bytes()].concat(), entry).unwrap();
    catalogue.flush().unwrap();
    drop(catalogue);
    let error = open(&scene.path()).expect_err("its second snapshot is missing");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}

#[test]
fn a_directory_of_format_2_is_readable() {
    let scene = Scene::new();
    make(&scene.path(), identity_2(), history());
    let expected = read(&open(&scene.path()).unwrap()).unwrap();
    let old = scene.path().with_file_name("old");
    copy(&golden("format_2"), &old);
    let store = open(&old).unwrap();
    assert_eq!(store.identity(), &identity_2());
    assert_eq!(read(&store).unwrap(), expected);
    assert_snapshot(&store);
}

#[test]
fn what_is_said_of_shards_that_were_left_is_readable() {
    let scene = Scene::new();
    copy(&golden("left_2"), &scene.path());
    let store = open(&scene.path()).unwrap();
    let left = SHARDS.map(|shard| store.left(shard).unwrap());
    assert_eq!(left, [None, Some("at 5".into()), Some("at 2".into())]);
    assert!(store.log_state(SHARDS[1]).unwrap().empty);
    assert_eq!(store.log_state(SHARDS[2]).unwrap().last_index, 2);
    // A directory of before says nothing.
    let before = scene.path().with_file_name("before");
    copy(&golden("format_2"), &before);
    let store = open(&before).unwrap();
    assert_eq!(SHARDS.map(|shard| store.left(shard).unwrap()), [None, None, None]);
}

#[test]
fn a_blank_directory_of_format_2_is_readable() {
    let scene = Scene::new();
    copy(&golden("blank_2"), &scene.path());
    let Opened::Blank(blank) = disk(&scene.path()).open().unwrap() else { panic!("it is blank") };
    assert_eq!(blank, Blank { node: identity().node, instance: "first".into() });
}

/// Fails when the format changes: then raise its number, and put a new directory beside the old ones.
#[test]
fn what_is_written_today_is_format_2() {
    let scene = Scene::new();
    assert!(matches!(disk(&scene.path()).open().unwrap(), Opened::Blank(_)));
    assert_same(&scene.path(), "blank_2", &["header"]);
    make(&scene.path(), identity_2(), history());
    assert_same(&scene.path(), "format_2", &["header", "synced", "ends", SNAPSHOT, LOG[0], LOG[1]]);
    let scene = Scene::new();
    make(&scene.path(), identity_2(), history_of_leaving());
    assert_same(&scene.path(), "left_2", &["header", "synced", "ends", SNAPSHOT, LOG[0], LOG[1]]);
}

fn assert_same(path: &Path, name: &str, files: &[&str]) {
    for file in files {
        let [today, golden] =
            [path.to_owned(), golden(name)].map(|path| fs::read(path.join(file)).unwrap());
        assert!(today == golden, "{name}: {file} is written differently");
    }
}
