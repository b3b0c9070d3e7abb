//! Every prefix of a small log and every byte of every file: after reopening there is an error that names the
//! damage, or all that was acknowledged and nothing else.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod scene;

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orrery_model::ShardId;
use orrery_router_store::disk::{LogSizes, NodeDirectory};
use orrery_router_store::{Disk, Opened, Record, Store, StoreError, Write, WriteBatch};
use scene::{Reading, SHARDS, Scene, cut, flip, identity, is_corrupt, log_files, read};

/// So small that a dozen writes fill several files, and some are given back.
const SIZES: LogSizes = LogSizes { file_bytes: 300, purge_bytes: 900 };

fn disk(path: &Path) -> NodeDirectory {
    scene::disk(path).with_log_sizes(SIZES)
}

fn open(path: &Path) -> Result<Arc<dyn Store>, StoreError> {
    match disk(path).open()? {
        Opened::Member(store) => Ok(store),
        Opened::Blank(blank) => panic!("a member became blank: {blank:?}"),
    }
}

fn append(shard: usize, range: RangeInclusive<u64>, text: &str) -> (ShardId, Write) {
    let record = |index| Record { index, bytes: format!("{text}{index}").into() };
    (SHARDS[shard], Write::Append(range.map(record).collect()))
}

fn vote(shard: usize, text: &str) -> (ShardId, Write) {
    (SHARDS[shard], Write::Vote(text.to_owned().into()))
}

fn committed(shard: usize, text: &str) -> (ShardId, Write) {
    (SHARDS[shard], Write::Committed(text.to_owned().into()))
}

fn purge(shard: usize, index: u64) -> (ShardId, Write) {
    (SHARDS[shard], Write::Purge { index, position: format!("p{index}").into() })
}

fn truncate(shard: usize, keep: u64) -> (ShardId, Write) {
    (SHARDS[shard], Write::TruncateAfter(Some(keep)))
}

fn left(shard: usize, text: &str) -> (ShardId, Write) {
    (SHARDS[shard], Write::Left(text.to_owned().into()))
}

fn clear(shard: usize) -> (ShardId, Write) {
    (SHARDS[shard], Write::Clear)
}

/// Votes, appends of several shards, truncations, purges, and a shard that is left. Space is reclaimed after
/// the first part.
fn history() -> [Vec<Vec<(ShardId, Write)>>; 2] {
    let early = vec![
        vec![vote(0, "a"), vote(1, "a"), vote(2, "a")],
        vec![append(0, 1..=3, "a"), append(1, 1..=4, "a")],
        vec![append(2, 1..=2, "a"), committed(1, "c2")],
        vec![purge(1, 2)],
        vec![truncate(0, 1), append(0, 2..=2, "b")],
        vec![vote(1, "b"), append(1, 5..=6, "b")],
        vec![append(2, 3..=4, "b"), purge(0, 1)],
        vec![left(2, "l4"), clear(2), append(1, 7..=7, "c")],
        vec![append(0, 3..=5, "c")],
    ];
    let late = vec![
        vec![append(1, 8..=9, "d"), vote(0, "d")],
        vec![purge(1, 5), purge(2, 39), append(2, 40..=41, "d")],
        vec![append(0, 6..=6, "d"), committed(0, "c5")],
        vec![truncate(1, 8), append(1, 9..=9, "e")],
        vec![vote(2, "e")],
        vec![left(0, "l6"), clear(0), purge(0, 20), append(0, 21..=21, "e")],
        vec![append(0, 22..=22, "f"), vote(1, "f")],
        vec![append(1, 10..=10, "f")],
    ];
    [early, late]
}

/// What was there when a write was acknowledged.
struct Moment {
    reading: Reading,
    /// The note of synced lengths, and what it says: the newest log file and its bytes.
    note: Vec<u8>,
    synced: (u64, u64),
}

/// A directory as a killed process leaves it.
struct Killed {
    scene: Scene,
    moments: Vec<Moment>,
    /// How many damaged copies could be opened.
    opened: usize,
}

impl Killed {
    fn new() -> Self {
        let scene = Scene::new();
        let running = scene.path().with_file_name("running");
        let store = disk(&running).adopt(identity()).unwrap();
        let mut moments = Vec::new();
        let mut remember = || {
            let reading = read(&store).unwrap();
            let note = fs::read(running.join("synced")).unwrap();
            let number = |at: usize| u64::from_be_bytes(note[at..at + 8].try_into().unwrap());
            let synced = (number(8), number(16));
            moments.push(Moment { reading, note, synced });
        };
        remember();
        for part in history() {
            for writes in part {
                store.write(WriteBatch { writes }).unwrap();
                remember();
            }
            store.reclaim().unwrap();
            remember();
        }
        let mut writer = store.begin_snapshot(SHARDS[1], "meta".into()).unwrap();
        for record in ["one", "", "three"] {
            writer.record(record.as_bytes()).unwrap();
        }
        writer.finish().unwrap();
        scene::copy(&running, &scene.path());
        let killed = Self { scene, moments, opened: 0 };
        assert!(killed.files("raftlog").len() > 2, "several files: {:?}", killed.files("raftlog"));
        let rewritten = killed.files("rewrite").iter().map(|file| length(file)).sum::<usize>();
        assert!(rewritten > 200, "something was moved: {rewritten} bytes");
        killed
    }

