//! The contract, held by the disk.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod faults;

use std::sync::Arc;

use faults::FaultyFileSystem;
use orrery_router_store::contract::{Place, identity};
use orrery_router_store::disk::{DiskStore, Expected};
use orrery_router_store::{Store, StoreError};
use tempfile::TempDir;

struct DiskPlace {
    folder: TempDir,
    file_system: FaultyFileSystem,
}

impl Place for DiskPlace {
    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        let store = DiskStore::open_or_create_on(
            &self.folder.path().join("data"),
            &Expected::default(),
            identity,
            Arc::new(self.file_system.clone()),
        )?;
        Ok(Box::new(store))
    }

    fn fail_next_write(&self) {
        self.file_system.0.fail_next_sync();
    }

    fn crash(&self) {}
}

fn place() -> Box<dyn Place> {
    let folder = tempfile::tempdir().unwrap();
    Box::new(DiskPlace { folder, file_system: FaultyFileSystem::default() })
}

orrery_router_store::contract_tests!(place);
