//! What happens to the log's files when they are opened: which are looked for, how the engine reads them,
//! what is made durable before it is seen, and what is taken into memory.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use orrery_model::ShardId;
use raft_engine::env::FileSystem;
use raft_engine::{Config, Engine, ReadableSize, RecoveryMode};

use super::apart::apart;
use super::draft::{BOUNDS, CLEARED, COMMITTED, FORMAT, LEFT, PURGED, VOTE};
use super::durable;
use super::ends::{self, Ends};
use super::log::read_failed;
use super::log_sizes::LogSizes;
use super::shard_log::{ShardLog, View};
use super::synced::{LogFile, Queue, Synced};
use super::watched::{Watch, Watched};
use crate::bounds::Bounds;
use crate::error::StoreError;
use crate::limits::LOG_RECOVERY_THREADS;

/// What is known of the files before they are opened.
pub(super) struct Guards {
    pub(super) synced: Synced,
    pub(super) ends: Ends,
}

/// Opens the engine in `path` and makes durable whatever it found there.
pub(super) fn open_engine<F: FileSystem>(
    path: &Path,
    guards: Guards,
    sizes: LogSizes,
    file_system: Arc<F>,
) -> Result<(Engine<Watched<F>>, Arc<Watch>), StoreError> {
    check_files(path, &guards)?;
    copy_unsynced(path, guards.synced)?;
    let watch = Arc::new(Watch::new(guards.synced));
    let watched = Arc::new(Watched::new(file_system, watch.clone()));
    let engine = apart(path, || {
        Engine::open_with_file_system(config(path, sizes), watched)
            .map_err(|error| read_failed(path, error))
    });
    // Whatever the engine made of it: cut synced bytes are damage.
    let engine = match watch.damage() {
        Some(detail) => return Err(StoreError::corrupt(path, detail)),
        None => engine?,
    };
    sync_recovered(path, &watch)?;
    Ok((engine, watch))
}

fn config(path: &Path, sizes: LogSizes) -> Config {
    Config {
        dir: path.to_string_lossy().into_owned(),
        recovery_mode: RecoveryMode::TolerateTailCorruption,
        recovery_threads: LOG_RECOVERY_THREADS,
        // Entries are small and already compact; what compressing saves is less than what it costs here.
        batch_compression_threshold: ReadableSize(0),
        target_file_size: ReadableSize(sizes.file_bytes),
        purge_threshold: ReadableSize(sizes.purge_bytes),
        ..Config::default()
    }
}

/// Looks whether the newest synced file of each queue, or a newer one, is there, whether those before it are
/// whole, and whether the engine may believe what their headers say.
fn check_files(path: &Path, guards: &Guards) -> Result<(), StoreError> {
    let mut files = Vec::new();
    for file_path in durable::list(path)? {
        if let Some(file) = LogFile::of(&file_path) {
            check_alignment(&file_path)?;
            let metadata = file_path.metadata().map_err(StoreError::io("look at", &file_path))?;
            files.push((file, metadata.len()));
        }
    }
    for queue in [Queue::Append, Queue::Rewrite] {
        let of_queue = files.iter().filter(|(file, _)| file.queue == queue);
        let newest = of_queue.map(|(file, _)| file.number).max();
        let reach = guards.synced.reach(queue);
        if reach.file > newest.unwrap_or(0) {
            let detail = format!("{queue:?} file {} was synced and is missing", reach.file);
            return Err(StoreError::corrupt(path, detail));
        }
    }
    ends::check(path, &files, &guards.ends)
}

/// How the engine's log files begin: with this, the file format, and from format 2 on the alignment of what
/// follows. Here nothing is aligned.
const LOG_FILE_MARK: &[u8] = b"RAFT-LOG-FILE-HEADER-9986AB3E47F320B394C8E84916EB0ED5";
const LOG_FILE_FORMAT: [u8; 8] = 2_u64.to_be_bytes();
const LOG_FILE_ALIGNMENT: [u8; 8] = 0_u64.to_be_bytes();

/// Refuses an alignment that was never written. It has no checksum, and for a wrong one the engine asks for
/// so much memory that the process would be ended. All else that may be wrong the engine notices.
fn check_alignment(path: &Path) -> Result<(), StoreError> {
    let mut header = [0; LOG_FILE_MARK.len() + LOG_FILE_FORMAT.len() + LOG_FILE_ALIGNMENT.len()];
    match File::open(path).and_then(|mut file| file.read_exact(&mut header)) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
        read => read.map_err(StoreError::io("read", path))?,
    }
    let format = header.strip_prefix(LOG_FILE_MARK);
    match format.and_then(|format| format.strip_prefix(&LOG_FILE_FORMAT)) {
        Some(alignment) if alignment != LOG_FILE_ALIGNMENT => {
            Err(StoreError::corrupt(path, "its header is not what was written"))
        }
        _ => Ok(()),
    }
}

