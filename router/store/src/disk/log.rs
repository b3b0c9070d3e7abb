//! The log of all shards and their votes: one raft-engine, one write at a time, each ended by a sync.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use orrery_model::ShardId;
use parking_lot::{Mutex, RwLock};
use raft_engine::env::FileSystem;
use raft_engine::{Command, Engine, LogBatch};

use super::apart::{apart, words};
use super::directory::Directory;
use super::draft::{Draft, Frame};
use super::durable;
use super::ends::EndsFile;
use super::log_sizes::LogSizes;
use super::recover::{Guards, open_engine, recover, remove_unread, shard_of};
use super::shard_log::{ShardLog, Taken, View};
use super::synced::SyncedFile;
use super::watched::{Watch, Watched};
use crate::error::StoreError;
use crate::record;
use crate::store::{LogState, Record, WriteBatch};

/// The engine's name in errors.
pub(super) const ENGINE: &str = "raft-engine";

/// The log of all shards.
pub(super) struct Log<F: FileSystem> {
    path: PathBuf,
    engine: Engine<Watched<F>>,
    watch: Arc<Watch>,
    synced: SyncedFile,
    ends: Mutex<EndsFile>,
    shards: RwLock<BTreeMap<ShardId, Arc<ShardLog>>>,
    /// Held by the one write that is under way.
    turn: Mutex<()>,
    /// Something failed; nothing is written any more.
    stopped: AtomicBool,
}

impl<F: FileSystem> Log<F> {
    /// Opens the log of a directory.
    pub(super) fn open(
        directory: &Directory,
        sizes: LogSizes,
        file_system: Arc<F>,
    ) -> Result<Self, StoreError> {
        let path = directory.log();
        let guards = Guards {
            synced: SyncedFile::read(&directory.synced())?,
            ends: EndsFile::read(&directory.ends())?,
        };
        // Without it a gap may be damage, and what lies before it is all that is left.
        let gaps_are_known = !guards.ends.is_empty();
        let (engine, watch) = open_engine(&path, guards, sizes, file_system)?;
        let shards = recover(&path, &engine)?;
        if gaps_are_known {
            remove_unread(&path, &watch)?;
        }
        Ok(Self {
            path,
            engine,
            synced: SyncedFile::create(&directory.synced(), watch.synced())?,
            ends: EndsFile::create(&directory.ends(), watch.ends())?.into(),
            watch,
            shards: RwLock::new(shards),
            turn: Mutex::new(()),
            stopped: AtomicBool::new(false),
        })
    }

    /// Makes a batch durable, all of it or (after a crash) nothing.
    pub(super) fn write(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let _turn = self.turn.lock();
        self.unless_stopped(|| self.write_in_turn(batch))
    }

    fn write_in_turn(&self, batch: WriteBatch) -> Result<(), StoreError> {
        let mut draft = Draft::default();
        for (shard, write) in &batch.writes {
            draft.add(*shard, write, || self.shard_or_new(*shard))?;
        }
        let cut = draft.shards.values().filter(|draft| draft.cuts);
        let cut: Vec<_> = cut.map(|draft| draft.log.cuts.write()).collect();
        self.commit(&mut draft.batch)?;
        for (shard, write) in batch.writes {
            draft.shards[&shard].log.view.write().apply(write);
        }
        for shard in draft.shards.values() {
            shard.log.view.write().held = shard.held;
        }
        drop(cut);
        Ok(())
    }

    /// Gives a batch to the engine and looks whether it is durable.
    fn commit(&self, batch: &mut LogBatch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        let written = catch_unwind(AssertUnwindSafe(|| self.engine.write(batch, true)));
        self.check_watch()?;
        match written {
            Ok(Ok(_)) => self.note(),
            Ok(Err(error)) => Err(refused(error)),
            Err(panic) => Err(StoreError::Engine { engine: ENGINE, detail: words(&*panic) }),
        }
    }

    /// Says beside the log how much of it is durable now.
    fn note(&self) -> Result<(), StoreError> {
        self.synced.note(self.watch.synced())?;
        self.ends.lock().say(self.watch.ends())
    }

    fn check_watch(&self) -> Result<(), StoreError> {
        self.watch.failure().map_or(Ok(()), |error| Err(StoreError::io("sync", &self.path)(error)))
    }

