//! The store in memory, for simulation: a disk that outlives its node, knows what was synced, and loses
//! the rest in a crash.

mod image;

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use orrery_model::ShardId;
use parking_lot::Mutex;

use self::image::{Image, Snapshot};
use crate::error::StoreError;
use crate::limits::{SNAPSHOT_META_BYTES_MAX, SNAPSHOT_RECORD_BYTES_MAX};
use crate::store::{
    Identity, LogState, Record, SnapshotReader, SnapshotWriter, Store, Write, WriteBatch,
};

/// Where the model's files would lie, in errors.
const PATH: &str = "(in memory)";

/// A disk in memory. Clones are the same disk; a node that is started again opens it again.
#[derive(Debug, Clone)]
pub struct ModelDisk {
    identity: Identity,
    contents: Arc<Mutex<Contents>>,
}

#[derive(Debug, Default)]
struct Contents {
    synced: BTreeMap<ShardId, Image>,
    /// Changes that reached only the disk's cache, one entry or value each, in order.
    unsynced: Vec<(ShardId, Write)>,
    /// How often the disk was opened; only the last opening may use it.
    openings: u64,
    open: bool,
    /// The open store refuses writes after an earlier failure.
    stopped: bool,
    /// How many writes succeed before one fails, where that was asked for.
    writes_until_failure: Option<u64>,
}

impl ModelDisk {
    /// Makes an empty disk for a node.
    pub fn new(identity: Identity) -> Self {
        Self { identity, contents: Arc::default() }
    }

    /// Opens the disk, as a node does when it starts.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while an earlier opening is neither dropped nor crashed.
    pub fn open(&self) -> Result<ModelStore, StoreError> {
        let mut contents = self.contents.lock();
        if contents.open {
            return Err(StoreError::Locked { path: PATH.into() });
        }
        // What a killed process left in the cache is about to be seen, so it is made durable first.
        contents.sync();
        contents.openings += 1;
        contents.open = true;
        contents.stopped = false;
        Ok(ModelStore { disk: self.clone(), opening: contents.openings })
    }

    /// Cuts the power: the store that is open is dead, and of the changes that were not synced only a
    /// prefix is there afterwards. `keep` is given their number and says how many.
    pub fn crash(&self, keep: impl FnOnce(usize) -> usize) {
        let mut contents = self.contents.lock();
        contents.open = false;
        let kept = keep(contents.unsynced.len());
        contents.unsynced.truncate(kept);
    }

    /// Lets a write fail after `succeeding` others: its changes reach the disk's cache, its sync fails.
    pub fn fail_write_after(&self, succeeding: u64) {
        self.contents.lock().writes_until_failure = Some(succeeding);
    }

    /// Lets the next write fail.
    pub fn fail_next_write(&self) {
        self.fail_write_after(0);
    }
}

impl Contents {
    fn write(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut bounds = BTreeMap::new();
        for (shard, write) in &batch.writes {
            let bounds = bounds.entry(*shard).or_insert_with(|| {
                self.synced.get(shard).map(|image| image.bounds).unwrap_or_default()
            });
            image::check(bounds, *shard, write)?;
        }
        for (shard, write) in batch.writes {
            self.unsynced.extend(image::parts(write).into_iter().map(|part| (shard, part)));
        }
        match &mut self.writes_until_failure {
            Some(0) => {
                self.writes_until_failure = None;
                let source = io::Error::other("a failure was asked for");
                return Err(StoreError::io("sync", Path::new(PATH))(source));
            }
            Some(left) => *left -= 1,
            None => {}
        }
        self.sync();
        Ok(())
    }

    fn sync(&mut self) {
        for (shard, write) in std::mem::take(&mut self.unsynced) {
            self.synced.entry(shard).or_default().apply(write);
        }
    }
}

/// A [`ModelDisk`] opened by a node.
#[derive(Debug)]
pub struct ModelStore {
    disk: ModelDisk,
    opening: u64,
}

impl ModelStore {
    fn look<T: Default>(
        &self,
        shard: ShardId,
        look: impl FnOnce(&Image) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.disk.with(self.opening, |contents| match contents.synced.get(&shard) {
            Some(image) => look(image),
            None => look(&Image::default()),
        })
    }
}

