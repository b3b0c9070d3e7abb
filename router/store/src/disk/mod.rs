//! The store on a disk: raft-engine for the log and the votes, plain files for snapshots, sled for the
//! catalogue, in one directory that belongs to one node and is used by one process.

mod apart;
mod catalogue;
mod directory;
mod draft;
mod durable;
mod ends;
#[doc(hidden)]
pub mod fuzzing;
mod header;
mod log;
mod log_sizes;
mod node_directory;
mod recover;
mod shard_log;
mod snapshot_file;
mod snapshots;
mod synced;
mod watched;

use std::sync::Arc;

use bytes::Bytes;
use orrery_model::ShardId;
use raft_engine::env::FileSystem;

pub use header::FORMAT;
pub use log_sizes::LogSizes;
pub use node_directory::NodeDirectory;
pub use snapshot_file::FORMAT as SNAPSHOT_FORMAT;

use crate::error::StoreError;
use crate::store::{
    Identity, LogState, Record, SnapshotReader, SnapshotWriter, Space, Store, WriteBatch,
};

/// A member's data directory in use.
struct DiskStore<F: FileSystem> {
    identity: Identity,
    log: log::Log<F>,
    snapshots: Arc<snapshots::Snapshots>,
    /// Dropped last: it holds the lock.
    directory: Arc<directory::Directory>,
}

impl<F: FileSystem> DiskStore<F> {
    fn open(
        directory: Arc<directory::Directory>,
        identity: Identity,
        sizes: LogSizes,
        file_system: Arc<F>,
    ) -> Result<Self, StoreError> {
        let log = log::Log::open(&directory, sizes, file_system)?;
        let snapshots = Arc::new(snapshots::Snapshots::open(directory.clone(), &identity)?);
        Ok(Self { identity, log, snapshots, directory })
    }
}

impl<F: FileSystem> Store for DiskStore<F> {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.log.write(batch)
    }

    fn log_state(&self, shard: ShardId) -> Result<LogState, StoreError> {
        Ok(self.log.log_state(shard))
    }

    fn entries(
        &self,
        shard: ShardId,
        from: u64,
        to: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.log.entries(shard, from, to, bytes_max)
    }

    fn vote(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError> {
        Ok(self.log.vote(shard))
    }

    fn committed(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError> {
        Ok(self.log.committed(shard))
    }

    fn left(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError> {
        Ok(self.log.left(shard))
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.log.reclaim()
    }

    fn begin_snapshot(
        &self,
        shard: ShardId,
        meta: Bytes,
    ) -> Result<Box<dyn SnapshotWriter>, StoreError> {
        self.snapshots.begin(shard, &meta)
    }

    fn snapshot(&self, shard: ShardId) -> Result<Option<Box<dyn SnapshotReader>>, StoreError> {
        self.snapshots.newest(shard)
    }

    fn remove_snapshot(&self, shard: ShardId) -> Result<(), StoreError> {
        self.snapshots.remove(shard)
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.directory.space()
    }
}
