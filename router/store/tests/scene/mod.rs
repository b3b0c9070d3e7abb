//! A data directory with a known history: what each write left, so that whatever a damaged copy says can be
//! compared with it.
#![allow(dead_code, reason = "each test uses its own part")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use orrery_model::{NodeId, ShardId};
use orrery_router_store::disk::NodeDirectory;
use orrery_router_store::{
    Disk, Identity, LogState, Opened, Record, Store, StoreError, Write, WriteBatch,
};
use tempfile::TempDir;

pub(crate) const SHARDS: [ShardId; 3] = [ShardId(0), ShardId(1), ShardId(2)];

/// All that can be read of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading(Vec<ShardReading>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct ShardReading {
    state: LogState,
    entries: Vec<Record>,
    vote: Option<Bytes>,
    committed: Option<Bytes>,
    left: Option<Bytes>,
}

/// Reads everything; the first error ends it.
pub(crate) fn read(store: &Arc<dyn Store>) -> Result<Reading, StoreError> {
    let shards = SHARDS.into_iter().map(|shard| {
        let state = store.log_state(shard)?;
        let first = state.last_index - count(&state);
        let entries = store.entries(shard, first + 1, state.last_index + 1, usize::MAX)?;
        let (vote, committed) = (store.vote(shard)?, store.committed(shard)?);
        let left = store.left(shard)?;
        Ok(ShardReading { state, entries, vote, committed, left })
    });
    shards.collect::<Result<_, _>>().map(Reading)
}

/// How many entries a log of the scene holds: it begins right above its purge.
fn count(state: &LogState) -> u64 {
    state.last_index - state.purged_index
}

pub(crate) fn identity() -> Identity {
    Identity {
        cluster_id: "scene".into(),
        node: NodeId(1),
        instance: "first".into(),
        shards: 2,
        founding: Bytes::new(),
    }
}

pub(crate) fn disk(path: &Path) -> NodeDirectory {
    NodeDirectory::new(path, identity().node, || identity().instance)
}

/// Opens the directory of a member.
pub(crate) fn open(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    match disk(path).open()? {
        Opened::Member(store) => Ok(store),
        Opened::Blank(blank) => panic!("{path:?} is blank: {blank:?}"),
    }
}

pub(crate) fn create(path: &Path) -> Arc<dyn Store> {
    disk(path).adopt(identity()).unwrap()
}

/// A folder of which copies can be made, as a crash at that moment leaves them.
pub(crate) struct Scene {
    folder: TempDir,
    copies: u64,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir_in(quick_folder()).unwrap(), copies: 0 }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Copies the directory as it is now.
    pub(crate) fn copy(&mut self) -> PathBuf {
        self.copies += 1;
        let to = self.folder.path().join(format!("copy {}", self.copies));
        copy(&self.path(), &to);
        to
    }
}

/// A folder whose syncs cost nothing, where there is one: no test cuts the power.
pub(crate) fn quick_folder() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.into() } else { std::env::temp_dir() }
}

/// Copies a folder and all in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), &to).unwrap();
        }
    }
}

/// Changes one bit of a file.
pub(crate) fn flip(path: &Path, bit: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[bit / 8] ^= 1 << (bit % 8);
    fs::write(path, bytes).unwrap();
}

/// Cuts a file off after so many bytes.
pub(crate) fn cut(path: &Path, bytes: usize) {
    File::options().write(true).open(path).unwrap().set_len(bytes as u64).unwrap();
}

/// The log files of a kind, oldest first.
pub(crate) fn log_files(path: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(path.join("log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}

/// Up to which byte of its newest file the log was synced, as the directory notes it.
pub(crate) fn synced_bytes(path: &Path) -> u64 {
    let note = fs::read(path.join("synced")).unwrap();
    u64::from_be_bytes(note[16..24].try_into().unwrap())
}

/// Damage, said as such.
pub(crate) fn is_corrupt(error: &StoreError) -> bool {
    matches!(error, StoreError::Corrupt { .. })
}

/// Twenty writes of every kind, over three shards.
pub(crate) fn history() -> Vec<WriteBatch> {
    let entries = |range: std::ops::RangeInclusive<u64>| {
        let record = |index| Record { index, bytes: format!("e {index}").into() };
        (SHARDS[1], Write::Append(range.map(record).collect()))
    };
    let purge = Write::Purge { index: 3, position: "purged 3".into() };
    let mut history = history_1();
    history.extend(
        [
            vec![(SHARDS[1], Write::Clear)],
            vec![(SHARDS[1], purge), entries(4..=6)],
            vec![(SHARDS[2], Write::Clear), (SHARDS[2], Write::Vote("e".into()))],
            vec![entries(7..=7), (SHARDS[1], Write::Committed("at 5".into()))],
        ]
        .map(|writes| WriteBatch { writes }),
    );
    history
}

/// A shard that is left twice, and one that is about to be.
pub(crate) fn history_of_leaving() -> Vec<WriteBatch> {
    let entries = |shard: usize, range: std::ops::RangeInclusive<u64>| {
        let record = |index| Record { index, bytes: format!("e {index}").into() };
        (SHARDS[shard], Write::Append(range.map(record).collect()))
    };
    let left = |shard: usize, text: &str| (SHARDS[shard], Write::Left(text.to_owned().into()));
    [
        vec![(SHARDS[1], Write::Vote("a".into())), entries(1, 1..=3)],
        vec![left(1, "at 3"), (SHARDS[1], Write::Clear)],
        vec![entries(1, 1..=5), entries(2, 1..=2)],
        vec![left(1, "at 5"), (SHARDS[1], Write::Clear)],
        vec![left(2, "at 2")],
    ]
    .into_iter()
    .map(|writes| WriteBatch { writes })
    .collect()
}

/// Those that there were in format 1.
pub(crate) fn history_1() -> Vec<WriteBatch> {
    let entries = |shard: usize, range: std::ops::RangeInclusive<u64>, text: &str| {
        let record = |index| Record { index, bytes: format!("{text} {index}").repeat(3).into() };
        (SHARDS[shard], Write::Append(range.map(record).collect()))
    };
    let purge = |shard: usize, index: u64| {
        (SHARDS[shard], Write::Purge { index, position: format!("purged {index}").into() })
    };
    let vote = |shard: usize, text: &str| (SHARDS[shard], Write::Vote(text.to_owned().into()));
    [
        vec![vote(0, "a"), vote(1, "a"), vote(2, "a")],
        vec![entries(0, 1..=3, "a"), entries(1, 1..=2, "a")],
        vec![entries(1, 3..=9, "a")],
        vec![entries(2, 1..=1, "a"), entries(0, 4..=4, "a")],
        vec![(SHARDS[1], Write::Committed("at 4".into()))],
        vec![purge(1, 2)],
        vec![(SHARDS[1], Write::TruncateAfter(Some(6)))],
        vec![vote(1, "b")],
        vec![entries(1, 7..=8, "b"), entries(2, 2..=12, "b")],
        vec![(SHARDS[1], Write::TruncateAfter(Some(7))), entries(1, 8..=9, "c")],
        vec![purge(2, 20), vote(2, "c")],
        vec![entries(2, 21..=21, "c")],
        vec![(SHARDS[2], Write::TruncateAfter(Some(20)))],
        vec![entries(2, 21..=25, "d"), entries(0, 5..=5, "d")],
        vec![entries(0, 6..=6, "d"), (SHARDS[0], Write::Committed("at 6".into()))],
        vec![vote(0, "d")],
    ]
    .into_iter()
    .map(|writes| WriteBatch { writes })
    .collect()
}