/// Makes copies of files that hold more than is known to be durable: whether a sync of it failed nobody knows
/// any more, and then another one that succeeds says nothing (see [`durable::copy_unless_empty`]).
fn copy_unsynced(path: &Path, synced: Synced) -> Result<(), StoreError> {
    for file_path in durable::list(path)? {
        if durable::is_unfinished(&file_path) {
            durable::remove_file(&file_path)?;
        }
        let Some(file) = LogFile::of(&file_path) else { continue };
        let reach = synced.reach(file.queue);
        match file.number.cmp(&reach.file) {
            Ordering::Less => {}
            Ordering::Equal => durable::copy_unless_empty(&file_path, reach.bytes)?,
            Ordering::Greater => durable::copy_unless_empty(&file_path, 0)?,
        }
    }
    Ok(())
}

/// Makes durable what was found. A process that was killed may have left a finished write that was never
/// synced: it is about to be seen, so it must not go away with the next power cut. The engine syncs
/// neither that nor the names of its first files.
fn sync_recovered(path: &Path, watch: &Watch) -> Result<(), StoreError> {
    for file_path in durable::list(path)? {
        if let Some(file) = LogFile::of(&file_path) {
            durable::sync_file(&file_path)?;
            let metadata = file_path.metadata().map_err(StoreError::io("look at", &file_path))?;
            watch.raise(file, metadata.len());
        }
    }
    durable::sync_folder(path)
}

/// Reads what is kept in memory of each shard, and checks that the engine holds its entries.
pub(super) fn recover<F: FileSystem>(
    path: &Path,
    engine: &Engine<Watched<F>>,
) -> Result<BTreeMap<ShardId, Arc<ShardLog>>, StoreError> {
    let mut shards = BTreeMap::new();
    for region in engine.raft_groups() {
        let corrupt = |detail| StoreError::corrupt(path, format!("shard {region}: {detail}"));
        let shard = shard_of(region).ok_or_else(|| corrupt("there can be no such shard"))?;
        let value = |key| match engine.get(region, key).map(Bytes::from) {
            Some(value) if value.first() == Some(&FORMAT) => Ok(Some(value.slice(1..))),
            Some(value) if value != CLEARED => Err(corrupt("a value has an unknown format")),
            _ => Ok(None),
        };
        let mut view = View::default();
        view.vote = value(VOTE)?;
        view.committed = value(COMMITTED)?;
        view.left = value(LEFT)?;
        if let Some(purged) = value(PURGED)? {
            let index = purged.first_chunk().ok_or_else(|| corrupt("its purge is unreadable"))?;
            view.bounds.purged = Some(u64::from_be_bytes(*index));
            view.purged = Some(purged.slice(8..));
        }
        view.held = engine.first_index(region).zip(engine.last_index(region));
        view.bounds.span = match value(BOUNDS)? {
            Some(bounds) => decode_span(&bounds).ok_or_else(|| corrupt("bounds unreadable"))?,
            None if view.held.is_some() => return Err(corrupt("its bounds are missing")),
            None => None,
        };
        if !is_whole(view.bounds, view.held) {
            return Err(corrupt("entries are missing"));
        }
        shards.insert(shard, Arc::new(ShardLog { view: view.into(), ..ShardLog::default() }));
    }
    Ok(shards)
}

/// Removes what the engine does not look at any more: files before a gap, which a process that was killed had
/// kept for reuse.
pub(super) fn remove_unread(path: &Path, watch: &Watch) -> Result<(), StoreError> {
    let files = durable::list(path)?;
    for queue in [Queue::Append, Queue::Rewrite] {
        // In order of number, as their names are.
        let of_queue = files.iter().filter_map(|path| Some((LogFile::of(path)?, path)));
        let of_queue: Vec<_> = of_queue.filter(|(file, _)| file.queue == queue).collect();
        let unread = of_queue
            .windows(2)
            .rposition(|pair| pair[1].0.number - pair[0].0.number != 1)
            .map_or(0, |gap| gap + 1);
        for (file, path) in &of_queue[..unread] {
            tracing::warn!(?file, "kept for reuse by a process that was killed, and removed");
            durable::remove_file(path)?;
            watch.forget(path);
        }
    }
    Ok(())
}

fn is_whole(bounds: Bounds, held: Option<(u64, u64)>) -> bool {
    match (bounds.span, held) {
        (None, _) => true,
        (Some((first, last)), Some((begin, end))) => {
            begin <= first
                && first <= last
                && last <= end
                && bounds.purged.is_none_or(|purged| purged < first)
        }
        (Some(_), None) => false,
    }
}

#[allow(clippy::option_option, reason = "unreadable is not the same as empty")]
pub(super) fn decode_span(bytes: &[u8]) -> Option<Option<(u64, u64)>> {
    let Some((first, last)) = bytes.split_first_chunk::<8>() else {
        return bytes.is_empty().then_some(None);
    };
    let last = <[u8; 8]>::try_from(last).ok()?;
    Some(Some((u64::from_be_bytes(*first), u64::from_be_bytes(last))))
}

pub(super) fn shard_of(region: u64) -> Option<ShardId> {
    u32::try_from(region).ok().map(ShardId)
}
