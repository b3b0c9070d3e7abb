//! A disk that is really full: the store stops, and once there is space again everything acknowledged is
//! there. Needs the right to mount; who has not is told.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod small_disk;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use orrery_model::ShardId;
use orrery_router_store::contract::identity;
use orrery_router_store::disk::{LogSizes, NodeDirectory};
use orrery_router_store::{Disk, Opened, Record, Store, StoreError, Write, WriteBatch};
use small_disk::SmallDisk;

const SHARD: ShardId = ShardId(1);
const PAGE: u64 = 4096;

/// Log files of which several fit on the disk, so that space runs out also where one is begun.
const SIZES: LogSizes = LogSizes { file_bytes: 64 << 10, purge_bytes: 256 << 10 };

fn disk(path: &Path) -> NodeDirectory {
    NodeDirectory::new(path, identity().node, || identity().instance).with_log_sizes(SIZES)
}

fn open(path: &Path) -> Arc<dyn Store> {
    disk(path).adopt(identity()).unwrap()
}

fn record(index: u64) -> Record {
    let bytes = 10 + (index * 7919) % 9_000;
    Record { index, bytes: Bytes::from(vec![(index % 251) as u8; bytes as usize]) }
}

/// Entry `index`, and a vote that says so.
fn batch(index: u64) -> WriteBatch {
    let vote = Write::Vote(index.to_string().into());
    WriteBatch { writes: vec![(SHARD, Write::Append(vec![record(index)])), (SHARD, vote)] }
}

fn assert_log(store: &Arc<dyn Store>, last: u64) {
    assert_eq!(store.log_state(SHARD).unwrap().last_index, last);
    assert_eq!(store.vote(SHARD).unwrap(), Some(last.to_string().into()));
    for index in 1..=last {
        assert_eq!(store.entries(SHARD, index, index + 1, 0).unwrap(), [record(index)]);
    }
}

/// Everything that was acknowledged, and the write that failed or not: it may have reached the disk.
fn assert_at_least(store: &Arc<dyn Store>, last: u64) {
    let found = store.log_state(SHARD).unwrap().last_index;
    assert!(found == last || found == last + 1, "{found} where {last} was acknowledged");
    assert_log(store, found);
}

/// Writes until the disk is full, as far as `left` bytes go; gives the last entry that was acknowledged.
fn write_until_full(small: &SmallDisk, path: &Path, left: u64) -> u64 {
    let store = open(path);
    let mut last = store.log_state(SHARD).unwrap().last_index;
    for _ in 0..3 {
        last += 1;
        store.write(batch(last)).unwrap();
    }
    small.fill(left);
    let error = loop {
        match store.write(batch(last + 1)) {
            Ok(()) => last += 1,
            Err(error) => break error,
        }
    };
    assert!(error.is_full(), "with {left} bytes left: {error}");
    for write in [batch(last + 1), batch(last + 2), WriteBatch::default()] {
        assert!(matches!(store.write(write), Err(StoreError::Stopped)));
    }
    assert!(matches!(store.reclaim(), Err(StoreError::Stopped)));
    assert_log(&store, last);
    assert!(store.space().unwrap().free_bytes < 2 << 20);
    last
}

fn a_full_disk_stops_the_store_and_loses_nothing(small: &SmallDisk) {
    let path = small.path().join("data");
    for left in [0, 1, 2, 3, 5, 8, 13, 21, 60] {
        let last = write_until_full(small, &path, left * PAGE);
        // Opening needs a little space. Without it is refused, and breaks nothing.
        for _ in 0..2 {
            match disk(&path).open() {
                Ok(Opened::Member(store)) => assert_at_least(&store, last),
                Ok(Opened::Blank(blank)) => panic!("a member became blank: {blank:?}"),
                Err(error) => assert!(error.is_full(), "with {left} pages left: {error}"),
            }
        }
        small.empty();
        let store = open(&path);
        assert_at_least(&store, last);
        let last = store.log_state(SHARD).unwrap().last_index;
        store.write(batch(last + 1)).unwrap();
        drop(store);
        let store = open(&path);
        assert_log(&store, last + 1);
        // What follows is not to meet a disk that is full of old entries.
        store.write(WriteBatch { writes: vec![(SHARD, Write::Clear)] }).unwrap();
        for _ in 0..10 {
            store.reclaim().unwrap();
        }
    }
}

fn take(store: &Arc<dyn Store>, text: &str, bytes: usize) -> Result<(), StoreError> {
    let mut writer = store.begin_snapshot(SHARD, text.to_owned().into())?;
    for chunk in vec![text.as_bytes()[0]; bytes].chunks(60_000) {
        writer.record(chunk)?;
    }
    writer.finish()
}

/// The name and the length of the snapshot that is there.
fn snapshot(store: &Arc<dyn Store>) -> (Bytes, usize) {
    let mut reader = store.snapshot(SHARD).unwrap().unwrap();
    let mut bytes = 0;
    while let Some(record) = reader.next_record().unwrap() {
        assert!(record.iter().all(|byte| *byte == reader.meta()[0]));
        bytes += record.len();
    }
    (reader.meta().clone(), bytes)
}

