//! The store on a disk: raft-engine for the log and the votes, plain files for snapshots, sled for the
//! catalogue, in one directory that belongs to one node and is used by one process.

mod apart;
mod catalogue;
mod directory;
mod draft;
mod durable;
mod header;
mod log;
mod recover;
mod shard_log;
mod snapshot_file;
mod snapshots;
mod synced;
mod watched;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use orrery_model::ShardId;
use raft_engine::env::{DefaultFileSystem, FileSystem};

pub use directory::Expected;
pub use header::FORMAT;
pub use snapshot_file::FORMAT as SNAPSHOT_FORMAT;

use crate::error::StoreError;
use crate::store::{Identity, LogState, Record, SnapshotReader, SnapshotWriter, Store, WriteBatch};

/// A node's data directory. `F` is the file system under the log, where faults can be injected.
pub struct DiskStore<F: FileSystem = DefaultFileSystem> {
    identity: Identity,
    log: log::Log<F>,
    snapshots: Arc<snapshots::Snapshots>,
    /// Dropped last: it holds the lock.
    _directory: Arc<directory::Directory>,
}

impl DiskStore {
    /// Opens a directory that was made before.
    ///
    /// # Errors
    /// When it is not there ([`StoreError::Io`]), in use, another's, newer or damaged. Only a directory
    /// in use is worth another try.
    pub fn open(path: &Path, expected: &Expected) -> Result<Self, StoreError> {
        let directory = directory::Directory::open(path, expected)?;
        Self::start(directory, Arc::new(DefaultFileSystem))
    }

    /// Opens a directory, or makes it for the identity that `make` gives. It is made whole or not at all:
    /// a crash in between leaves what the next call makes anew.
    ///
    /// # Errors
    /// As [`DiskStore::open`], and when the folder holds files but is no data directory.
    pub fn open_or_create(
        path: &Path,
        expected: &Expected,
        make: impl FnOnce() -> Identity,
    ) -> Result<Self, StoreError> {
        Self::open_or_create_on(path, expected, make, Arc::new(DefaultFileSystem))
    }
}

impl<F: FileSystem> DiskStore<F> {
    /// As [`DiskStore::open_or_create`], with the log's files on `file_system`.
    ///
    /// # Errors
    /// As [`DiskStore::open_or_create`].
    pub fn open_or_create_on(
        path: &Path,
        expected: &Expected,
        make: impl FnOnce() -> Identity,
        file_system: Arc<F>,
    ) -> Result<Self, StoreError> {
        let directory = directory::Directory::open_or_create(path, expected, make)?;
        Self::start(directory, file_system)
    }

    fn start(directory: directory::Directory, file_system: Arc<F>) -> Result<Self, StoreError> {
        let directory = Arc::new(directory);
        let log = log::Log::open(&directory.log(), &directory.synced(), file_system)?;
        let identity = directory.identity().clone();
        let snapshots = Arc::new(snapshots::Snapshots::open(directory.clone())?);
        directory.complete()?;
        Ok(Self { identity, log, snapshots, _directory: directory })
    }
}

impl<F: FileSystem> fmt::Debug for DiskStore<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskStore").field("identity", &self.identity).finish_non_exhaustive()
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
}
