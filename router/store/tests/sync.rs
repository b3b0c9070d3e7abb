//! What is acknowledged was synced, and after a failed sync nothing is changed any more.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod faults;
mod scene;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use faults::{Faults, FaultyFileSystem};
use orrery_model::ShardId;
use orrery_router_store::contract::identity;
use orrery_router_store::disk::NodeDirectory;
use orrery_router_store::limits::LOG_PURGE_BYTES;
use orrery_router_store::{Disk, Record, Store, StoreError, Write, WriteBatch};
use scene::quick_folder;
use tempfile::TempDir;

fn open(folder: &TempDir) -> (Arc<dyn Store>, Arc<Faults>) {
    let file_system = FaultyFileSystem::default();
    let faults = file_system.0.clone();
    let (path, instance) = (folder.path().join("data"), || identity().instance);
    let disk = NodeDirectory::new_on(path, identity().node, instance, Arc::new(file_system));
    (disk.adopt(identity()).unwrap(), faults)
}

fn append(index: u64, bytes: usize) -> WriteBatch {
    let record = Record { index, bytes: vec![index as u8; bytes].into() };
    WriteBatch { writes: vec![(ShardId(1), Write::Append(vec![record]))] }
}

#[test]
fn each_write_ends_in_a_sync_of_all_it_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let (store, faults) = open(&folder);
    let mut syncs = faults.syncs.load(Ordering::SeqCst);
    let small = [
        Write::Vote("v".into()),
        Write::Committed("c".into()),
        Write::TruncateAfter(Some(30)),
        Write::Purge { index: 3, position: "p".into() },
    ];
    // Large entries, so that files are ended and begun on the way.
    let appends = (1..=40).map(|index| append(index, 1 << 20));
    let small = small.map(|write| WriteBatch { writes: vec![(ShardId(1), write)] });
    for batch in appends.chain(small) {
        store.write(batch).unwrap();
        let now = faults.syncs.load(Ordering::SeqCst);
        assert!(now > syncs, "a write was acknowledged without a sync");
        assert_eq!(faults.unsynced.load(Ordering::SeqCst), 0, "something was left unsynced");
        syncs = now;
    }
}

#[test]
fn the_nth_failed_sync_is_the_last_change_of_the_store() {
    for succeeding in [0, 1, 5, 15, 16, 17, 30] {
        let folder = tempfile::tempdir().unwrap();
        let (store, faults) = open(&folder);
        for index in 1..=succeeding {
            store.write(append(index, 1 << 20)).unwrap();
        }
        faults.fail_next_sync();
        let error = store.write(append(succeeding + 1, 1 << 20)).expect_err("its sync failed");
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        // The disk is well again, but what it holds is unknown.
        for _ in 0..3 {
            let error = store.write(append(succeeding + 1, 9)).expect_err("it has stopped");
            assert!(matches!(error, StoreError::Stopped), "{error}");
        }
        assert!(matches!(store.reclaim(), Err(StoreError::Stopped)));
        drop(store);
        assert_eq!(faults.changes_after_failure.load(Ordering::SeqCst), 0, "{succeeding}");
        let (store, _) = open(&folder);
        let last = store.log_state(ShardId(1)).unwrap().last_index;
        assert!(last == succeeding || last == succeeding + 1, "{last} after {succeeding}");
        for index in 1..=succeeding {
            let found = store.entries(ShardId(1), index, index + 1, 0).unwrap();
            assert_eq!(found[0].bytes, vec![index as u8; 1 << 20]);
        }
    }
}

/// Wherever within a write, also where the engine tries to go on in another file.
#[test]
fn a_full_disk_stops_the_store_and_loses_nothing() {
    for space in (0..400).step_by(9) {
        let folder = tempfile::tempdir_in(quick_folder()).unwrap();
        let (store, faults) = open(&folder);
        store.write(append(1, 100)).unwrap();
        faults.fill_after(space);
        let mut last = 1;
        let error = loop {
            match store.write(append(last + 1, 100)) {
                Ok(()) => last += 1,
                Err(error) => break error,
            }
        };
        assert!(error.is_full(), "{space} bytes: {error}");
        assert!(matches!(store.write(append(last + 1, 100)), Err(StoreError::Stopped)));
        let found = store.entries(ShardId(1), 1, last + 1, usize::MAX).unwrap();
        assert_eq!(found.len() as u64, last);
        drop(store);
        let (store, _) = open(&folder);
        let log = store.log_state(ShardId(1)).unwrap();
        assert_eq!(log.last_index, last, "{space} bytes");
        store.write(append(last + 1, 100)).unwrap();
        let found = store.entries(ShardId(1), 1, last + 2, usize::MAX).unwrap();
        assert!(found.iter().all(|record| *record.bytes == vec![record.index as u8; 100]));
    }
}

#[test]
fn a_sync_that_fails_while_space_is_reclaimed_stops_the_store_before_anything_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let (store, faults) = open(&folder);
    let vote = (ShardId(2), Write::Vote("kept".into()));
    store.write(WriteBatch { writes: vec![vote] }).unwrap();
    let last = LOG_PURGE_BYTES / (1 << 20) + 20;
    for index in 1..=last {
        store.write(append(index, 1 << 20)).unwrap();
    }
    let purge = Write::Purge { index: last - 1, position: "p".into() };
    store.write(WriteBatch { writes: vec![(ShardId(1), purge)] }).unwrap();
    faults.fail_next_sync();
    let error = store.reclaim().expect_err("the vote could not be moved");
    assert!(!matches!(error, StoreError::Stopped), "{error}");
    assert!(matches!(store.write(append(last + 1, 9)), Err(StoreError::Stopped)));
    assert!(matches!(store.reclaim(), Err(StoreError::Stopped)));
    drop(store);
    assert_eq!(faults.changes_after_failure.load(Ordering::SeqCst), 0);
    let (store, _) = open(&folder);
    assert_eq!(store.vote(ShardId(2)).unwrap(), Some("kept".into()));
    store.reclaim().unwrap();
    assert_eq!(store.entries(ShardId(1), last, last + 1, 0).unwrap().len(), 1);
}
