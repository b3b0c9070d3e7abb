//! A store whose writes can be held up, and that counts them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use orrery_model::ShardId;
use orrery_router_store::{
    Identity, LogState, Record, SnapshotReader, SnapshotWriter, Space, Store, StoreError,
    WriteBatch,
};
use parking_lot::{Condvar, Mutex};

pub(crate) struct GatedStore {
    inner: Arc<dyn Store>,
    shut: Mutex<bool>,
    opened: Condvar,
    pub(crate) writes: AtomicUsize,
}

impl GatedStore {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        let (shut, opened, writes) = (Mutex::new(false), Condvar::new(), AtomicUsize::new(0));
        Self { inner, shut, opened, writes }
    }

    /// Holds up every write from now on.
    pub(crate) fn shut(&self) {
        *self.shut.lock() = true;
    }

    pub(crate) fn open(&self) {
        *self.shut.lock() = false;
        self.opened.notify_all();
    }
}

impl Store for GatedStore {
    fn identity(&self) -> &Identity {
        self.inner.identity()
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut shut = self.shut.lock();
        while *shut {
            self.opened.wait(&mut shut);
        }
        drop(shut);
        self.writes.fetch_add(1, Ordering::SeqCst);
        self.inner.write(batch)
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
        self.inner.entries(shard, from, to, bytes_max)
    }

    fn vote(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError> {
        self.inner.vote(shard)
    }

    fn committed(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError> {
        self.inner.committed(shard)
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.inner.reclaim()
    }

    fn begin_snapshot(
        &self,
        shard: ShardId,
        meta: Bytes,
    ) -> Result<Box<dyn SnapshotWriter>, StoreError> {
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