impl ModelDisk {
    fn with<T>(
        &self,
        opening: u64,
        act: impl FnOnce(&mut Contents) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut contents = self.contents.lock();
        if !contents.open || contents.openings != opening {
            return Err(StoreError::Stopped);
        }
        act(&mut contents)
    }
}

impl Drop for ModelStore {
    fn drop(&mut self) {
        let mut contents = self.disk.contents.lock();
        if contents.openings == self.opening {
            contents.open = false;
        }
    }
}

impl Store for ModelStore {
    fn identity(&self) -> &Identity {
        &self.disk.identity
    }

    fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        self.disk.with(self.opening, |contents| {
            if contents.stopped {
                return Err(StoreError::Stopped);
            }
            contents.write(batch).inspect_err(|_| contents.stopped = true)
        })
    }

    fn log_state(&self, shard: ShardId) -> Result<LogState, StoreError> {
        self.look(shard, |image| Ok(image.log_state()))
    }

    fn entries(
        &self,
        shard: ShardId,
        from: u64,
        to: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, StoreError> {
        self.look(shard, |image| image.entries(shard, from, to, bytes_max))
    }

    fn vote(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError> {
        self.look(shard, |image| Ok(image.vote.clone()))
    }

    fn committed(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError> {
        self.look(shard, |image| Ok(image.committed.clone()))
    }

    fn reclaim(&self) -> Result<(), StoreError> {
        self.disk.with(self.opening, |contents| match contents.stopped {
            true => Err(StoreError::Stopped),
            false => Ok(()),
        })
    }

    fn begin_snapshot(
        &self,
        shard: ShardId,
        meta: Bytes,
    ) -> Result<Box<dyn SnapshotWriter>, StoreError> {
        refuse_longer(&meta, SNAPSHOT_META_BYTES_MAX)?;
        let (disk, opening) = (self.disk.clone(), self.opening);
        Ok(Box::new(ModelSnapshotWriter { disk, opening, shard, meta, records: Some(Vec::new()) }))
    }

    fn snapshot(&self, shard: ShardId) -> Result<Option<Box<dyn SnapshotReader>>, StoreError> {
        self.look(shard, |image| {
            Ok(image.snapshot.clone().map(|Snapshot { meta, records }| {
                let left = records.iter().cloned().collect();
                Box::new(ModelSnapshotReader { meta, left }) as Box<dyn SnapshotReader>
            }))
        })
    }
}

struct ModelSnapshotWriter {
    disk: ModelDisk,
    opening: u64,
    shard: ShardId,
    meta: Bytes,
    /// `None` once it failed.
    records: Option<Vec<Bytes>>,
}

impl SnapshotWriter for ModelSnapshotWriter {
    fn record(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let records = self.records.as_mut().ok_or(StoreError::Stopped)?;
        let fits = refuse_longer(bytes, SNAPSHOT_RECORD_BYTES_MAX);
        match fits {
            Ok(()) => records.push(Bytes::copy_from_slice(bytes)),
            Err(_) => self.records = None,
        }
        fits
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let records = self.records.ok_or(StoreError::Stopped)?.into();
        let snapshot = Snapshot { meta: self.meta, records };
        self.disk.with(self.opening, |contents| {
            contents.synced.entry(self.shard).or_default().snapshot = Some(snapshot);
            Ok(())
        })
    }
}

struct ModelSnapshotReader {
    meta: Bytes,
    left: VecDeque<Bytes>,
}

impl SnapshotReader for ModelSnapshotReader {
    fn meta(&self) -> &Bytes {
        &self.meta
    }

    fn next_record(&mut self) -> Result<Option<Bytes>, StoreError> {
        Ok(self.left.pop_front())
    }
}

fn refuse_longer(bytes: &[u8], max: usize) -> Result<(), StoreError> {
    if bytes.len() <= max {
        return Ok(());
    }
    let words = format!("{} bytes where {max} are the most", bytes.len());
    let source = io::Error::new(ErrorKind::InvalidInput, words);
    Err(StoreError::io("write", Path::new(PATH))(source))
}
