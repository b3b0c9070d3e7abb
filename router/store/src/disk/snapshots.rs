//! The snapshot files of all shards: a folder for each shard, in it the newest snapshot.
//!
//! A snapshot is written under a name of its own and renamed when it is whole and durable, then
//! catalogued, then the one before it is removed. So after a crash the files may be ahead of the
//! catalogue, never behind it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use orrery_model::ShardId;
use parking_lot::Mutex;

use super::catalogue::{Catalogue, Entry};
use super::directory::Directory;
use super::durable;
use super::snapshot_file::{FileReader, FileWriter, Seal};
use crate::error::StoreError;
use crate::store::{Identity, SnapshotReader, SnapshotWriter};

const FINISHED: &str = "snapshot";
const UNFINISHED: &str = "writing";

/// The snapshots of all shards.
#[derive(Debug)]
pub(super) struct Snapshots {
    path: PathBuf,
    catalogue: Catalogue,
    newest: Mutex<BTreeMap<ShardId, Entry>>,
    /// Numbers unfinished files, which a later start removes.
    begun: AtomicU64,
    /// A writer that outlives the store keeps the directory locked.
    _directory: Arc<Directory>,
}

impl Snapshots {
    pub(super) fn open(directory: Arc<Directory>, identity: &Identity) -> Result<Self, StoreError> {
        let path = directory.snapshots();
        let path = path.as_path();
        let catalogue = Catalogue::open(&directory.catalogue(), identity)?;
        let mut newest = catalogue.entries()?;
        let mut found = BTreeMap::new();
        for folder in durable::list(path)? {
            let Some(shard) = number(&folder).and_then(|shard| u32::try_from(shard).ok()) else {
                continue;
            };
            if let Some(generation) = newest_file(&folder)? {
                found.insert(ShardId(shard), generation);
            }
        }
        for (shard, entry) in &newest {
            if found.get(shard).is_none_or(|generation| *generation < entry.generation) {
                let file = file_path(path, *shard, entry.generation);
                return Err(StoreError::corrupt(&file, "the catalogued snapshot is missing"));
            }
        }
        for (shard, generation) in found {
            if newest.get(&shard).is_none_or(|entry| entry.generation < generation) {
                let file = file_path(path, shard, generation);
                let seal = Seal::claimed(&file)?;
                // Its writer may have ended before its name was durable.
                durable::sync_folder(durable::parent(&file))?;
                let entry = Entry { generation, seal };
                catalogue.set(shard, entry)?;
                newest.insert(shard, entry);
            }
        }
        Ok(Self {
            path: path.into(),
            catalogue,
            newest: newest.into(),
            begun: AtomicU64::new(0),
            _directory: directory,
        })
    }

    pub(super) fn begin(
        self: &Arc<Self>,
        shard: ShardId,
        meta: &[u8],
    ) -> Result<Box<dyn SnapshotWriter>, StoreError> {
        let folder = self.path.join(shard.to_string());
        durable::make_folder(&folder)?;
        let begun = self.begun.fetch_add(1, Ordering::Relaxed);
        let unfinished = folder.join(format!("{begun}.{UNFINISHED}"));
        let file = FileWriter::create(&unfinished, shard, meta);
        // From here on dropping it removes the file, also when the first bytes could not be written.
        let mut writer =
            Writer { snapshots: self.clone(), shard, unfinished: Some(unfinished), file: None };
        writer.file = Some(file?);
        Ok(Box::new(writer))
    }

    pub(super) fn newest(
        &self,
        shard: ShardId,
    ) -> Result<Option<Box<dyn SnapshotReader>>, StoreError> {
        // Held until the file is open: a newer snapshot removes its name, not what an open file holds.
        let newest = self.newest.lock();
        let Some(entry) = newest.get(&shard).copied() else { return Ok(None) };
        let path = file_path(&self.path, shard, entry.generation);
        let file = File::open(&path).map_err(StoreError::io("open", &path))?;
        drop(newest);
        Ok(Some(Box::new(FileReader::open(&path, file, shard, entry.seal)?)))
    }

    /// Removes a shard's snapshot. The catalogue forgets it first: a crash in between leaves a file that the
    /// next start takes up again, whole.
    pub(super) fn remove(&self, shard: ShardId) -> Result<(), StoreError> {
        let mut newest = self.newest.lock();
        if !newest.contains_key(&shard) {
            return Ok(());
        }
        self.catalogue.forget(shard)?;
        let folder = self.path.join(shard.to_string());
        for file in durable::list(&folder)?.iter().filter(|file| is(file, FINISHED)) {
            durable::remove_file(file)?;
        }
        newest.remove(&shard);
        durable::sync_folder(&folder)
    }

    /// Makes a finished file the newest of its shard.
    fn take(&self, shard: ShardId, unfinished: &Path, seal: Seal) -> Result<(), StoreError> {
        let mut newest = self.newest.lock();
        let before = newest.get(&shard).map(|entry| entry.generation);
        let generation = before.map_or(1, |generation| generation + 1);
        let path = file_path(&self.path, shard, generation);
        std::fs::rename(unfinished, &path).map_err(StoreError::io("rename", unfinished))?;
        durable::sync_folder(durable::parent(&path))?;
        let entry = Entry { generation, seal };
        newest.insert(shard, entry);
        if let Err(error) = self.catalogue.set(shard, entry) {
            // It may lag behind the files: they count, and the next start tells it.
            tracing::warn!(%error, %shard, "a new snapshot is not in the catalogue");
        }
        for old in durable::list(durable::parent(&path))? {
            if is(&old, FINISHED) && old != path {
                durable::remove_file(&old)?;
            }
        }
        Ok(())
    }
}

/// A snapshot being written.
struct Writer {
    snapshots: Arc<Snapshots>,
    shard: ShardId,
    /// `None` once it has its final name.
    unfinished: Option<PathBuf>,
    /// `None` once it failed.
    file: Option<FileWriter>,
}

impl SnapshotWriter for Writer {
    fn record(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let file = self.file.as_mut().ok_or(StoreError::Stopped)?;
        let written = file.record(bytes);
        if written.is_err() {
            self.file = None;
        }
        written
    }

    fn finish(mut self: Box<Self>) -> Result<(), StoreError> {
        let seal = self.file.take().ok_or(StoreError::Stopped)?.finish()?;
        let unfinished = self.unfinished.as_ref().expect("only finish gives it another name");
        self.snapshots.take(self.shard, unfinished, seal)?;
        self.unfinished = None;
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(unfinished) = self.unfinished.take() else { return };
        if let Err(error) = durable::remove_file(&unfinished) {
            tracing::warn!(%error, "an unfinished snapshot stays until the next start");
        }
    }
}

/// Removes what was never finished, and finds the newest finished file.
fn newest_file(folder: &Path) -> Result<Option<u64>, StoreError> {
    let mut newest = None;
    for file in durable::list(folder)? {
        if is(&file, UNFINISHED) {
            durable::remove_file(&file)?;
        } else if is(&file, FINISHED) {
            newest = newest.max(number(&file));
        }
    }
    Ok(newest)
}

fn file_path(path: &Path, shard: ShardId, generation: u64) -> PathBuf {
    path.join(shard.to_string()).join(format!("{generation:020}.{FINISHED}"))
}

fn is(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

fn number(path: &Path) -> Option<u64> {
    path.file_stem()?.to_str()?.parse().ok()
}
