//! Rules of the snapshots.

use bytes::Bytes;
use orrery_model::ShardId;

use super::{NewPlace, OTHER, SHARD, append, open, reopen};
use crate::error::StoreError;
use crate::limits::SNAPSHOT_RECORD_BYTES_MAX;
use crate::store::{SnapshotReader, SnapshotWriter, Store, Write, WriteBatch};

/// Meta and records come back as they were given, each shard's its own.
pub fn a_finished_snapshot_is_there_after_reopening(new_place: NewPlace<'_>) {
    let place = new_place();
    let mut store = open(&*place);
    let long = "long ".repeat(100_000);
    take(&*store, SHARD, "meta", &["one", "", &long]);
    take(&*store, OTHER, "", &["other"]);
    for _ in 0..2 {
        assert_snapshot(&*store, SHARD, "meta", &["one", "", &long]);
        assert_snapshot(&*store, OTHER, "", &["other"]);
        assert!(store.snapshot(ShardId::CONTROL).expect("readable").is_none());
        store = reopen(&*place, store);
    }
}

/// Not while it is written, not after it was dropped, not after reopening.
pub fn an_unfinished_snapshot_is_never_seen(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    let mut writer = begin(&*store, SHARD, "unfinished");
    writer.record(b"lost").expect("a sound store takes it");
    assert!(store.snapshot(SHARD).expect("readable").is_none());
    drop(writer);
    assert!(store.snapshot(SHARD).expect("readable").is_none());
    take(&*store, SHARD, "finished", &["kept"]);
    let mut writer = begin(&*store, SHARD, "unfinished");
    writer.record(b"lost").expect("a sound store takes it");
    assert_snapshot(&*store, SHARD, "finished", &["kept"]);
    drop(writer);
    let store = reopen(&*place, store);
    assert_snapshot(&*store, SHARD, "finished", &["kept"]);
}

/// The newest finished one counts, also after reopening.
pub fn a_newer_snapshot_takes_the_place_of_the_older(new_place: NewPlace<'_>) {
    let place = new_place();
    let mut store = open(&*place);
    for meta in ["first", "second", "third"] {
        take(&*store, SHARD, meta, &[meta]);
        assert_snapshot(&*store, SHARD, meta, &[meta]);
        store = reopen(&*place, store);
        assert_snapshot(&*store, SHARD, meta, &[meta]);
    }
}

/// A slow reader (a follower far away) finishes what it began.
pub fn a_snapshot_being_read_outlives_its_successor(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    take(&*store, SHARD, "old", &["1", "2"]);
    let mut reader = store.snapshot(SHARD).expect("readable").expect("there is one");
    assert_eq!(reader.next_record().expect("readable"), Some("1".into()));
    take(&*store, SHARD, "new", &["3"]);
    assert_eq!(reader.next_record().expect("readable"), Some("2".into()));
    assert_eq!(reader.next_record().expect("readable"), None);
    assert_snapshot(&*store, SHARD, "new", &["3"]);
}

/// One being built and one being installed do not get in each other's way.
pub fn the_last_finished_of_two_writers_is_the_newest(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    let mut early = begin(&*store, SHARD, "early");
    let mut late = begin(&*store, SHARD, "late");
    late.record(b"l").expect("a sound store takes it");
    early.record(b"e").expect("a sound store takes it");
    late.finish().expect("a sound store finishes it");
    assert_snapshot(&*store, SHARD, "late", &["l"]);
    early.finish().expect("a sound store finishes it");
    let store = reopen(&*place, store);
    assert_snapshot(&*store, SHARD, "early", &["e"]);
}

/// A shard may hold nothing.
pub fn an_empty_snapshot_is_a_snapshot(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    take(&*store, SHARD, "empty", &[]);
    let store = reopen(&*place, store);
    assert_snapshot(&*store, SHARD, "empty", &[]);
}

