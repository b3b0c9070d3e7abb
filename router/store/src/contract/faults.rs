//! Rules for callers that are wrong or in a hurry, disks that fail, and stores beside each other.

use std::sync::atomic::{AtomicBool, Ordering};

use super::{NewPlace, OTHER, SHARD, append, assert_log, open, purge, record, reopen, write};
use crate::error::StoreError;
use crate::limits::TAIL_BYTES_MAX;
use crate::store::{Record, Write, WriteBatch};

/// A caller that leaves holes is broken; the store must not go on for it.
pub fn a_gap_is_refused_and_final(new_place: NewPlace<'_>) {
    let holes: [Vec<Write>; 6] = [
        vec![append(5, 5, "x")],
        vec![append(3, 3, "x")],
        vec![Write::Append(vec![record(4, "x"), record(6, "x")])],
        vec![purge(2), append(3, 3, "x")],
        vec![purge(9), append(9, 9, "x")],
        vec![Write::TruncateAfter(Some(2)), append(4, 4, "x")],
    ];
    for hole in holes {
        let place = new_place();
        let store = open(&*place);
        write(&*store, vec![append(1, 3, "x")]);
        let writes = hole.into_iter().map(|write| (SHARD, write)).collect();
        let error = store.write(WriteBatch { writes }).expect_err("a hole");
        assert!(matches!(error, StoreError::Gap { .. }), "{error}");
        let writes = vec![(OTHER, append(1, 1, "x"))];
        let error = store.write(WriteBatch { writes }).expect_err("an error is final");
        assert!(matches!(error, StoreError::Stopped), "{error}");
        let store = reopen(&*place, store);
        assert_log(&*store, SHARD, &[record(1, "x"), record(2, "x"), record(3, "x")]);
    }
}

/// What stands before the gap in its batch is not done either.
pub fn a_batch_with_a_gap_changes_nothing(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    write(&*store, vec![append(1, 1, "x"), Write::Vote("before".into())]);
    let writes = vec![
        (SHARD, Write::Vote("after".into())),
        (OTHER, append(1, 1, "x")),
        (SHARD, append(3, 3, "x")),
    ];
    store.write(WriteBatch { writes }).expect_err("a hole");
    let store = reopen(&*place, store);
    assert_log(&*store, SHARD, &[record(1, "x")]);
    assert_log(&*store, OTHER, &[]);
    assert_eq!(store.vote(SHARD).expect("readable"), Some("before".into()));
}

/// Two stores of one process hold their own entries also where both lie at the same place of a file and are
/// read by one thread.
pub fn stores_do_not_mix(new_place: NewPlace<'_>) {
    let texts = ["one", "two"];
    let places = texts.map(|text| {
        let place = new_place();
        write(&*open(&*place), vec![append(1, 3, text)]);
        place
    });
    // Opened anew, so that no memory of what was written answers.
    let stores = [open(&*places[0]), open(&*places[1])];
    for _ in 0..2 {
        for (store, text) in stores.iter().zip(texts) {
            assert_log(&**store, SHARD, &[1, 2, 3].map(|index| record(index, text)));
        }
    }
}

/// One store at a time; dropping it lets the next one in.
pub fn a_store_in_use_is_locked(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    write(&*store, vec![append(1, 1, "x")]);
    let error = place.disk().open().expect_err("the store is in use");
    assert!(matches!(error, StoreError::Locked { .. }), "{error}");
    write(&*store, vec![append(2, 2, "x")]);
    let store = reopen(&*place, store);
    assert_log(&*store, SHARD, &[record(1, "x"), record(2, "x")]);
}

/// After a failed sync nobody knows what is on the disk.
pub fn a_failed_write_is_final(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    write(&*store, vec![append(1, 2, "x")]);
    place.fail_next_write();
    let fails = |write| store.write(WriteBatch { writes: vec![(SHARD, write)] }).err();
    let error = fails(append(3, 3, "x")).expect("it was to fail");
    assert!(!matches!(error, StoreError::Stopped), "the first error says what happened: {error}");
    for write in [append(3, 3, "x"), Write::Vote("x".into()), purge(1)] {
        assert!(matches!(fails(write), Some(StoreError::Stopped)));
    }
    assert!(matches!(store.reclaim(), Err(StoreError::Stopped)));
    assert_eq!(store.entries(SHARD, 1, 3, 99).expect("reading goes on").len(), 2);
}

/// What was acknowledged is there, and of the write that failed any prefix.
pub fn after_a_failed_write_a_prefix_is_there(new_place: NewPlace<'_>) {
    let place = new_place();
    let mut store = open(&*place);
    write(&*store, vec![append(1, 3, "x"), Write::Vote("old".into())]);
    place.fail_next_write();
    let writes = vec![
        (SHARD, Write::TruncateAfter(Some(2))),
        (SHARD, append(3, 5, "y")),
        (SHARD, Write::Vote("new".into())),
        (OTHER, append(1, 1, "y")),
    ];
    store.write(WriteBatch { writes }).expect_err("it was to fail");
    drop(store);
    place.crash();
    store = open(&*place);
    let x = |index| record(index, "x");
    let y = |index| record(index, "y");
    let prefixes = [
        vec![x(1), x(2), x(3)],
        vec![x(1), x(2)],
        vec![x(1), x(2), y(3)],
        vec![x(1), x(2), y(3), y(4)],
        vec![x(1), x(2), y(3), y(4), y(5)],
    ];
    let state = store.log_state(SHARD).expect("readable");
    let found = store.entries(SHARD, 1, state.last_index + 1, usize::MAX).expect("readable");
    let steps = prefixes.iter().position(|prefix| *prefix == found).expect("it is a prefix");
    let vote = store.vote(SHARD).expect("readable").expect("there was one");
    let other = store.log_state(OTHER).expect("readable");
    assert!(vote == "old" || steps == 4, "the new vote came after all entries");
    assert!(other.empty || vote == "new", "the other shard's entry came last");
    // And whatever it is, it stays.
    for _ in 0..2 {
        drop(store);
        place.crash();
        store = open(&*place);
        assert_log(&*store, SHARD, &found);
        assert_eq!(store.vote(SHARD).expect("readable").as_ref(), Some(&vote));
        assert_eq!(store.log_state(OTHER).expect("readable"), other);
    }
}

/// Readers never meet an error or a mixture while entries are replaced and purged.
pub fn readers_and_a_writer_do_not_disturb_each_other(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    let store = &*store;
    let done = AtomicBool::new(false);
    let entry = |index: u64| Record { index, bytes: vec![index as u8; TAIL_BYTES_MAX / 20].into() };
    write(store, vec![Write::Append((1..=40).map(entry).collect())]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let state = store.log_state(SHARD).expect("readable");
                    let (from, to) = (state.purged_index + 1, state.last_index + 1);
                    match store.entries(SHARD, from, to, usize::MAX) {
                        Ok(found) => {
                            let expected: Vec<_> = (from..to).map(entry).collect();
                            assert!(found == expected, "wrong entries in {from}..{to}");
                        }
                        // The log moved on between the two questions.
                        Err(StoreError::Missing { .. }) => {}
                        Err(error) => panic!("{from}..{to}: {error}"),
                    }
                }
            });
        }
        for round in 0..20 {
            let last = 40 + round;
            write(
                store,
                vec![
                    Write::TruncateAfter(Some(last - 30)),
                    Write::Append((last - 29..=last + 1).map(entry).collect()),
                ],
            );
            write(store, vec![purge(round + 1)]);
        }
        done.store(true, Ordering::Relaxed);
    });
}
