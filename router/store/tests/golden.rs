//! Directories written in each format stay readable; the bytes under `golden` are never written again.
//!
//! `golden/format_1` is what the scene's history and one snapshot left after an orderly end, without what
//! is not data: the lock, the catalogue and the note of synced lengths.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod scene;

use std::fs;
use std::path::{Path, PathBuf};

use orrery_model::ShardId;
use orrery_router_store::Store;
use scene::{Scene, copy, create, history, identity, open, read};

const SNAPSHOT: &str = "snapshots/1/00000000000000000001.snapshot";

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/format_1")
}

/// What the golden directory was made of.
fn make(path: &Path) {
    let store = create(path);
    for batch in history() {
        store.write(batch).unwrap();
    }
    let mut writer = store.begin_snapshot(ShardId(1), "meta".into()).unwrap();
    for record in ["one", "", "three"] {
        writer.record(record.as_bytes()).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn a_directory_of_format_1_is_readable() {
    let scene = Scene::new();
    make(&scene.path());
    let expected = read(&open(&scene.path()).unwrap()).unwrap();
    let old = scene.path().with_file_name("old");
    copy(&golden(), &old);
    let store = open(&old).unwrap();
    assert_eq!(store.identity(), &identity());
    assert_eq!(read(&store).unwrap(), expected);
    let mut snapshot = store.snapshot(ShardId(1)).unwrap().unwrap();
    assert_eq!(snapshot.meta(), "meta");
    for record in [Some("one"), Some(""), Some("three"), None, None] {
        let found = snapshot.next_record().unwrap();
        assert_eq!(found.as_deref(), record.map(str::as_bytes));
    }
}

/// Fails when the format changes: then raise its number, and put a new directory beside the old one.
#[test]
fn what_is_written_today_is_format_1() {
    let scene = Scene::new();
    make(&scene.path());
    for file in ["header", SNAPSHOT, "log/0000000000000001.raftlog"] {
        let [today, golden] =
            [scene.path(), golden()].map(|path| fs::read(path.join(file)).unwrap());
        assert!(today == golden, "{file} is written differently");
    }
}