    fn files(&self, extension: &str) -> Vec<PathBuf> {
        log_files(&self.scene.path(), extension)
    }

    fn last(&self) -> &Moment {
        self.moments.last().unwrap()
    }

    /// The last moment at which no more was synced than the first bytes of the newest file.
    fn before(&self, bytes: usize) -> &Moment {
        let newest = number(self.files("raftlog").last().unwrap());
        let reached = |moment: &&Moment| moment.synced <= (newest, bytes as u64);
        self.moments.iter().rfind(reached).unwrap()
    }

    /// Opens a copy in which a file was changed, and the note replaced or (`None`) removed.
    fn try_with(
        &mut self,
        file: &Path,
        note: Option<&[u8]>,
        change: impl FnOnce(&Path),
    ) -> Result<Reading, StoreError> {
        let copy = self.scene.copy();
        match note {
            Some(note) => fs::write(copy.join("synced"), note).unwrap(),
            None => fs::remove_file(copy.join("synced")).unwrap(),
        }
        change(&copy.join(file.strip_prefix(self.scene.path()).unwrap()));
        let found = open(&copy).and_then(|store| {
            let found = read(&store)?;
            self.opened += 1;
            // Opening is what takes the time.
            if self.opened.is_multiple_of(5) {
                goes_on(&copy, store);
            }
            Ok(found)
        });
        fs::remove_dir_all(copy).unwrap();
        found
    }
}

/// What was taken for right takes a write, and stays.
fn goes_on(path: &Path, store: Arc<dyn Store>) {
    store.write(WriteBatch { writes: vec![vote(1, "next")] }).unwrap();
    let expected = read(&store).unwrap();
    drop(store);
    assert_eq!(read(&open(path).unwrap()).unwrap(), expected);
}

