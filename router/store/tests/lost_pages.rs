//! A disk that takes no more writes and is well again later. The kernel gives up the pages that it could not
//! write and shows them until it needs their memory: a sync that succeeds then says nothing about them.
//! Needs the right to mount; who has not is told.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod small_disk;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use orrery_model::ShardId;
use orrery_router_store::contract::identity;
use orrery_router_store::disk::NodeDirectory;
use orrery_router_store::{Disk, Record, Store, StoreError, Write, WriteBatch};
use small_disk::SmallDisk;

const SHARD: ShardId = ShardId(1);

fn open(path: &Path) -> Arc<dyn Store> {
    NodeDirectory::new(path, identity().node, || identity().instance).adopt(identity()).unwrap()
}

fn record(index: u64) -> Record {
    Record { index, bytes: Bytes::from(vec![(index % 251) as u8; 300_000]) }
}

fn append(store: &Arc<dyn Store>, index: u64) -> Result<(), StoreError> {
    let writes = vec![(SHARD, Write::Append(vec![record(index)]))];
    store.write(WriteBatch { writes })
}

/// Writes until the disk takes no more; the last entry that was acknowledged.
fn write_until_it_fails(store: &Arc<dyn Store>) -> u64 {
    let mut last = store.log_state(SHARD).unwrap().last_index;
    while append(store, last + 1).is_ok() {
        last += 1;
        assert!(last < 1_000, "the disk takes all");
    }
    last
}

#[test]
fn what_is_seen_after_a_failed_sync_survives_the_next_power_cut() {
    let Some((ground, mut small)) = SmallDisk::ext4_in_memory() else { return };
    let path = small.path().join("data");
    let store = open(&path);
    append(&store, 1).unwrap();
    small.trim();
    ground.fill(0);
    let acknowledged = write_until_it_fails(&store);
    drop(store);
    ground.empty();

    let store = open(&path);
    let seen = store.log_state(SHARD).unwrap().last_index;
    assert_eq!(seen, acknowledged + 1, "the kernel shows what it did not write");
    drop(store);
    small.mount_again();

    let store = open(&path);
    assert_eq!(store.log_state(SHARD).unwrap().last_index, seen);
    for index in 1..=seen {
        assert_eq!(store.entries(SHARD, index, index + 1, 0).unwrap(), [record(index)]);
    }
    append(&store, seen + 1).unwrap();
}
