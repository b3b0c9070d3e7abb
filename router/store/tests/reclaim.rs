//! A log that is purged as it grows stays within its bounds, and what quiet shards hold survives being
//! moved out of the way.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod scene;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use orrery_model::ShardId;
use orrery_router_store::disk::LogSizes;
use orrery_router_store::limits::{LOG_FILE_BYTES, LOG_PURGE_BYTES};
use orrery_router_store::{Disk, Record, Store, Write, WriteBatch};
use scene::{Scene, create, disk, identity, log_files, open};

const BUSY: ShardId = ShardId(1);
const QUIET: ShardId = ShardId(2);
const KEPT: u64 = 20;

fn record(index: u64) -> Record {
    Record { index, bytes: Bytes::from(vec![(index % 251) as u8; 1 << 20]) }
}

fn append(shard: ShardId, index: u64) -> (ShardId, Write) {
    (shard, Write::Append(vec![record(index)]))
}

fn bytes_of_log(path: &Path) -> u64 {
    let files = fs::read_dir(path.join("log")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
}

fn assert_sound(store: &Arc<dyn Store>, last: u64) {
    let busy = store.log_state(BUSY).unwrap();
    assert_eq!((busy.purged_index, busy.last_index), (last - KEPT, last));
    for index in last - KEPT + 1..=last {
        assert_eq!(store.entries(BUSY, index, index + 1, 0).unwrap(), [record(index)]);
    }
    assert_eq!(store.vote(QUIET).unwrap(), Some("quiet".into()));
    assert_eq!(store.log_state(QUIET).unwrap().purged, Some("at 2".into()));
    assert_eq!(store.entries(QUIET, 3, 6, usize::MAX).unwrap(), [3, 4, 5].map(record));
}

#[test]
fn a_purged_log_gives_its_space_back_and_loses_nothing() {
    let mut scene = Scene::new();
    let store = create(&scene.path());
    let quiet = (1..=5).map(|index| append(QUIET, index));
    let purge = Write::Purge { index: 2, position: "at 2".into() };
    let small = [(QUIET, Write::Vote("quiet".into())), (QUIET, purge)];
    store.write(WriteBatch { writes: quiet.chain(small).collect() }).unwrap();
    let last = 3 * LOG_PURGE_BYTES / (1 << 20);
    let mut rewritten = false;
    for index in 1..=last {
        let mut writes = vec![append(BUSY, index)];
        if index > KEPT {
            let index = index - KEPT;
            writes.push((BUSY, Write::Purge { index, position: format!("at {index}").into() }));
        }
        store.write(WriteBatch { writes }).unwrap();
        if index % 8 == 0 {
            store.reclaim().unwrap();
            rewritten |= log_files(&scene.path(), "rewrite")
                .iter()
                .any(|file| file.metadata().unwrap().len() > 1 << 20);
        }
    }
    assert!(rewritten, "the quiet shard's entries were never moved, so nothing was tried");
    // Files kept for reuse count half as many again, and one file is always being written.
    let bound = LOG_PURGE_BYTES * 3 / 2 + 3 * LOG_FILE_BYTES;
    assert!(bytes_of_log(&scene.path()) <= bound, "{} bytes", bytes_of_log(&scene.path()));
    assert_sound(&store, last);
    let killed = scene.copy();
    assert_sound(&open(&killed).unwrap(), last);
    drop(store);
    for _ in 0..2 {
        let store = open(&scene.path()).unwrap();
        assert_sound(&store, last);
        store.reclaim().unwrap();
    }
    let store = open(&killed).unwrap();
    store.write(WriteBatch { writes: vec![append(QUIET, 6), append(BUSY, last + 1)] }).unwrap();
    store.reclaim().unwrap();
    assert_eq!(store.entries(QUIET, 6, 7, 0).unwrap(), [record(6)]);
}

/// Log files of which more are filled than are kept for reuse.
const SMALL: LogSizes = LogSizes { file_bytes: 16 << 10, purge_bytes: 64 << 10 };

fn small(index: u64) -> Record {
    Record { index, bytes: Bytes::from(vec![(index % 251) as u8; 4 << 10]) }
}

fn grow(store: &Arc<dyn Store>, indices: std::ops::RangeInclusive<u64>) {
    for index in indices {
        store
            .write(WriteBatch { writes: vec![(BUSY, Write::Append(vec![small(index)]))] })
            .unwrap();
    }
}

fn purge(store: &Arc<dyn Store>, index: u64) {
    let purge = Write::Purge { index, position: Bytes::new() };
    store.write(WriteBatch { writes: vec![(BUSY, purge)] }).unwrap();
}

fn numbers(path: &Path) -> Vec<u64> {
    let files = log_files(path, "raftlog");
    files.iter().map(|file| file.file_stem().unwrap().to_str().unwrap().parse().unwrap()).collect()
}

/// Of the files that are given back at once the oldest are kept for reuse: behind them is a gap.
#[test]
fn a_store_killed_while_it_gives_files_back_is_whole_and_keeps_none_for_ever() {
    let mut scene = Scene::new();
    let store = disk(&scene.path()).with_log_sizes(SMALL).adopt(identity()).unwrap();
    grow(&store, 1..=100);
    purge(&store, 90);
    let assert_whole = |path: &Path| {
        let entries = open(path).unwrap().entries(BUSY, 91, 101, usize::MAX).unwrap();
        assert_eq!(entries, (91..=100).map(small).collect::<Vec<_>>());
    };

    // Killed before it says which files are there: what it says then cannot be written.
    let said = scene.path().join("ends.writing");
    fs::create_dir(&said).unwrap();
    store.reclaim().unwrap_err();
    let killed = scene.copy();
    fs::remove_dir(killed.join("ends.writing")).unwrap();
    assert_whole(&killed);
    drop(store);
    fs::remove_dir(&said).unwrap();
    fs::remove_dir_all(scene.path()).unwrap();

    // Killed after it has.
    let store = disk(&scene.path()).with_log_sizes(SMALL).adopt(identity()).unwrap();
    grow(&store, 1..=100);
    purge(&store, 90);
    store.reclaim().unwrap();
    let killed = scene.copy();
    let there = numbers(&killed);
    let gap = there.windows(2).rposition(|pair| pair[1] != pair[0] + 1).expect("there is a gap");
    assert_whole(&killed);
    assert_eq!(numbers(&killed), there[gap + 1..]);
}