fn a_snapshot_that_does_not_fit_is_lost_and_nothing_else(small: &SmallDisk) {
    let path = small.path().join("data");
    let store = open(&path);
    store.write(batch(1)).unwrap();
    take(&store, "older", 100_000).unwrap();
    for left in [0, 4, 16, 100] {
        small.fill(left * PAGE);
        let error = take(&store, "newer", 1 << 20).expect_err("it does not fit");
        assert!(error.is_full(), "with {left} pages left: {error}");
        assert_eq!(snapshot(&store), ("older".into(), 100_000));
        small.empty();
    }
    store.write(batch(2)).unwrap();
    take(&store, "small", 10).unwrap();
    drop(store);
    let store = open(&path);
    assert_log(&store, 2);
    assert_eq!(snapshot(&store), ("small".into(), 10));
}

/// With each page more the space runs out one step later: in the file, its folder, the catalogue, nowhere.
fn a_snapshot_is_there_whole_or_not_at_all_wherever_space_runs_out(small: &SmallDisk) {
    let path = small.path().join("data");
    let mut before = ("a".to_owned(), 1);
    let store = open(&path);
    store.write(batch(1)).unwrap();
    take(&store, &before.0, before.1).unwrap();
    drop(store);
    let (mut done, mut refused) = (0, 0);
    for left in 0..40 {
        let store = open(&path);
        let next = (char::from(b'b' + left as u8 % 20).to_string(), 5_000 + left);
        small.fill(left as u64 * PAGE);
        match take(&store, &next.0, next.1) {
            Ok(()) => {
                before = next;
                done += 1;
            }
            Err(error) => {
                assert!(error.is_full(), "with {left} pages left: {error}");
                refused += 1;
            }
        }
        let (meta, bytes) = snapshot(&store);
        assert_eq!((&meta[..], bytes), (before.0.as_bytes(), before.1), "with {left} pages left");
        drop(store);
        small.empty();
        let store = open(&path);
        let (meta, bytes) = snapshot(&store);
        assert_eq!((&meta[..], bytes), (before.0.as_bytes(), before.1), "with {left} pages left");
        assert_log(&store, 1);
    }
    assert!(done > 0 && refused > 0, "{done} were done and {refused} refused");
}

/// The catalogue is no part of a snapshot, and what is in it can be told again.
fn snapshots_go_on_when_the_catalogue_has_no_space(small: &SmallDisk) {
    let path = small.path().join("data");
    let store = open(&path);
    store.write(batch(1)).unwrap();
    take(&store, "older", 10).unwrap();
    small.fill(3 * PAGE);
    let mut taken = 0;
    // Each is as long as the one it replaces, so that only the catalogue grows.
    let error = loop {
        for _ in 0..50 {
            take(&store, "newer", 10).unwrap();
            taken += 1;
        }
        assert!(taken < 20_000, "the catalogue never ran out of space");
        match store.remove_snapshot(SHARD) {
            Ok(()) => assert!(store.snapshot(SHARD).unwrap().is_none()),
            Err(error) => break error,
        }
    };
    assert!(error.is_full(), "{error}");
    assert_eq!(snapshot(&store), ("newer".into(), 10));
    take(&store, "later", 10).unwrap();
    store.write(batch(2)).unwrap();
    drop(store);
    small.empty();
    let store = open(&path);
    assert_eq!(snapshot(&store), ("later".into(), 10));
    assert_log(&store, 2);
    store.remove_snapshot(SHARD).unwrap();
    drop(store);
    assert!(open(&path).snapshot(SHARD).unwrap().is_none());
}

fn a_directory_that_does_not_fit_stays_blank(small: &SmallDisk) {
    let mut adopted = 0;
    for left in 0..40 {
        let path = small.path().join(format!("data {left}"));
        small.fill(left * PAGE);
        let first = disk(&path);
        match first.adopt(identity()) {
            Ok(_) => adopted += 1,
            Err(error) => assert!(error.is_full(), "with {left} pages left: {error}"),
        }
        small.empty();
        let store = first.adopt(identity()).unwrap();
        store.write(batch(1)).unwrap();
        drop((first, store));
        assert_log(&open(&path), 1);
        std::fs::remove_dir_all(path).unwrap();
    }
    assert!(adopted < 40, "space never ran out");
}

macro_rules! on_full_disks {
    ($($rule:ident,)*) => {
        mod in_memory {
            $(#[test] fn $rule() {
                if let Some(small) = super::SmallDisk::in_memory() { super::$rule(&small) }
            })*
        }
        mod ext4 {
            $(#[test] fn $rule() {
                if let Some(small) = super::SmallDisk::ext4() { super::$rule(&small) }
            })*
        }
    };
}

on_full_disks! {
    a_full_disk_stops_the_store_and_loses_nothing,
    a_snapshot_that_does_not_fit_is_lost_and_nothing_else,
    a_snapshot_is_there_whole_or_not_at_all_wherever_space_runs_out,
    snapshots_go_on_when_the_catalogue_has_no_space,
    a_directory_that_does_not_fit_stays_blank,
}
