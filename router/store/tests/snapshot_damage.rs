//! Snapshot files that rotted, were cut, went away or came from elsewhere.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod scene;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use orrery_model::ShardId;
use orrery_router_store::{Store, StoreError};
use scene::{Scene, flip, is_corrupt, open};

const SHARD: ShardId = ShardId(1);

fn take(store: &Arc<dyn Store>, shard: ShardId, meta: &str, records: &[&str]) {
    let mut writer = store.begin_snapshot(shard, meta.to_owned().into()).unwrap();
    records.iter().for_each(|record| writer.record(record.as_bytes()).unwrap());
    writer.finish().unwrap();
}

type Contents = Option<(Bytes, Vec<Bytes>)>;

fn contents(store: &Arc<dyn Store>, shard: ShardId) -> Result<Contents, StoreError> {
    let Some(mut reader) = store.snapshot(shard)? else { return Ok(None) };
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok(Some((reader.meta().clone(), records)))
}

fn expected(meta: &'static str, records: &[&'static str]) -> Contents {
    Some((meta.into(), records.iter().map(|record| (*record).into()).collect()))
}

fn file(path: &Path) -> PathBuf {
    let folder = path.join("snapshots").join(SHARD.to_string());
    let files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "one snapshot and nothing else: {files:?}");
    files.into_iter().next().unwrap()
}

fn scene() -> Scene {
    let scene = Scene::new();
    let store = scene::create(&scene.path());
    take(&store, SHARD, "older", &["left over?"]);
    take(&store, SHARD, "meta", &["one", "", "three"]);
    scene
}

#[test]
fn every_changed_bit_of_a_snapshot_is_noticed() {
    let scene = scene();
    let path = file(&scene.path());
    let good = fs::read(&path).unwrap();
    let store = open(&scene.path()).unwrap();
    for bit in 0..good.len() * 8 {
        flip(&path, bit);
        let error = contents(&store, SHARD).expect_err("one bit was changed");
        assert!(is_corrupt(&error), "bit {bit}: {error}");
        fs::write(&path, &good).unwrap();
    }
    assert_eq!(contents(&store, SHARD).unwrap(), expected("meta", &["one", "", "three"]));
}

#[test]
fn a_snapshot_of_any_other_length_is_noticed() {
    let scene = scene();
    let path = file(&scene.path());
    let good = fs::read(&path).unwrap();
    let longer = [&good[..], b"x"].concat();
    let store = open(&scene.path()).unwrap();
    for bytes in (0..good.len()).map(|length| &good[..length]).chain([&longer[..]]) {
        fs::write(&path, bytes).unwrap();
        let error = contents(&store, SHARD).expect_err("its length was changed");
        assert!(is_corrupt(&error), "{} bytes: {error}", bytes.len());
    }
}

#[test]
fn a_damaged_snapshot_does_not_keep_the_store_from_opening() {
    let scene = scene();
    flip(&file(&scene.path()), 100);
    let store = open(&scene.path()).unwrap();
    assert!(is_corrupt(&contents(&store, SHARD).unwrap_err()));
    take(&store, SHARD, "new", &["sound"]);
    assert_eq!(contents(&store, SHARD).unwrap(), expected("new", &["sound"]));
}

#[test]
fn a_snapshot_that_went_away_is_noticed() {
    let scene = scene();
    fs::remove_file(file(&scene.path())).unwrap();
    let error = open(&scene.path()).expect_err("a snapshot is missing");
    assert!(is_corrupt(&error) && error.to_string().contains("missing"), "{error}");
}

#[test]
fn another_sound_snapshot_in_its_place_is_noticed() {
    let mut scene = scene();
    let copy = scene.copy();
    take(&open(&copy).unwrap(), SHARD, "meta", &["one", "", "other"]);
    fs::copy(file(&copy), file(&scene.path())).unwrap();
    let error = contents(&open(&scene.path()).unwrap(), SHARD).expect_err("it is another one");
    assert!(is_corrupt(&error), "{error}");
}

#[test]
fn a_snapshot_of_another_shard_is_noticed() {
    let mut scene = scene();
    let copy = scene.copy();
    take(&open(&copy).unwrap(), ShardId(2), "of 2", &["two"]);
    fs::remove_dir_all(copy.join("snapshots/1")).unwrap();
    fs::rename(copy.join("snapshots/2"), copy.join("snapshots/1")).unwrap();
    fs::remove_dir_all(copy.join("catalogue")).unwrap();
    let error = contents(&open(&copy).unwrap(), SHARD).expect_err("it is of shard 2");
    assert!(is_corrupt(&error) && error.to_string().contains("shard 2"), "{error}");
}

#[test]
fn a_lost_catalogue_is_made_anew_from_the_files() {
    let mut scene = scene();
    for wreck in [
        |catalogue: &Path| fs::remove_dir_all(catalogue).unwrap(),
        |catalogue: &Path| fs::write(catalogue.join("db"), [0xA5; 9_000]).unwrap(),
        |catalogue: &Path| fs::write(catalogue.join("conf"), b"what?").unwrap(),
    ] {
        let copy = scene.copy();
        wreck(&copy.join("catalogue"));
        let store = open(&copy).unwrap();
        assert_eq!(contents(&store, SHARD).unwrap(), expected("meta", &["one", "", "three"]));
        drop(store);
        // And it does its work again.
        fs::remove_file(file(&copy)).unwrap();
        assert!(is_corrupt(&open(&copy).expect_err("a snapshot is missing")));
    }
}

#[test]
fn a_catalogue_behind_the_files_catches_up() {
    let mut scene = scene();
    let before = scene.copy();
    take(&open(&scene.path()).unwrap(), SHARD, "newest", &["4"]);
    // As after a crash between the rename and the catalogue: both files, and the catalogue of before.
    let newest = file(&scene.path());
    fs::copy(&newest, file(&before).with_file_name(newest.file_name().unwrap())).unwrap();
    let store = open(&before).unwrap();
    assert_eq!(contents(&store, SHARD).unwrap(), expected("newest", &["4"]));
    take(&store, SHARD, "after", &["5"]);
    assert_eq!(fs::read_dir(before.join("snapshots/1")).unwrap().count(), 1);
    drop(store);
    assert_eq!(contents(&open(&before).unwrap(), SHARD).unwrap(), expected("after", &["5"]));
}

#[test]
fn what_a_crash_left_unfinished_is_removed() {
    let mut scene = scene();
    let store = open(&scene.path()).unwrap();
    let mut writer = store.begin_snapshot(SHARD, "never".into()).unwrap();
    writer.record(b"lost").unwrap();
    let copy = scene.copy();
    assert_eq!(fs::read_dir(copy.join("snapshots/1")).unwrap().count(), 2);
    let store = open(&copy).unwrap();
    file(&copy);
    assert_eq!(contents(&store, SHARD).unwrap(), expected("meta", &["one", "", "three"]));
}

#[test]
fn a_writer_that_outlives_its_store_keeps_the_directory_locked() {
    let scene = scene();
    let store = open(&scene.path()).unwrap();
    let writer = store.begin_snapshot(SHARD, "late".into()).unwrap();
    drop(store);
    assert!(matches!(open(&scene.path()), Err(StoreError::Locked { .. })));
    writer.finish().unwrap();
    assert_eq!(contents(&open(&scene.path()).unwrap(), SHARD).unwrap(), expected("late", &[]));
}
