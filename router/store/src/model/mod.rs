//! The store in memory, for simulation: a disk that outlives its node, knows what was synced, and loses
//! the rest in a crash.

mod image;
mod snapshot;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use orrery_model::{NodeId, ShardId};
use parking_lot::Mutex;

use self::image::{Image, Snapshot};
use self::snapshot::{ModelSnapshotReader, ModelSnapshotWriter, refuse_longer};
use crate::error::StoreError;
use crate::limits::SNAPSHOT_META_BYTES_MAX;
use crate::opened::{Blank, Disk, Opened};
use crate::store::{
    Identity, LogState, Record, SnapshotReader, SnapshotWriter, Space, Store, Write, WriteBatch,
};

/// Where the model's files would lie, in errors.
const PATH: &str = "(in memory)";

/// A disk in memory. Clones are the same disk; a node that is started again opens it again.
#[derive(Debug, Clone)]
pub struct ModelDisk {
    contents: Arc<Mutex<Contents>>,
}

#[derive(Debug)]
struct Contents {
    owner: Owner,
    synced: BTreeMap<ShardId, Image>,
    /// Changes that reached only the disk's cache, one entry or value each, in order.
    unsynced: Vec<(ShardId, Write)>,
    space: Space,
    /// What is written takes of the space.
    is_taken_of: bool,
    /// How often the disk was opened; only the last opening may use it.
    openings: u64,
    open: bool,
    /// What is open, where it may be given once more.
    shared: Weak<ModelStore>,
    /// The open store refuses writes after an earlier failure.
    stopped: bool,
    /// How many writes succeed before one fails, where that was asked for.
    writes_until_failure: Option<u64>,
    /// The power goes in the middle of the next write, and this says how much of it is there.
    cut: Option<u64>,
}

#[derive(Debug, Clone)]
enum Owner {
    Blank(Blank),
    Member(Identity),
}

impl ModelDisk {
    /// Makes an empty disk for a node that is a member of a cluster.
    pub fn new(identity: Identity) -> Self {
        Self::of(Owner::Member(identity))
    }

    /// Makes an empty disk for a node that belongs to no cluster yet.
    pub fn blank(node: NodeId, instance: impl Into<String>) -> Self {
        Self::of(Owner::Blank(Blank { node, instance: instance.into() }))
    }

    fn of(owner: Owner) -> Self {
        let space = Space { free_bytes: 1 << 40, total_bytes: 2 << 40 };
        let contents = Contents {
            owner,
            synced: BTreeMap::new(),
            unsynced: Vec::new(),
            space,
            is_taken_of: false,
            openings: 0,
            open: false,
            shared: Weak::new(),
            stopped: false,
            writes_until_failure: None,
            cut: None,
        };
        Self { contents: Arc::new(contents.into()) }
    }

    /// Opens the disk of a member, as a node does when it starts.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while an earlier opening is neither dropped nor crashed, and
    /// [`StoreError::Foreign`] while it is blank.
    pub fn open(&self) -> Result<ModelStore, StoreError> {
        let mut contents = self.contents.lock();
        let identity = match &contents.owner {
            Owner::Member(identity) => identity.clone(),
            Owner::Blank(blank) => return Err(foreign(blank, &"a member of a cluster")),
        };
        if contents.open {
            return Err(StoreError::Locked { path: PATH.into() });
        }
        // What a killed process left in the cache is about to be seen, so it is made durable first.
        contents.sync();
        contents.openings += 1;
        contents.open = true;
        contents.shared = Weak::new();
        contents.stopped = false;
        Ok(ModelStore { disk: self.clone(), identity, opening: contents.openings })
    }

    fn open_shared(&self) -> Result<Arc<ModelStore>, StoreError> {
        let store = Arc::new(self.open()?);
        self.contents.lock().shared = Arc::downgrade(&store);
        Ok(store)
    }

    /// Says how much room the disk has from now on. Nothing that is written takes of it.
    pub fn set_space(&self, space: Space) {
        let mut contents = self.contents.lock();
        contents.space = space;
        contents.is_taken_of = false;
    }

    /// Says how much the disk holds from now on, which its entries and snapshots take of. Nothing is refused
    /// where that is more than there is.
    pub fn set_capacity(&self, total_bytes: u64) {
        let mut contents = self.contents.lock();
        contents.space.total_bytes = total_bytes;
        contents.is_taken_of = true;
    }

    /// Cuts the power: the store that is open is dead, and of the changes that were not synced only a
    /// prefix is there afterwards. `keep` is given their number and says how many.
    pub fn crash(&self, keep: impl FnOnce(usize) -> usize) {
        let mut contents = self.contents.lock();
        contents.power_off(keep);
    }

