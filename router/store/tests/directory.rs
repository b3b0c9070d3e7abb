//! Whose directory it is, who uses it, and that it is made whole or not at all.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod scene;

use std::fs;
use std::path::Path;

use orrery_model::{NodeId, ShardId};
use orrery_router_store::disk::{DiskStore, Expected};
use orrery_router_store::{Identity, Store, StoreError, Write, WriteBatch};
use scene::{Scene, create, identity, open};

fn vote(store: &dyn Store, text: &str) {
    let vote = Write::Vote(text.to_owned().into());
    store.write(WriteBatch { writes: vec![(ShardId(1), vote)] }).unwrap();
}

fn try_create(path: &Path) -> Result<DiskStore, StoreError> {
    DiskStore::open_or_create(path, &Expected::default(), identity)
}

#[test]
fn the_identity_is_made_once_and_kept() {
    let scene = Scene::new();
    let path = scene.path().join("some").join("where");
    let store = DiskStore::open_or_create(&path, &Expected::default(), identity).unwrap();
    assert_eq!(store.identity(), &identity());
    drop(store);
    let never = || unreachable!("it was made before");
    let store = DiskStore::open_or_create(&path, &Expected::default(), never).unwrap();
    assert_eq!(store.identity(), &identity());
}

#[test]
fn opening_makes_nothing() {
    let scene = Scene::new();
    let error = open(&scene.path()).expect_err("there is nothing");
    assert!(matches!(error, StoreError::Io { .. }), "{error}");
    assert!(!scene.path().exists());
}

#[test]
fn a_directory_in_use_is_refused_and_named() {
    let scene = Scene::new();
    let store = create(&scene.path());
    for error in [open(&scene.path()), try_create(&scene.path())].map(|open| open.unwrap_err()) {
        let StoreError::Locked { path } = error else { panic!("{error}") };
        assert!(path.starts_with(scene.path()));
    }
    drop(store);
    open(&scene.path()).unwrap();
}

#[test]
fn a_directory_of_another_cluster_node_or_number_of_shards_is_refused() {
    let scene = Scene::new();
    vote(&create(&scene.path()), "kept");
    let Identity { cluster_id, node, shards } = identity();
    let right = Expected { cluster_id: Some(cluster_id), node: Some(node), shards: Some(shards) };
    let wrong = [
        Expected { cluster_id: Some("other".into()), ..right.clone() },
        Expected { node: Some(NodeId(9)), ..right.clone() },
        Expected { shards: Some(8), ..right.clone() },
        Expected { shards: Some(8), ..Expected::default() },
    ];
    for expected in wrong {
        let error = DiskStore::open(&scene.path(), &expected).unwrap_err();
        let StoreError::Foreign { path, found, expected } = &error else { panic!("{error}") };
        assert_eq!(*path, scene.path());
        assert_eq!(found, "node 1 of cluster \"scene\" with 2 shards");
        assert_ne!(found, expected);
        let made = DiskStore::open_or_create(&scene.path(), &right, || unreachable!()).unwrap();
        assert_eq!(made.vote(ShardId(1)).unwrap(), Some("kept".into()));
    }
}

#[test]
fn an_identity_that_is_not_what_is_expected_is_not_made() {
    let scene = Scene::new();
    let expected = Expected { shards: Some(8), ..Expected::default() };
    let error = DiskStore::open_or_create(&scene.path(), &expected, identity).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    create(&scene.path());
}

#[test]
fn a_newer_directory_is_refused_and_both_formats_are_named() {
    let scene = Scene::new();
    create(&scene.path());
    let path = scene.path().join("header");
    let mut header = fs::read(&path).unwrap();
    header.truncate(header.len() - 4);
    header[8..12].copy_from_slice(&2_u32.to_be_bytes());
    header.extend_from_slice(b" and more");
    header.extend_from_slice(&crc32fast::hash(&header).to_be_bytes());
    fs::write(&path, header).unwrap();
    for error in [open(&scene.path()), try_create(&scene.path())].map(|open| open.unwrap_err()) {
        assert!(
            matches!(&error, StoreError::TooNew { found: 2, newest: 1, path: named } if *named == path)
        );
    }
}

#[test]
fn a_folder_with_other_things_in_it_is_refused_and_left_alone() {
    let scene = Scene::new();
    fs::create_dir(scene.path()).unwrap();
    fs::write(scene.path().join("letter.txt"), "dear").unwrap();
    let error = try_create(&scene.path()).unwrap_err();
    assert!(error.to_string().contains("letter.txt"), "{error}");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert_eq!(fs::read_dir(scene.path()).unwrap().count(), 1);
}

#[test]
fn a_directory_whose_header_is_gone_is_not_made_anew() {
    let scene = Scene::new();
    vote(&create(&scene.path()), "precious");
    fs::remove_file(scene.path().join("header")).unwrap();
    let error = try_create(&scene.path()).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(scene.path().join("log").exists());
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let scene = Scene::new();
    fs::write(scene.path(), "file").unwrap();
    let error = try_create(&scene.path()).unwrap_err();
    assert!(matches!(&error, StoreError::Io { path, .. } if *path == scene.path()), "{error}");
}

/// What lies there after each step of the making, in its order.
#[test]
fn a_making_that_was_cut_anywhere_is_begun_again() {
    let mut scene = Scene::new();
    let steps = [
        "lock",
        "creating.writing",
        "creating",
        "log",
        "snapshots",
        "synced.writing",
        "synced",
        "catalogue",
        "header.writing",
        "header",
    ];
    create(&scene.path());
    for done in 0..=steps.len() {
        let copy = scene.copy();
        fs::write(copy.join("creating"), "").unwrap();
        for unfinished in ["creating.writing", "synced.writing", "header.writing"] {
            fs::write(copy.join(unfinished), "half").unwrap();
        }
        for undone in &steps[done..] {
            let path = copy.join(undone);
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
        let made = Identity { node: NodeId(2), ..identity() };
        let made = || made;
        let store = DiskStore::open_or_create(&copy, &Expected::default(), made).unwrap();
        let node = if done == steps.len() { 1 } else { 2 };
        assert_eq!(store.identity().node, NodeId(node), "{done} steps");
        vote(&store, "after");
        drop(store);
        assert!(!copy.join("creating").exists());
        assert_eq!(open(&copy).unwrap().vote(ShardId(1)).unwrap(), Some("after".into()));
    }
}
