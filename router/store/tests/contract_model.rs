//! The contract, held by the model, whatever a crash leaves of what was not synced.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use std::sync::Arc;

use orrery_router_store::contract::{Place, identity};
use orrery_router_store::model::ModelDisk;
use orrery_router_store::{Disk, Space, Store, StoreError};

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