    /// Cuts the power in the middle of the next write: of its `n` changes the first `draw % (n + 1)` are there
    /// afterwards, the write fails, and the store that is open is dead. A snapshot that is put in place or
    /// removed is such a write of one change. Nothing else ends a write half-way: all others are over before
    /// anybody can crash the disk.
    pub fn cut_in_next_write(&self, draw: u64) {
        self.contents.lock().cut = Some(draw);
    }

    /// Whether the power is still to go in a next write.
    pub fn is_to_be_cut(&self) -> bool {
        self.contents.lock().cut.is_some()
    }

    /// Takes all away, the header too: it is the empty disk of a node of this number from now on. Only
    /// while nothing has it open.
    pub fn wipe(&self, node: NodeId, instance: impl Into<String>) {
        let mut contents = self.contents.lock();
        contents.owner = Owner::Blank(Blank { node, instance: instance.into() });
        contents.synced.clear();
        contents.unsynced.clear();
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

impl Disk for ModelDisk {
    fn open(&self) -> Result<Opened, StoreError> {
        let owner = self.contents.lock().owner.clone();
        Ok(match owner {
            Owner::Blank(blank) => Opened::Blank(blank),
            Owner::Member(_) => Opened::Member(self.open_shared()?),
        })
    }

    fn adopt(&self, identity: Identity) -> Result<Arc<dyn Store>, StoreError> {
        let open = {
            let mut contents = self.contents.lock();
            match &contents.owner {
                Owner::Blank(blank)
                    if (blank.node, &blank.instance) == (identity.node, &identity.instance) =>
                {
                    contents.owner = Owner::Member(identity);
                }
                Owner::Member(found) if *found == identity => {}
                Owner::Blank(found) => return Err(foreign(found, &identity)),
                Owner::Member(found) => return Err(foreign(found, &identity)),
            }
            contents.shared.clone()
        };
        match open.upgrade() {
            Some(store) => Ok(store),
            None => Ok(self.open_shared()?),
        }
    }
}

fn foreign(found: &dyn fmt::Display, expected: &dyn fmt::Display) -> StoreError {
    let (found, expected) = (found.to_string(), expected.to_string());
    StoreError::Foreign { path: PATH.into(), found, expected }
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
        if let Some(draw) = self.cut {
            let modulus = self.unsynced.len() as u64 + 1;
            self.power_off(|_| usize::try_from(draw % modulus).unwrap_or(0));
            self.sync();
            return Err(StoreError::Stopped);
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

    /// Changes what is there in one step, as a file's name does.
    fn change(
        &mut self,
        shard: ShardId,
        change: impl FnOnce(&mut Image),
    ) -> Result<(), StoreError> {
        let cut = self.cut;
        if cut.is_none_or(|draw| draw % 2 == 1) {
            change(self.synced.entry(shard).or_default());
        }
        match cut {
            None => Ok(()),
            Some(_) => {
                self.power_off(|_| 0);
                Err(StoreError::Stopped)
            }
        }
    }

    fn power_off(&mut self, keep: impl FnOnce(usize) -> usize) {
        (self.open, self.shared, self.cut) = (false, Weak::new(), None);
        let kept = keep(self.unsynced.len());
        self.unsynced.truncate(kept);
    }

    fn sync(&mut self) {
        for (shard, write) in std::mem::take(&mut self.unsynced) {
            self.synced.entry(shard).or_default().apply(write);
        }
    }

    fn space(&self) -> Space {
        if !self.is_taken_of {
            return self.space;
        }
        let taken: u64 = self.synced.values().map(Image::bytes).sum();
        let total_bytes = self.space.total_bytes;
        Space { free_bytes: total_bytes.saturating_sub(taken), total_bytes }
    }
}

/// A [`ModelDisk`] opened by a node.
#[derive(Debug)]
pub struct ModelStore {
    disk: ModelDisk,
    identity: Identity,
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
        &self.identity
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

    fn left(&self, shard: ShardId) -> Result<Option<Bytes>, StoreError> {
        self.look(shard, |image| Ok(image.left.clone()))
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

    fn remove_snapshot(&self, shard: ShardId) -> Result<(), StoreError> {
        self.disk
            .with(self.opening, |contents| contents.change(shard, |image| image.snapshot = None))
    }

    fn space(&self) -> Result<Space, StoreError> {
        self.disk.with(self.opening, |contents| Ok(contents.space()))
    }
}