    fn unless_stopped<T>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.stopped.load(Ordering::Acquire) {
            return Err(StoreError::Stopped);
        }
        work().inspect_err(|_| self.stopped.store(true, Ordering::Release))
    }

    /// Lets the engine rewrite what old files still hold and give them back.
    ///
    /// The engine also names shards whose old entries keep many files alive. Only a snapshot lets go of
    /// entries that belong to a log; what can be done here is to repeat the last purge, for entries that
    /// the engine knows again since a restart. The rest it rewrites by itself when nothing else helps.
    pub(super) fn reclaim(&self) -> Result<(), StoreError> {
        self.unless_stopped(|| {
            let crowded = apart(&self.path, || self.engine.purge_expired_files().map_err(refused));
            self.check_watch()?;
            for region in crowded? {
                tracing::debug!(shard = region, "holds on to many log files");
                self.repeat_purge(region)?;
            }
            self.note()?;
            for path in self.watch.take_given_back() {
                durable::remove_file(&path)?;
            }
            self.synced.sync()
        })
    }

    fn repeat_purge(&self, region: u64) -> Result<(), StoreError> {
        let _turn = self.turn.lock();
        let Some(log) = shard_of(region).and_then(|shard| self.shard(shard)) else { return Ok(()) };
        let _cuts = log.cuts.write();
        let (span, held) = {
            let view = log.view.read();
            (view.bounds.span, view.held)
        };
        let Some((begin, end)) = held else { return Ok(()) };
        let first = span.map_or(end.saturating_add(1), |(first, _)| first);
        if begin >= first {
            return Ok(());
        }
        let mut batch = LogBatch::default();
        batch.add_command(region, Command::Compact { index: first });
        self.commit(&mut batch)?;
        log.view.write().held = span.map(|_| (first, end));
        Ok(())
    }

    pub(super) fn entries(
        &self,
        shard: ShardId,
        from: u64,
        to: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let Some(log) = self.shard(shard) else {
            let missing = StoreError::Missing { shard: shard.0, index: from };
            return if from < to { Err(missing) } else { Ok(Vec::new()) };
        };
        if let Some(records) = log.view.read().entries(shard, from, to, bytes_max)? {
            return Ok(records);
        }
        let _cuts = log.cuts.read();
        // Looked at again, because a cut may have come in between.
        if let Some(records) = log.view.read().entries(shard, from, to, bytes_max)? {
            return Ok(records);
        }
        apart(&self.path, || self.read(shard, from, to, bytes_max))
    }

    fn read(
        &self,
        shard: ShardId,
        from: u64,
        to: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, StoreError> {
        let corrupt = |index, detail: String| {
            StoreError::corrupt(&self.path, format!("entry {index} of shard {shard}: {detail}"))
        };
        let mut taken = Taken::new(bytes_max);
        for index in from..to {
            if taken.is_full() {
                break;
            }
            let entry = self
                .engine
                .get_entry::<Frame>(u64::from(shard.0), index)
                .map_err(|error| read_failed(&self.path, error))?
                .ok_or_else(|| corrupt(index, "it is gone".into()))?;
            let record = record::decode(shard, entry.value)
                .map_err(|error| corrupt(index, error.to_string()))?;
            if record.index != index {
                return Err(corrupt(index, format!("entry {} is in its place", record.index)));
            }
            taken.push(record);
        }
        Ok(taken.records)
    }

    pub(super) fn log_state(&self, shard: ShardId) -> LogState {
        self.look(shard, View::log_state).unwrap_or(LogState { empty: true, ..LogState::default() })
    }

    pub(super) fn vote(&self, shard: ShardId) -> Option<Bytes> {
        self.look(shard, |view| view.vote.clone()).flatten()
    }

    pub(super) fn committed(&self, shard: ShardId) -> Option<Bytes> {
        self.look(shard, |view| view.committed.clone()).flatten()
    }

    pub(super) fn left(&self, shard: ShardId) -> Option<Bytes> {
        self.look(shard, |view| view.left.clone()).flatten()
    }

    fn look<T>(&self, shard: ShardId, look: impl FnOnce(&View) -> T) -> Option<T> {
        self.shard(shard).map(|log| look(&log.view.read()))
    }

    fn shard(&self, shard: ShardId) -> Option<Arc<ShardLog>> {
        self.shards.read().get(&shard).cloned()
    }

    fn shard_or_new(&self, shard: ShardId) -> Arc<ShardLog> {
        self.shard(shard).unwrap_or_else(|| self.shards.write().entry(shard).or_default().clone())
    }
}

impl<F: FileSystem> Drop for Log<F> {
    fn drop(&mut self) {
        if let Err(error) = self.synced.sync() {
            tracing::warn!(%error, "closing the log");
        }
    }
}

/// What the engine said when it was asked to change something.
pub(super) fn refused(error: raft_engine::Error) -> StoreError {
    StoreError::Engine { engine: ENGINE, detail: error.to_string() }
}

/// What the engine said when it was asked to read something.
pub(super) fn read_failed(path: &Path, error: raft_engine::Error) -> StoreError {
    use raft_engine::Error as E;
    match error {
        E::Io(source) => StoreError::io("read", path)(source),
        E::Corruption(_) | E::Codec(_) | E::Protobuf(_) | E::EntryNotFound | E::EntryCompacted => {
            StoreError::corrupt(path, error.to_string())
        }
        // Nothing is compressed here: the mark that says so is not what was written.
        E::Other(detail) if detail.to_string().contains("Decompression failed") => {
            StoreError::corrupt(path, detail.to_string())
        }
        _ => refused(error),
    }
}
