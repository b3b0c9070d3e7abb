//! Whose directory it is, who uses it, and that it is blank or a member's, never half of it.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod scene;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use orrery_model::{NodeId, ShardId};
use orrery_router_store::disk::NodeDirectory;
use orrery_router_store::{Blank, Disk, Identity, Opened, Store, StoreError, Write, WriteBatch};
use scene::{Scene, create, disk, identity, open};

fn set_vote(store: &Arc<dyn Store>, text: &str) {
    let vote = Write::Vote(text.to_owned().into());
    store.write(WriteBatch { writes: vec![(ShardId(1), vote)] }).unwrap();
}

/// A process that draws instances as it should: never one twice.
fn drawing(path: &Path) -> NodeDirectory {
    static DRAWN: AtomicU64 = AtomicU64::new(0);
    let draw = || format!("instance {}", DRAWN.fetch_add(1, Ordering::Relaxed));
    NodeDirectory::new(path, identity().node, draw)
}

fn blank(disk: &dyn Disk) -> Blank {
    let Opened::Blank(blank) = disk.open().unwrap() else { panic!("it is a member's") };
    blank
}

#[test]
fn naming_a_directory_makes_nothing_and_opening_makes_it_blank() {
    let scene = Scene::new();
    let path = scene.path().join("some").join("where");
    let disk = drawing(&path);
    assert!(!scene.path().exists());
    let Blank { node, instance } = blank(&disk);
    assert_eq!(node, identity().node);
    let mut names: Vec<_> =
        fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["header", "lock"]);
    drop(disk);
    assert_eq!(blank(&drawing(&path)).instance, instance, "drawn once and kept");
}

#[test]
fn a_lost_disk_comes_back_as_another_instance() {
    let scene = Scene::new();
    let before = blank(&drawing(&scene.path()));
    fs::remove_dir_all(scene.path()).unwrap();
    let disk = drawing(&scene.path());
    let after = blank(&disk);
    assert_ne!(before.instance, after.instance);
    let identity = |blank: Blank| Identity { instance: blank.instance, ..identity() };
    let error = disk.adopt(identity(before)).expect_err("its plan is for the lost disk");
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    disk.adopt(identity(after)).unwrap();
}

#[test]
fn a_directory_in_use_is_refused_and_named_blank_or_not() {
    let scene = Scene::new();
    let is_locked = || {
        let (opening, adopting) = (disk(&scene.path()), disk(&scene.path()));
        let errors = [opening.open().map(drop), adopting.adopt(identity()).map(drop)]
            .map(Result::unwrap_err);
        errors.iter().all(|error| match error {
            StoreError::Locked { path } => path.starts_with(scene.path()),
            error => panic!("{error}"),
        })
    };
    let first = disk(&scene.path());
    blank(&first);
    assert!(is_locked());
    let store = first.adopt(identity()).unwrap();
    assert!(is_locked());
    drop(first);
    assert!(is_locked(), "the store holds it");
    drop(store);
    open(&scene.path()).unwrap();
}

#[test]
fn a_blank_directory_is_free_once_its_disk_is_dropped() {
    let scene = Scene::new();
    let first = disk(&scene.path());
    blank(&first);
    drop(first);
    disk(&scene.path()).adopt(identity()).unwrap();
}

#[test]
fn a_directory_of_another_node_is_refused_and_both_are_named() {
    let scene = Scene::new();
    let other = |path: &Path| NodeDirectory::new(path, NodeId(9), || "ninth".into());
    blank(&disk(&scene.path()));
    let error = other(&scene.path()).open().unwrap_err();
    let StoreError::Foreign { path, found, expected } = &error else { panic!("{error}") };
    assert_eq!(*path, scene.path());
    assert_eq!(found, "node 1 (instance \"first\") of no cluster yet");
    assert_eq!(expected, "node 9");
    set_vote(&create(&scene.path()), "kept");
    let error = other(&scene.path()).open().unwrap_err();
    let StoreError::Foreign { found, expected, .. } = &error else { panic!("{error}") };
    assert_eq!(found, "node 1 (instance \"first\") of cluster \"scene\" with 2 shards");
    assert_eq!(expected, "node 9");
    assert_eq!(open(&scene.path()).unwrap().vote(ShardId(1)).unwrap(), Some("kept".into()));
}

#[test]
fn identities_that_differ_only_in_their_plan_are_told_apart_in_words() {
    let scene = Scene::new();
    let disk = disk(&scene.path());
    let founded = |plan: &'static str| Identity { founding: plan.into(), ..identity() };
    drop(disk.adopt(founded("a")).unwrap());
    let error = disk.adopt(founded("b")).unwrap_err();
    let StoreError::Foreign { found, expected, .. } = &error else { panic!("{error}") };
    assert_ne!(found, expected);
}

#[test]
fn an_identity_too_long_for_the_header_is_refused_and_the_directory_stays_blank() {
    let scene = Scene::new();
    let disk = disk(&scene.path());
    let long = Identity { cluster_id: "x".repeat(5_000), ..identity() };
    let error = disk.adopt(long).unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert_eq!(blank(&disk).instance, identity().instance);
    disk.adopt(identity()).unwrap();
}

