//! The contract, held by the disk.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod faults;

use std::sync::Arc;

use faults::FaultyFileSystem;
use orrery_router_store::Disk;
use orrery_router_store::contract::{Place, identity};
use orrery_router_store::disk::NodeDirectory;
use tempfile::TempDir;

struct DiskPlace {
    folder: TempDir,
    file_system: FaultyFileSystem,
}

impl Place for DiskPlace {
    fn disk(&self) -> Arc<dyn Disk> {
        Arc::new(NodeDirectory::new_on(
            self.folder.path().join("data"),
            identity().node,
            || identity().instance,
            Arc::new(self.file_system.clone()),
        ))
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