/// The snapshot before it stays, and the log goes on.
pub fn a_record_too_long_loses_only_its_snapshot(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    take(&*store, SHARD, "before", &["b"]);
    let mut writer = begin(&*store, SHARD, "too long");
    writer.record(&vec![0; SNAPSHOT_RECORD_BYTES_MAX + 1]).expect_err("it is too long");
    writer.record(b"short").expect_err("the snapshot is lost");
    writer.finish().expect_err("the snapshot is lost");
    let writes = vec![(SHARD, append(1, 1, "x"))];
    store.write(WriteBatch { writes }).expect("nothing else is lost");
    let store = reopen(&*place, store);
    assert_snapshot(&*store, SHARD, "before", &["b"]);
    take(&*store, SHARD, "after", &["a"]);
    assert_snapshot(&*store, SHARD, "after", &["a"]);
}

/// A node that stops can still be read.
pub fn snapshots_go_on_after_the_log_has_stopped(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    take(&*store, SHARD, "before", &["b"]);
    place.fail_next_write();
    let writes = vec![(SHARD, append(1, 1, "x"))];
    let error = store.write(WriteBatch { writes }).expect_err("it was to fail");
    assert!(!matches!(error, StoreError::Stopped), "{error}");
    assert_snapshot(&*store, SHARD, "before", &["b"]);
}

/// Not after reopening either; the next one is a snapshot like any other. Removing none is no error.
pub fn a_removed_snapshot_stays_away(new_place: NewPlace<'_>) {
    let place = new_place();
    let mut store = open(&*place);
    store.remove_snapshot(SHARD).expect("there is none");
    take(&*store, OTHER, "other", &["o"]);
    for round in ["first", "second", "third"] {
        take(&*store, SHARD, "older", &["x", round]);
        take(&*store, SHARD, round, &[round]);
        store = reopen(&*place, store);
        assert_snapshot(&*store, SHARD, round, &[round]);
        for _ in 0..2 {
            store.remove_snapshot(SHARD).expect("a sound store removes it");
            assert!(store.snapshot(SHARD).expect("readable").is_none());
            store = reopen(&*place, store);
            assert!(store.snapshot(SHARD).expect("readable").is_none());
        }
        assert_snapshot(&*store, OTHER, "other", &["o"]);
    }
}

/// Who reads goes on reading, and what is being written becomes a snapshot.
pub fn removing_takes_nothing_from_readers_and_writers(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    take(&*store, SHARD, "old", &["1", "2"]);
    let mut reader = store.snapshot(SHARD).expect("readable").expect("there is one");
    let mut writer = begin(&*store, SHARD, "new");
    store.remove_snapshot(SHARD).expect("a sound store removes it");
    assert!(store.snapshot(SHARD).expect("readable").is_none());
    for record in [Some("1".into()), Some("2".into()), None] {
        assert_eq!(reader.next_record().expect("readable"), record);
    }
    writer.record(b"3").expect("a sound store takes it");
    writer.finish().expect("a sound store finishes it");
    drop(reader);
    let store = reopen(&*place, store);
    assert_snapshot(&*store, SHARD, "new", &["3"]);
}

/// It has a removal of its own.
pub fn a_clear_leaves_the_snapshot(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    take(&*store, SHARD, "kept", &["k"]);
    let writes = vec![(SHARD, append(1, 1, "x")), (SHARD, Write::Clear)];
    store.write(WriteBatch { writes }).expect("a sound store takes a write");
    let store = reopen(&*place, store);
    assert_snapshot(&*store, SHARD, "kept", &["k"]);
}

fn begin(store: &dyn Store, shard: ShardId, meta: &str) -> Box<dyn SnapshotWriter> {
    let meta = Bytes::copy_from_slice(meta.as_bytes());
    store.begin_snapshot(shard, meta).expect("a sound store begins it")
}

fn take(store: &dyn Store, shard: ShardId, meta: &str, records: &[&str]) {
    let mut writer = begin(store, shard, meta);
    for record in records {
        writer.record(record.as_bytes()).expect("a sound store takes it");
    }
    writer.finish().expect("a sound store finishes it");
}

fn assert_snapshot(store: &dyn Store, shard: ShardId, meta: &str, records: &[&str]) {
    let mut reader: Box<dyn SnapshotReader> =
        store.snapshot(shard).expect("readable").expect("there is one");
    assert_eq!(reader.meta(), meta);
    for record in records {
        assert_eq!(reader.next_record().expect("readable").as_deref(), Some(record.as_bytes()));
    }
    for _ in 0..2 {
        assert_eq!(reader.next_record().expect("readable"), None);
    }
}
