//! The contract, held by the model, whatever a crash leaves of what was not synced.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::sync::Arc;

use orrery_model::ShardId;
use orrery_router_store::contract::{Place, identity};
use orrery_router_store::model::ModelDisk;
use orrery_router_store::{Disk, Record, Space, Store, StoreError, Write, WriteBatch};

struct ModelPlace {
    disk: ModelDisk,
    keep: fn(usize) -> usize,
}

impl Place for ModelPlace {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn fail_next_write(&self) {
        self.disk.fail_next_write();
    }

    fn crash(&self) {
        self.disk.crash(self.keep);
    }
}

fn place(keep: fn(usize) -> usize) -> Box<dyn Place> {
    let disk = ModelDisk::blank(identity().node, identity().instance);
    Box::new(ModelPlace { disk, keep })
}

mod crash_loses_everything_unsynced {
    orrery_router_store::contract_tests!(|| super::place(|_| 0));
}

mod crash_keeps_half_of_it {
    orrery_router_store::contract_tests!(|| super::place(|count| count / 2));
}

mod crash_keeps_nearly_all_of_it {
    orrery_router_store::contract_tests!(|| super::place(|count| count.saturating_sub(1)));
}

mod crash_keeps_all_of_it {
    orrery_router_store::contract_tests!(|| super::place(|count| count));
}

#[test]
fn a_store_that_was_open_in_a_crash_is_dead() {
    let disk = ModelDisk::new(identity());
    let store = disk.open().unwrap();
    disk.crash(|_| 0);
    assert!(matches!(store.write(Default::default()), Err(StoreError::Stopped)));
    assert!(matches!(store.vote(Default::default()), Err(StoreError::Stopped)));
    let next = disk.open().unwrap();
    drop(store);
    assert!(matches!(disk.open(), Err(StoreError::Locked { .. })));
    next.write(Default::default()).unwrap();
}

#[test]
fn power_that_goes_in_the_middle_of_a_write_leaves_a_prefix_of_it() {
    let record = |index| Record { index, bytes: "entry".into() };
    let shards = [ShardId(1), ShardId(2)];
    let batch = || WriteBatch {
        writes: vec![
            (shards[0], Write::Append(vec![record(2), record(3)])),
            (shards[1], Write::Vote("given".into())),
            (shards[1], Write::Append(vec![record(1)])),
        ],
    };
    for draw in 0..10 {
        let disk = ModelDisk::new(identity());
        let store = disk.open().unwrap();
        let acknowledged = Write::Append(vec![record(1)]);
        store.write(WriteBatch { writes: vec![(shards[0], acknowledged)] }).unwrap();
        disk.cut_in_next_write(draw);
        assert!(disk.is_to_be_cut());
        assert!(matches!(store.write(batch()), Err(StoreError::Stopped)));
        assert!(!disk.is_to_be_cut());
        assert!(matches!(store.vote(shards[1]), Err(StoreError::Stopped)), "it is dead");
        let found = disk.open().unwrap();
        let ends = shards.map(|shard| found.log_state(shard).unwrap().last_index);
        let vote = found.vote(shards[1]).unwrap().is_some();
        let expected =
            [([1, 0], false), ([2, 0], false), ([3, 0], false), ([3, 0], true), ([3, 1], true)];
        assert_eq!((ends, vote), expected[draw as usize % 5], "of 4 changes {}", draw % 5);
        found.write(WriteBatch { writes: vec![(shards[1], Write::Vote("next".into()))] }).unwrap();
    }
}

#[test]
fn a_disk_may_be_a_members_from_the_beginning() {
    let disk = ModelDisk::new(identity());
    let store = disk.open().unwrap();
    assert_eq!(store.identity(), &identity());
    drop(store);
    assert_eq!(disk.adopt(identity()).unwrap().identity(), &identity());
}

#[test]
fn a_crash_makes_neither_a_blank_disk_a_members_nor_the_opposite() {
    let disk = ModelDisk::blank(identity().node, identity().instance);
    assert!(matches!(disk.open(), Err(StoreError::Foreign { .. })));
    disk.crash(|_| 0);
    let store = disk.adopt(identity()).unwrap();
    disk.crash(|_| 0);
    assert!(matches!(store.vote(Default::default()), Err(StoreError::Stopped)));
    let next = disk.adopt(identity()).unwrap();
    next.write(Default::default()).unwrap();
    assert!(matches!(store.write(Default::default()), Err(StoreError::Stopped)));
}

#[test]
fn its_space_is_what_was_said() {
    let disk = ModelDisk::new(identity());
    let space = Space { free_bytes: 7, total_bytes: 9 };
    disk.set_space(space);
    assert_eq!(disk.open().unwrap().space().unwrap(), space);
}

#[test]
fn the_power_goes_while_a_snapshot_is_put_in_place_or_removed() {
    let shard = ShardId(1);
    let meta = |disk: &ModelDisk| {
        let snapshot = disk.open().unwrap().snapshot(shard).unwrap();
        snapshot.map(|reader| reader.meta().clone())
    };
    for is_done in [false, true] {
        let disk = ModelDisk::new(identity());
        let store = disk.open().unwrap();
        store.begin_snapshot(shard, "older".into()).unwrap().finish().unwrap();
        disk.cut_in_next_write(u64::from(is_done));
        let newer = store.begin_snapshot(shard, "newer".into()).unwrap();
        assert!(matches!(newer.finish(), Err(StoreError::Stopped)));
        assert!(matches!(store.vote(shard), Err(StoreError::Stopped)), "it is dead");
        let expected = if is_done { "newer" } else { "older" };
        assert_eq!(meta(&disk), Some(expected.into()));

        let store = disk.open().unwrap();
        disk.cut_in_next_write(u64::from(is_done));
        assert!(matches!(store.remove_snapshot(shard), Err(StoreError::Stopped)));
        assert_eq!(meta(&disk).is_none(), is_done);
    }
}
