//! The contract, held by the model, whatever a crash leaves of what was not synced.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

use orrery_router_store::contract::{Place, identity};
use orrery_router_store::model::ModelDisk;
use orrery_router_store::{Store, StoreError};

struct ModelPlace {
    disk: ModelDisk,
    keep: fn(usize) -> usize,
}

impl Place for ModelPlace {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        Ok(Box::new(self.disk.open()?))
    }

    fn fail_next_write(&self) {
        self.disk.fail_next_write();
    }

    fn crash(&self) {
        self.disk.crash(self.keep);
    }
}

fn place(keep: fn(usize) -> usize) -> Box<dyn Place> {
    Box::new(ModelPlace { disk: ModelDisk::new(identity()), keep })
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