fn number(file: &Path) -> u64 {
    file.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

fn length(file: &Path) -> usize {
    fs::metadata(file).unwrap().len() as usize
}

/// Which bit of a byte is changed: another one each time.
fn bit(byte: usize) -> usize {
    byte * 8 + byte % 8
}

#[test]
fn every_prefix_of_the_newest_file_gives_what_was_synced_by_then() {
    let mut killed = Killed::new();
    let newest = killed.files("raftlog").pop().unwrap();
    for bytes in 0..=length(&newest) {
        let Moment { reading, note, .. } = killed.before(bytes);
        let (expected, note) = (reading.clone(), note.clone());
        for note in [Some(&note[..]), None] {
            let found = killed.try_with(&newest, note, |file| cut(file, bytes));
            assert_eq!(found.unwrap(), expected, "{bytes} bytes");
        }
    }
}

#[test]
fn every_prefix_shorter_than_what_was_synced_is_refused() {
    let mut killed = Killed::new();
    let (note, (_, synced)) = (killed.last().note.clone(), killed.last().synced);
    let newest = ["raftlog", "rewrite"].map(|kind| killed.files(kind).pop().unwrap());
    let synced = [synced as usize, length(&newest[1])];
    for (file, synced) in newest.iter().zip(synced) {
        for bytes in 0..synced {
            let found = killed.try_with(file, Some(&note), |file| cut(file, bytes));
            let error = found.expect_err("synced bytes are missing");
            assert!(is_corrupt(&error), "{file:?} with {bytes} bytes: {error}");
        }
    }
}

#[test]
fn every_changed_byte_of_every_log_file_is_noticed_or_harmless() {
    let mut killed = Killed::new();
    let (last, note) = (killed.last().reading.clone(), killed.last().note.clone());
    let (mut noticed, mut harmless) = (0, 0);
    for file in [killed.files("raftlog"), killed.files("rewrite")].concat() {
        for byte in 0..length(&file) {
            match killed.try_with(&file, Some(&note), |file| flip(file, bit(byte))) {
                Ok(found) => {
                    assert_eq!(found, last, "{file:?} byte {byte}");
                    harmless += 1;
                }
                Err(error) => {
                    assert!(is_corrupt(&error), "{file:?} byte {byte}: {error}");
                    noticed += 1;
                }
            }
        }
    }
    assert!(noticed > 9 * harmless, "{noticed} were noticed, {harmless} changed nothing");
}

/// Behind what the note speaks of, a changed byte looks like a write that was never finished.
#[test]
fn every_changed_byte_behind_the_note_leaves_what_was_noted() {
    let mut killed = Killed::new();
    let last = killed.last().reading.clone();
    let newest = killed.files("raftlog").pop().unwrap();
    for byte in 0..length(&newest) {
        let Moment { reading, note, .. } = killed.before(byte);
        let (before, note) = (reading.clone(), note.clone());
        match killed.try_with(&newest, Some(&note), |file| flip(file, bit(byte))) {
            Ok(found) => assert!(found == before || found == last, "byte {byte}: {found:?}"),
            Err(error) => assert!(is_corrupt(&error), "byte {byte}: {error}"),
        }
    }
}

#[test]
fn every_damage_of_the_note_is_harmless() {
    let mut killed = Killed::new();
    let (last, note) = (killed.last().reading.clone(), killed.last().note.clone());
    let file = killed.scene.path().join("synced");
    for byte in 0..note.len() {
        let found = killed.try_with(&file, Some(&note), |file| flip(file, bit(byte)));
        assert_eq!(found.unwrap(), last, "byte {byte}");
        let found = killed.try_with(&file, Some(&note), |file| cut(file, byte));
        assert_eq!(found.unwrap(), last, "{byte} bytes");
    }
}

#[test]
fn every_damage_of_a_header_is_refused_and_repaired_by_nobody() {
    let scene = Scene::new();
    let disk = disk(&scene.path());
    let header = scene.path().join("header");
    assert!(matches!(disk.open().unwrap(), Opened::Blank(_)));
    let blank = fs::read(&header).unwrap();
    drop(disk.adopt(identity()).unwrap());
    let member = fs::read(&header).unwrap();
    let damaged = |good: &[u8], damage: &dyn Fn(&Path)| {
        fs::write(&header, good).unwrap();
        damage(&header);
        let bytes = fs::read(&header).unwrap();
        for error in [disk.open().unwrap_err(), disk.adopt(identity()).unwrap_err()] {
            assert!(is_corrupt(&error), "{bytes:x?}: {error}");
        }
        assert_eq!(fs::read(&header).unwrap(), bytes);
    };
    for good in [blank, member] {
        for byte in 0..good.len() {
            damaged(&good, &|header| flip(header, bit(byte)));
            damaged(&good, &|header| cut(header, byte));
        }
    }
}

#[test]
fn every_damage_of_a_snapshot_is_noticed_after_reopening() {
    let killed = Killed::new();
    let folder = killed.scene.path().join("snapshots").join(SHARDS[1].to_string());
    let file = fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&file).unwrap();
    for byte in 0..good.len() {
        flip(&file, bit(byte));
        let store = open(&killed.scene.path()).unwrap();
        assert_eq!(read(&store).unwrap(), killed.last().reading);
        for damage in ["was changed", "and all behind it went away"] {
            let error = store.snapshot(SHARDS[1]).map(drop).expect_err(damage);
            assert!(is_corrupt(&error), "byte {byte} {damage}: {error}");
            cut(&file, byte);
        }
        drop(store);
        let store = open(&killed.scene.path()).unwrap();
        let error = store.snapshot(SHARDS[1]).map(drop).expect_err("bytes are missing");
        assert!(is_corrupt(&error), "{byte} bytes: {error}");
        fs::write(&file, &good).unwrap();
    }
}

/// Also where it is cut right behind one of its writes, so that nothing in it looks broken.
#[test]
fn every_prefix_of_an_older_file_is_refused() {
    let mut killed = Killed::new();
    let note = killed.last().note.clone();
    let files = killed.files("raftlog");
    for file in &files[..files.len() - 1] {
        for bytes in 0..length(file) {
            let found = killed.try_with(file, Some(&note), |file| cut(file, bytes));
            let error = found.expect_err("bytes are missing");
            assert!(is_corrupt(&error), "{file:?} with {bytes} bytes: {error}");
        }
        let removed = |file: &Path| fs::remove_file(file).unwrap();
        match killed.try_with(file, Some(&note), removed) {
            Err(error) => assert!(is_corrupt(&error), "without {file:?}: {error}"),
            // The oldest one may have been given back, as long as nothing in it is needed.
            Ok(_) => assert_eq!(file, &files[0]),
        }
    }
}

#[test]
fn every_damage_of_the_ends_is_harmless() {
    let mut killed = Killed::new();
    let (last, note) = (killed.last().reading.clone(), killed.last().note.clone());
    let file = killed.scene.path().join("ends");
    for byte in 0..length(&file) {
        let found = killed.try_with(&file, Some(&note), |file| flip(file, bit(byte)));
        assert_eq!(found.unwrap(), last, "byte {byte}");
        let found = killed.try_with(&file, Some(&note), |file| cut(file, byte));
        assert_eq!(found.unwrap(), last, "{byte} bytes");
    }
}