#[test]
fn a_newer_directory_is_refused_and_both_formats_are_named() {
    let scene = Scene::new();
    create(&scene.path());
    let path = scene.path().join("header");
    let mut header = fs::read(&path).unwrap();
    header.truncate(header.len() - 4);
    header[8..12].copy_from_slice(&3_u32.to_be_bytes());
    header.extend_from_slice(b" and more");
    header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
    fs::write(&path, header).unwrap();
    let disk = disk(&scene.path());
    for error in [disk.open().map(drop), disk.adopt(identity()).map(drop)].map(Result::unwrap_err) {
        assert!(
            matches!(&error, StoreError::TooNew { found: 3, newest: 2, path: named } if *named == path)
        );
    }
}

#[test]
fn a_folder_with_other_things_in_it_is_refused_and_left_alone() {
    let scene = Scene::new();
    fs::create_dir(scene.path()).unwrap();
    fs::write(scene.path().join("letter.txt"), "dear").unwrap();
    let disk = disk(&scene.path());
    for error in [disk.open().map(drop), disk.adopt(identity()).map(drop)].map(Result::unwrap_err) {
        assert!(error.to_string().contains("letter.txt"), "{error}");
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
    assert_eq!(fs::read_dir(scene.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_whose_header_is_gone_is_not_made_anew() {
    let scene = Scene::new();
    set_vote(&create(&scene.path()), "precious");
    fs::remove_file(scene.path().join("header")).unwrap();
    let disk = disk(&scene.path());
    for error in [disk.open().map(drop), disk.adopt(identity()).map(drop)].map(Result::unwrap_err) {
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    }
    assert!(scene.path().join("log").exists());
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let scene = Scene::new();
    fs::write(scene.path(), "file").unwrap();
    let error = disk(&scene.path()).open().unwrap_err();
    assert!(matches!(&error, StoreError::Io { path, .. } if *path == scene.path()), "{error}");
}

#[test]
fn a_making_that_was_cut_anywhere_is_begun_again() {
    let mut scene = Scene::new();
    blank(&disk(&scene.path()));
    let steps = ["lock", "header.writing", "header"];
    for done in 0..=steps.len() {
        let copy = scene.copy();
        fs::write(copy.join("header.writing"), "half").unwrap();
        undo(&copy, &steps[done..]);
        let disk = drawing(&copy);
        let made = blank(&disk);
        assert_eq!(made.instance == identity().instance, done == steps.len(), "{done} steps");
        set_vote(&disk.adopt(Identity { instance: made.instance, ..identity() }).unwrap(), "after");
    }
}

/// What lies there after each step of the adopting, in its order.
#[test]
fn an_adopting_that_was_cut_anywhere_leaves_a_blank_directory() {
    let mut scene = Scene::new();
    let steps = [
        "log",
        "snapshots",
        "synced.writing",
        "synced",
        "ends.writing",
        "ends",
        "catalogue",
        "header.writing",
        "header",
    ];
    blank(&disk(&scene.path()));
    let header = fs::read(scene.path().join("header")).unwrap();
    // Of a log that nobody was told of nothing may be seen later.
    set_vote(&create(&scene.path()), "of the adopting that was cut");
    for done in 0..=steps.len() {
        let copy = scene.copy();
        for unfinished in ["synced.writing", "ends.writing", "header.writing"] {
            fs::write(copy.join(unfinished), "half").unwrap();
        }
        undo(&copy, &steps[done..]);
        if done == steps.len() {
            assert!(matches!(disk(&copy).open().unwrap(), Opened::Member(_)));
            continue;
        }
        fs::write(copy.join("header"), &header).unwrap();
        assert_eq!(blank(&disk(&copy)).instance, identity().instance, "{done} steps");
        let other = Identity { cluster_id: "another".into(), ..identity() };
        let store = disk(&copy).adopt(other.clone()).unwrap();
        assert_eq!(store.identity(), &other);
        assert_eq!(store.vote(ShardId(1)).unwrap(), None);
        set_vote(&store, "after");
        drop(store);
        let store = disk(&copy).adopt(other).unwrap();
        assert_eq!(store.vote(ShardId(1)).unwrap(), Some("after".into()));
    }
}

/// A directory of format 1 was made whole by its marker.
#[test]
fn a_making_of_format_1_that_was_cut_gives_a_blank_directory() {
    let mut scene = Scene::new();
    set_vote(&create(&scene.path()), "of the making that was cut");
    let steps = ["creating", "log", "snapshots", "synced", "ends", "catalogue"];
    for done in 1..=steps.len() {
        let copy = scene.copy();
        fs::write(copy.join("creating"), "").unwrap();
        undo(&copy, &steps[done..]);
        fs::remove_file(copy.join("header")).unwrap();
        let disk = disk(&copy);
        blank(&disk);
        assert!(!copy.join("creating").exists());
        let store = disk.adopt(identity()).unwrap();
        assert_eq!(store.vote(ShardId(1)).unwrap(), None);
    }
}

fn undo(path: &Path, steps: &[&str]) {
    for undone in steps {
        let path = path.join(undone);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
}
