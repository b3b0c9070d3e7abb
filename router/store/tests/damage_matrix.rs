//! Damage of one file, kind by kind: log, vote and snapshot; one bit, a cut, zeroes, nothing there, an older copy.
//! Each is refused in words or changes nothing that was acknowledged: a vote that is older than the one that was
//! given is as bad as an entry that is gone.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod scene;

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use orrery_model::ShardId;
use orrery_router_store::{Record, Store, StoreError, Write, WriteBatch};
use scene::{Reading, Scene, cut, flip, is_corrupt, log_files, open, read, synced_bytes};

const SHARD: ShardId = ShardId(1);

fn append(store: &dyn Store, index: u64) {
    let bytes = format!("entry {index}").repeat(10).into();
    write(store, Write::Append(vec![Record { index, bytes }]));
}

fn write(store: &dyn Store, write: Write) {
    store.write(WriteBatch { writes: vec![(SHARD, write)] }).unwrap();
}

fn take(store: &dyn Store, meta: &str) {
    let mut writer = store.begin_snapshot(SHARD, meta.to_owned().into()).unwrap();
    writer.record(meta.as_bytes()).unwrap();
    writer.finish().unwrap();
}

type Snapshot = Option<Vec<u8>>;

fn snapshot(store: &dyn Store) -> Result<Snapshot, StoreError> {
    let Some(mut reader) = store.snapshot(SHARD)? else { return Ok(None) };
    let mut all = reader.meta().to_vec();
    while let Some(record) = reader.next_record()? {
        all.extend_from_slice(&record);
    }
    Ok(Some(all))
}

fn newest_log(path: &Path) -> PathBuf {
    log_files(path, "raftlog").pop().unwrap()
}

fn snapshot_file(path: &Path) -> PathBuf {
    let folder = path.join("snapshots").join(SHARD.to_string());
    fs::read_dir(folder).unwrap().next().unwrap().unwrap().path()
}

/// A directory after a vote that was its last write, and as it was just before.
struct Voted {
    scene: Scene,
    before: PathBuf,
    /// What was acknowledged at the end.
    reading: Reading,
    snapshot: Snapshot,
    /// Bytes of the newest log file before and behind the vote.
    vote: (usize, usize),
}

impl Voted {
    fn new() -> Self {
        let mut scene = Scene::new();
        let store = scene::create(&scene.path());
        write(&*store, Write::Vote("term 1".into()));
        (1..=5).for_each(|index| append(&*store, index));
        take(&*store, "at 3");
        drop(store);
        let before = scene.copy();
        let store = open(&scene.path()).unwrap();
        append(&*store, 6);
        take(&*store, "at 6");
        let from = synced_bytes(&scene.path()) as usize;
        write(&*store, Write::Vote("term 2".into()));
        let to = synced_bytes(&scene.path()) as usize;
        let (reading, snapshot) = (read(&store).unwrap(), snapshot(&*store).unwrap());
        drop(store);
        assert!(from < to);
        Self { scene, before, reading, snapshot, vote: (from, to) }
    }

    /// What is found in a copy after this.
    fn after(&mut self, damage: impl FnOnce(&Path)) -> Result<(Reading, Snapshot), StoreError> {
        let copy = self.scene.copy();
        damage(&copy);
        let found = open(&copy).and_then(|store| Ok((read(&store)?, snapshot(&*store)?)));
        fs::remove_dir_all(copy).unwrap();
        found
    }

    /// It is refused as damage.
    fn refused(&mut self, what: &str, damage: impl FnOnce(&Path)) {
        match self.after(damage) {
            Ok(found) => panic!("{what}: taken for {found:?}"),
            Err(error) => assert!(is_corrupt(&error), "{what}: {error}"),
        }
    }

    /// It is refused as damage, or nothing that was acknowledged is missing or changed. Whether it was refused.
    fn refused_or_whole(&mut self, what: &str, damage: impl FnOnce(&Path)) -> bool {
        match self.after(damage) {
            Ok((reading, snapshot)) => {
                assert_eq!(reading, self.reading, "{what}");
                assert_eq!(snapshot, self.snapshot, "{what}");
                false
            }
            Err(error) => {
                assert!(is_corrupt(&error), "{what}: {error}");
                true
            }
        }
    }
}

/// Writes zeroes over a part of a file, as a disk gives back what it lost.
fn zero(path: &Path, from: usize, to: usize) {
    let file = File::options().write(true).open(path).unwrap();
    file.write_all_at(&vec![0; to - from], from as u64).unwrap();
}

