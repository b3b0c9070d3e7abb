//! Log files that a crash cut short, or that rotted: what comes back is right or an error, never wrong, and
//! nothing acknowledged goes away in silence.
#![allow(clippy::unwrap_used, reason = "a test may panic, in its helpers too")]

mod scene;

use std::fs::{self, File};
use std::path::Path;

use bytes::Bytes;
use orrery_model::ShardId;
use orrery_router_store::{Record, Write, WriteBatch};
use scene::{Reading, Scene, flip, history, is_corrupt, log_files, open, read, synced_bytes};

/// The history written to a directory that is then left as a killed process leaves it.
struct Killed {
    scene: Scene,
    /// What could be read after each number of writes.
    readings: Vec<Reading>,
    /// Up to where the log's file was synced after each number of writes, and the note that said so.
    synced: Vec<(u64, Vec<u8>)>,
}

fn killed() -> (Killed, impl Drop) {
    let scene = Scene::new();
    let store = scene::create(&scene.path());
    let note = || (synced_bytes(&scene.path()), fs::read(scene.path().join("synced")).unwrap());
    let mut readings = vec![read(&store).unwrap()];
    let mut synced = vec![note()];
    for batch in history() {
        store.write(batch).unwrap();
        readings.push(read(&store).unwrap());
        synced.push(note());
    }
    struct Open<T>(#[allow(dead_code, reason = "kept open")] T);
    impl<T> Drop for Open<T> {
        fn drop(&mut self) {}
    }
    (Killed { scene, readings, synced }, Open(store))
}

fn cut(copy: &Path, bytes: u64) {
    let file = log_files(copy, "raftlog").pop().unwrap();
    File::options().write(true).open(file).unwrap().set_len(bytes).unwrap();
}

#[test]
fn a_killed_store_comes_back_whole_and_goes_on() {
    let (mut killed, _open) = killed();
    let copy = killed.scene.copy();
    for _ in 0..2 {
        let store = open(&copy).unwrap();
        assert_eq!(Some(&read(&store).unwrap()), killed.readings.last());
    }
    let store = open(&copy).unwrap();
    store.write(WriteBatch { writes: vec![(ShardId(1), Write::Vote("next".into()))] }).unwrap();
    drop(store);
    assert_eq!(open(&copy).unwrap().vote(ShardId(1)).unwrap(), Some("next".into()));
}

/// Every length of the file, against what each older note of the synced length allows.
#[test]
fn a_log_cut_anywhere_gives_all_that_was_noted_as_synced_or_an_error() {
    let (mut killed, _open) = killed();
    let (end, _) = *killed.synced.last().unwrap();
    let noted = [0, killed.synced.len() / 2, killed.synced.len() - 1];
    let ends: Vec<u64> = killed.synced.iter().map(|(end, _)| *end).collect();
    let near_an_end = |cut: u64| ends.iter().any(|end| end.abs_diff(cut) <= 2);
    for bytes in (0..=end).filter(|cut| cut % 37 == 0 || near_an_end(*cut)) {
        for noted in noted {
            let copy = killed.scene.copy();
            cut(&copy, bytes);
            let (synced, note) = &killed.synced[noted];
            fs::write(copy.join("synced"), note).unwrap();
            let found = open(&copy).and_then(|store| read(&store));
            if bytes < *synced {
                let error = found.expect_err("synced bytes are missing");
                assert!(is_corrupt(&error), "cut at {bytes}, synced to {synced}: {error}");
            } else {
                let whole = ends.iter().rposition(|end| *end <= bytes).unwrap();
                assert_eq!(found.unwrap(), killed.readings[whole], "cut at {bytes}");
            }
            fs::remove_dir_all(copy).unwrap();
        }
    }
}

/// The note is one disk block away from the log, but not part of it.
#[test]
fn without_the_note_a_cut_log_is_a_prefix() {
    let (mut killed, _open) = killed();
    let ends: Vec<u64> = killed.synced.iter().map(|(end, _)| *end).collect();
    for bytes in ends.iter().flat_map(|end| [end - 1, *end, end + 1]).filter(|cut| *cut >= ends[0])
    {
        let copy = killed.scene.copy();
        cut(&copy, bytes);
        fs::remove_file(copy.join("synced")).unwrap();
        let whole = ends.iter().rposition(|end| *end <= bytes).unwrap();
        assert_eq!(read(&open(&copy).unwrap()).unwrap(), killed.readings[whole], "cut at {bytes}");
    }
}

#[test]
fn one_changed_bit_of_the_log_is_noticed_wherever_it_matters() {
    let (mut killed, _open) = killed();
    let (end, _) = *killed.synced.last().unwrap();
    let last = killed.readings.last().unwrap().clone();
    let mut noticed = 0;
    // A prime stride visits every bit of a byte; behind the end lies what was set aside for later writes.
    for bit in (0..(end as usize + 200) * 8).step_by(89) {
        let copy = killed.scene.copy();
        flip(&log_files(&copy, "raftlog")[0], bit);
        match open(&copy).and_then(|store| read(&store)) {
            Ok(found) => assert_eq!(found, last, "bit {bit}"),
            Err(error) => {
                assert!(is_corrupt(&error), "bit {bit}: {error}");
                noticed += 1;
            }
        }
        fs::remove_dir_all(copy).unwrap();
    }
    let visited = end as usize * 8 / 89;
    // Nobody reads the entries that were purged or cleared.
    assert!(noticed * 4 > visited * 3, "of {visited} changed bits only {noticed} were noticed");
}

#[test]
fn a_missing_log_file_is_noticed() {
    let (mut killed, _open) = killed();
    let copy = killed.scene.copy();
    fs::remove_file(log_files(&copy, "raftlog").pop().unwrap()).unwrap();
    let error = open(&copy).expect_err("the log is gone");
    assert!(is_corrupt(&error) && error.to_string().contains("missing"), "{error}");
    let copy = killed.scene.copy();
    fs::remove_dir_all(copy.join("log")).unwrap();
    let error = open(&copy).expect_err("the log is gone");
    assert!(is_corrupt(&error), "{error}");
}

#[test]
fn changed_bits_of_small_files_are_noticed_or_harmless() {
    let (mut killed, _open) = killed();
    let last = killed.readings.last().unwrap().clone();
    for name in ["header", "synced", "log/LOCK", "catalogue/conf", "catalogue/db"] {
        let length = fs::metadata(killed.scene.path().join(name)).unwrap().len() as usize;
        for bit in (0..length.min(200) * 8).step_by(61) {
            let copy = killed.scene.copy();
            flip(&copy.join(name), bit);
            match open(&copy).and_then(|store| read(&store)) {
                Ok(found) => {
                    assert_eq!(found, last, "{name} bit {bit}");
                    assert_ne!(name, "header", "bit {bit} was not noticed");
                }
                Err(error) => assert!(is_corrupt(&error), "{name} bit {bit}: {error}"),
            }
            fs::remove_dir_all(copy).unwrap();
        }
    }
}

/// Files before the newest one are never cut, whatever their end looks like.
#[test]
fn damage_in_older_files_is_noticed() {
    let mut scene = Scene::new();
    let store = scene::create(&scene.path());
    let expected: Vec<_> = (1..=36)
        .map(|index| Record { index, bytes: Bytes::from(vec![index as u8; 1 << 20]) })
        .collect();
    let mut file_ends = Vec::new();
    for record in &expected {
        let files = log_files(&scene.path(), "raftlog").len();
        let before = synced_bytes(&scene.path());
        let append = Write::Append(vec![record.clone()]);
        store.write(WriteBatch { writes: vec![(ShardId(1), append)] }).unwrap();
        if log_files(&scene.path(), "raftlog").len() > files {
            file_ends.push(before as usize);
        }
    }
    assert_eq!(file_ends.len(), 2, "three files: {file_ends:?}");
    for (file, end) in file_ends.into_iter().enumerate() {
        for byte in [0, 60, 1_000, end / 2, end - (1 << 19), end - 1] {
            let copy = scene.copy();
            flip(&log_files(&copy, "raftlog")[file], byte * 8 + 3);
            let found = open(&copy).and_then(|store| {
                (1..=36).map(|index| store.entries(ShardId(1), index, index + 1, 0)).collect()
            });
            let found: Result<Vec<_>, _> = found;
            let error = found.map(drop).expect_err("an entry of 1 MiB was hit");
            assert!(is_corrupt(&error), "file {file} byte {byte}: {error}");
            fs::remove_dir_all(copy).unwrap();
        }
    }
}
