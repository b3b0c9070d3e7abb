//! A store whose writes and reads of the log and whose snapshots can be held up, and that counts its writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use orrery_model::ShardId;
use orrery_router_store::{
    Identity, LogState, Record, SnapshotReader, SnapshotWriter, Space, Store, StoreError,
    WriteBatch,
};
use parking_lot::{Condvar, Mutex};

/// Lets threads pass while it is open.
#[derive(Default)]
pub(crate) struct Gate {
    shut: Mutex<bool>,
    opened: Condvar,
    /// Threads that wait in front of it.
    pub(crate) waiting: AtomicUsize,
}

impl Gate {
    pub(crate) fn shut(&self) {
        *self.shut.lock() = true;
    }

    pub(crate) fn open(&self) {
        *self.shut.lock() = false;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let mut shut = self.shut.lock();
        self.waiting.fetch_add(1, Ordering::SeqCst);
        while *shut {
            self.opened.wait(&mut shut);
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

pub(crate) struct GatedStore {
    inner: Arc<dyn Store>,
    before_write: Gate,
    /// What is behind it is in the store already, and nobody has been told.
    pub(crate) after_write: Gate,
    pub(crate) reads: Gate,
    pub(crate) writes: AtomicUsize,
    /// Snapshots begun.
    pub(crate) snapshots: AtomicUsize,
    /// What is in front of it has begun a snapshot and written nothing of it.
    pub(crate) snapshot_writes: Gate,
}

impl GatedStore {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        let (before_write, after_write, reads) = Default::default();
        let (writes, snapshots, snapshot_writes) = Default::default();
        Self { inner, before_write, after_write, reads, writes, snapshots, snapshot_writes }
    }

    /// Holds up every write from now on.
    pub(crate) fn shut(&self) {
        self.before_write.shut();
    }

    pub(crate) fn open(&self) {
        self.before_write.open();
    }
}

impl Store for GatedStore {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.before_write.pass();
        self.writes.fetch_add(1, Ordering::SeqCst);
        let written = self.inner.write(batch);
        self.after_write.pass();
        written
    }

    fn log_state(&self, shard: ShardId) -> Result<LogState, StoreError> {
        self.inner.log_state(shard)
    }

    fn entries(
        &self,
        shard: ShardId,
        from: u64,
        to: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.reads.pass();
        self.inner.entries(shard, from, to, bytes_max)
    }

    fn vote(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError> {
        self.inner.vote(shard)
    }

    fn committed(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError> {
        self.inner.committed(shard)
    }

    fn left(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError> {
        self.inner.left(shard)
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.inner.reclaim()
    }

    fn begin_snapshot(
        &self,
        shard: ShardId,
        meta: Bytes,
    ) -> Result<Box<dyn SnapshotWriter>, StoreError> {
        self.snapshots.fetch_add(1, Ordering::SeqCst);
        self.snapshot_writes.pass();
        self.inner.begin_snapshot(shard, meta)
    }

    fn snapshot(&self, shard: ShardId) -> Result<Option<Box<dyn SnapshotReader>>, StoreError> {
        self.inner.snapshot(shard)
    }
    fn remove_snapshot(&self, shard: ShardId) -> Result<(), StoreError> {
        self.inner.remove_snapshot(shard)
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.inner.space()
    }
}