#[test]
fn an_untouched_copy_is_whole() {
    let mut voted = Voted::new();
    let (reading, snapshot) = voted.after(|_| ()).unwrap();
    assert_eq!((reading, snapshot), (voted.reading.clone(), voted.snapshot.clone()));
    assert_eq!(voted.snapshot.as_deref(), Some(&b"at 6at 6"[..]));
}

#[test]
fn a_vote_that_was_given_never_goes_back_to_the_one_before() {
    let mut voted = Voted::new();
    let (from, to) = voted.vote;
    let mut refused = 0;
    for bit in from * 8..to * 8 {
        let damage = |copy: &Path| flip(&newest_log(copy), bit);
        refused += usize::from(voted.refused_or_whole(&format!("bit {bit}"), damage));
    }
    // A few bits of the engine's own say nothing.
    let bits = (to - from) * 8;
    assert!(refused * 10 > bits * 9, "{refused} of {bits} changed bits were refused");
    for bytes in from..to {
        voted.refused(&format!("cut at {bytes}"), |copy| cut(&newest_log(copy), bytes));
        voted.refused(&format!("zeroes from {bytes}"), |copy| {
            zero(&newest_log(copy), bytes, to);
        });
    }
    voted.refused("zeroes to the vote's end", |copy| zero(&newest_log(copy), from, to));
    voted.refused("missing", |copy| fs::remove_file(newest_log(copy)).unwrap());
}

#[test]
fn a_log_with_zeroes_anywhere_is_refused_or_whole() {
    let mut voted = Voted::new();
    let (_, end) = voted.vote;
    let mut refused = 0;
    let places: Vec<_> = (0..end).step_by(16).collect();
    for from in &places {
        let to = (from + 16).min(end);
        let what = format!("zeroes in {from}..{to}");
        let damage = |copy: &Path| zero(&newest_log(copy), *from, to);
        refused += usize::from(voted.refused_or_whole(&what, damage));
    }
    assert_eq!(refused, places.len(), "each of them holds something that is needed");
    voted.refused("all zeroes", |copy| zero(&newest_log(copy), 0, end));
    voted.refused("empty", |copy| cut(&newest_log(copy), 0));
}

/// A file that was put back from an older time, the others as they are.
#[test]
fn an_older_copy_of_the_log_is_refused() {
    let mut voted = Voted::new();
    let before = voted.before.clone();
    voted.refused("older log", |copy| {
        fs::copy(newest_log(&before), newest_log(copy)).unwrap();
    });
    // The note alone says less than there is, as after a power cut.
    let whole = !voted.refused_or_whole("older note", |copy| {
        fs::copy(before.join("synced"), copy.join("synced")).unwrap();
    });
    assert!(whole, "nothing is missing");
}

#[test]
fn a_snapshot_that_lost_anything_is_refused_and_the_log_is_whole() {
    let mut voted = Voted::new();
    let length = fs::metadata(snapshot_file(&voted.scene.path())).unwrap().len() as usize;
    for bit in 0..length * 8 {
        voted.refused(&format!("bit {bit}"), |copy| flip(&snapshot_file(copy), bit));
    }
    for bytes in 0..length {
        voted.refused(&format!("cut at {bytes}"), |copy| cut(&snapshot_file(copy), bytes));
        // Bytes that are zero anyway are not hit.
        voted.refused_or_whole(&format!("a zero at {bytes}"), |copy| {
            zero(&snapshot_file(copy), bytes, bytes + 1);
        });
    }
    voted.refused("all zeroes", |copy| zero(&snapshot_file(copy), 0, length));
    voted.refused("missing", |copy| fs::remove_file(snapshot_file(copy)).unwrap());
}

#[test]
fn an_older_copy_of_a_snapshot_is_refused_under_either_name() {
    let mut voted = Voted::new();
    let older = snapshot_file(&voted.before);
    voted.refused("under the newer one's name", |copy| {
        fs::copy(&older, snapshot_file(copy)).unwrap();
    });
    let name = older.file_name().unwrap().to_owned();
    voted.refused("under its own", |copy| {
        let newest = snapshot_file(copy);
        fs::copy(&older, newest.with_file_name(&name)).unwrap();
        if newest.file_name() != Some(&name) {
            fs::remove_file(newest).unwrap();
        }
    });
    // Beside the newer one it is what a crash in the middle of replacing it leaves.
    let whole = !voted.refused_or_whole("beside the newer one", |copy| {
        let beside = snapshot_file(copy).with_file_name(&name);
        if !beside.exists() {
            fs::copy(&older, beside).unwrap();
        }
    });
    assert!(whole, "the newer one is there");
}
