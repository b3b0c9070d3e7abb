//! Rules of the log and the votes, where nothing goes wrong.

use bytes::Bytes;
use orrery_model::ShardId;

use super::{
    NewPlace, OTHER, SHARD, append, assert_log, identity, open, position, purge, record, reopen,
    write,
};
use crate::error::StoreError;
use crate::limits::TAIL_BYTES_MAX;
use crate::store::{LogState, Record, Write, WriteBatch};

/// Nothing is there before the first write, after reopening neither.
pub fn a_new_store_is_empty(new_place: NewPlace<'_>) {
    let place = new_place();
    let mut store = open(&*place);
    for _ in 0..2 {
        assert_eq!(store.identity(), &identity());
        let state = store.log_state(SHARD).expect("the state is readable");
        assert_eq!(state, LogState { purged: None, purged_index: 0, last_index: 0, empty: true });
        assert_eq!(store.entries(SHARD, 5, 5, 9).expect("an empty range"), []);
        assert_eq!(store.vote(SHARD).expect("the vote is readable"), None);
        assert_eq!(store.committed(SHARD).expect("it is readable"), None);
        assert_eq!(store.left(SHARD).expect("it is readable"), None);
        assert!(store.snapshot(SHARD).expect("it is readable").is_none());
        store.reclaim().expect("there is nothing to reclaim");
        store = reopen(&*place, store);
    }
}

/// Acknowledged entries, votes and committed positions survive.
pub fn what_was_written_is_there_after_reopening(new_place: NewPlace<'_>) {
    let place = new_place();
    let mut store = open(&*place);
    write(&*store, vec![Write::Vote("vote 1".into()), append(1, 3, "first")]);
    write(&*store, vec![append(4, 4, "second"), Write::Committed("at 3".into())]);
    write(&*store, vec![Write::Vote("vote 2".into())]);
    let expected: Vec<_> =
        (1..=4).map(|index| record(index, if index < 4 { "first" } else { "second" })).collect();
    for _ in 0..3 {
        assert_log(&*store, SHARD, &expected);
        assert_eq!(store.vote(SHARD).expect("readable"), Some("vote 2".into()));
        assert_eq!(store.committed(SHARD).expect("readable"), Some("at 3".into()));
        store = reopen(&*place, store);
    }
}

/// Neither no changes nor an append of no entries does anything.
pub fn an_empty_batch_changes_nothing(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    write(&*store, vec![]);
    write(&*store, vec![Write::Append(vec![]), Write::TruncateAfter(None)]);
    assert_log(&*store, SHARD, &[]);
    write(&*store, vec![append(1, 1, "x"), Write::Append(vec![])]);
    assert_log(&*store, SHARD, &[record(1, "x")]);
}

/// The first entry of a log may have any index, 0 too.
pub fn a_log_may_begin_at_any_index(new_place: NewPlace<'_>) {
    for first in [0, 1, 1_000_000, u64::MAX - 4] {
        let place = new_place();
        let store = open(&*place);
        write(&*store, vec![append(first, first + 1, "begin")]);
        write(&*store, vec![append(first + 2, first + 2, "begin")]);
        let expected: Vec<_> = (first..=first + 2).map(|index| record(index, "begin")).collect();
        assert_log(&*store, SHARD, &expected);
        let store = reopen(&*place, store);
        assert_log(&*store, SHARD, &expected);
        write(&*store, vec![purge(first)]);
        let store = reopen(&*place, store);
        assert_log(&*store, SHARD, &expected[1..]);
        let state = store.log_state(SHARD).expect("readable");
        assert_eq!((state.purged, state.purged_index), (Some(position(first)), first));
    }
}

/// At least one entry, and no more than needed.
pub fn reading_stops_after_the_entry_that_reaches_the_bytes(new_place: NewPlace<'_>) {
    let place = new_place();
    let mut store = open(&*place);
    let entry = |index| Record { index, bytes: Bytes::from(vec![b'x'; 10]) };
    write(&*store, vec![Write::Append((1..=9).map(entry).collect())]);
    for _ in 0..2 {
        for (bytes_max, count) in [(0, 1), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3), (999, 9)] {
            let found = store.entries(SHARD, 1, 10, bytes_max).expect("readable");
            assert_eq!(found.len(), count, "{bytes_max} bytes");
        }
        store = reopen(&*place, store);
    }
}

/// Whatever part of the range is not there.
pub fn a_missing_entry_is_an_error(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    write(&*store, vec![append(1, 6, "x"), purge(2), Write::TruncateAfter(Some(4))]);
    let missing = |shard, from, to| match store.entries(shard, from, to, 0) {
        Err(StoreError::Missing { index, .. }) => index,
        other => panic!("{from}..{to} gave {other:?}"),
    };
    assert_eq!(missing(SHARD, 2, 4), 2);
    assert_eq!(missing(SHARD, 3, 6), 5);
    assert_eq!(missing(SHARD, 5, 6), 5);
    assert_eq!(missing(SHARD, 3, u64::MAX), 5);
    assert_eq!(missing(OTHER, 1, 2), 1);
}

/// Entries longer than any buffer, and empty ones.
pub fn long_entries_come_back_whole(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    let lengths = [0, 1, 4_096, 3 << 20, 0, 70_000];
    let records: Vec<_> = (1..)
        .zip(lengths)
        .map(|(index, length)| {
            let bytes = (0..length).map(|at| (at % 251) as u8).collect::<Vec<_>>();
            Record { index, bytes: bytes.into() }
        })
        .collect();
    write(&*store, vec![Write::Append(records.clone())]);
    assert_log(&*store, SHARD, &records);
    let store = reopen(&*place, store);
    assert_log(&*store, SHARD, &records);
}

/// Entries that newer ones have pushed out of any memory of the tail.
pub fn old_entries_come_back_from_behind_many_newer_ones(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    let entry = |index: u64| {
        let mut bytes = vec![index as u8; TAIL_BYTES_MAX / 8];
        bytes[..8].copy_from_slice(&index.to_be_bytes());
        Record { index, bytes: bytes.into() }
    };
    let expected: Vec<_> = (1..=20).map(entry).collect();
    for pair in expected.chunks(2) {
        write(&*store, vec![Write::Append(pair.to_vec())]);
    }
    assert_log(&*store, SHARD, &expected);
    write(&*store, vec![Write::TruncateAfter(Some(15))]);
    assert_log(&*store, SHARD, &expected[..15]);
}

/// Truncated entries do not come back, not after reopening either.
pub fn truncated_entries_stay_away(new_place: NewPlace<'_>) {
    let place = new_place();
    let mut store = open(&*place);
    write(&*store, vec![append(1, 9, "x")]);
    for keep in [12, 9, 6, 6, 1] {
        write(&*store, vec![Write::TruncateAfter(Some(keep))]);
        let expected: Vec<_> = (1..=keep.min(9)).map(|index| record(index, "x")).collect();
        assert_log(&*store, SHARD, &expected);
        store = reopen(&*place, store);
        assert_log(&*store, SHARD, &expected);
    }
}

/// As when another leader overrules what was never committed.
pub fn other_entries_take_the_place_of_truncated_ones(new_place: NewPlace<'_>) {
    let place = new_place();
    let mut store = open(&*place);
    write(&*store, vec![append(1, 9, "old")]);
    write(&*store, vec![Write::TruncateAfter(Some(4)), append(5, 6, "new")]);
    let expected: Vec<_> =
        (1..=6).map(|index| record(index, if index < 5 { "old" } else { "new" })).collect();
    for _ in 0..2 {
        assert_log(&*store, SHARD, &expected);
        store = reopen(&*place, store);
    }
    // The same in two writes, with a restart between them.
    write(&*store, vec![Write::TruncateAfter(Some(1))]);
    let store = reopen(&*place, store);
    write(&*store, vec![append(2, 3, "newer")]);
    let store = reopen(&*place, store);
    assert_log(&*store, SHARD, &[record(1, "old"), record(2, "newer"), record(3, "newer")]);
}

/// A log that is empty again has no place where it must go on.
pub fn a_log_truncated_whole_begins_anywhere(new_place: NewPlace<'_>) {
    for keep in [None, Some(4)] {
        for first in [2, 5, 8, 30] {
            let place = new_place();
            let mut store = open(&*place);
            write(&*store, vec![append(5, 9, "old"), Write::TruncateAfter(keep)]);
            assert_log(&*store, SHARD, &[]);
            store = reopen(&*place, store);
            assert_log(&*store, SHARD, &[]);
            write(&*store, vec![append(first, first + 1, "new")]);
            let expected = [record(first, "new"), record(first + 1, "new")];
            for _ in 0..2 {
                assert_log(&*store, SHARD, &expected);
                store = reopen(&*place, store);
            }
        }
    }
}

/// Purged entries are gone, and the position given with the purge is kept.
pub fn purged_entries_stay_away_and_the_position_stays(new_place: NewPlace<'_>) {
    let place = new_place();
    let mut store = open(&*place);
    write(&*store, vec![append(1, 9, "x")]);
    for index in [1, 4, 9] {
        write(&*store, vec![purge(index)]);
        let expected: Vec<_> = (index + 1..=9).map(|index| record(index, "x")).collect();
        for _ in 0..2 {
            assert_log(&*store, SHARD, &expected);
            let state = store.log_state(SHARD).expect("readable");
            assert_eq!((state.purged, state.purged_index), (Some(position(index)), index));
            assert_eq!((state.last_index, state.empty), (9, index == 9));
            store = reopen(&*place, store);
        }
    }
    write(&*store, vec![append(10, 11, "x")]);
    let store = reopen(&*place, store);
    assert_log(&*store, SHARD, &[record(10, "x"), record(11, "x")]);
}

/// As after a snapshot was installed: the log is empty and goes on above it.
pub fn a_purge_may_reach_beyond_the_end(new_place: NewPlace<'_>) {
    for (last, first) in [(0, 51), (0, 70), (9, 51), (9, 70)] {
        let place = new_place();
        let mut store = open(&*place);
        if last > 0 {
            write(&*store, vec![append(1, last, "old")]);
        }
        write(&*store, vec![purge(50)]);
        for _ in 0..2 {
            assert_log(&*store, SHARD, &[]);
            assert_eq!(store.log_state(SHARD).expect("readable").last_index, 50);
            store = reopen(&*place, store);
        }
        write(&*store, vec![append(first, first, "new")]);
        write(&*store, vec![append(first + 1, first + 1, "new")]);
        for _ in 0..2 {
            assert_log(&*store, SHARD, &[record(first, "new"), record(first + 1, "new")]);
            store = reopen(&*place, store);
        }
    }
}

/// The purge that went furthest counts.
pub fn an_older_purge_changes_nothing(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    write(&*store, vec![append(1, 9, "x"), purge(5)]);
    write(&*store, vec![purge(3)]);
    let store = reopen(&*place, store);
    let state = store.log_state(SHARD).expect("readable");
    assert_eq!((state.purged, state.purged_index), (Some(position(5)), 5));
    assert_log(&*store, SHARD, &[6, 7, 8, 9].map(|index| record(index, "x")));
}

/// Within one batch later changes see the earlier ones.
pub fn changes_of_a_batch_take_effect_in_their_order(new_place: NewPlace<'_>) {
    let place = new_place();
    let mut store = open(&*place);
    write(
        &*store,
        vec![
            append(1, 4, "a"),
            Write::TruncateAfter(Some(2)),
            append(3, 6, "b"),
            Write::Vote("one".into()),
            purge(3),
            append(7, 7, "c"),
            purge(20),
            append(25, 26, "d"),
            Write::TruncateAfter(None),
            append(21, 23, "e"),
            Write::TruncateAfter(Some(22)),
            Write::Vote("two".into()),
        ],
    );
    for _ in 0..2 {
        assert_log(&*store, SHARD, &[record(21, "e"), record(22, "e")]);
        assert_eq!(store.vote(SHARD).expect("readable"), Some("two".into()));
        assert_eq!(store.log_state(SHARD).expect("readable").purged, Some(position(20)));
        store = reopen(&*place, store);
    }
}

/// Each shard has its own log, vote and purge, in whatever batch they were written.
pub fn shards_do_not_mix(new_place: NewPlace<'_>) {
    let place = new_place();
    let store = open(&*place);
    let shards = [ShardId::CONTROL, SHARD, OTHER, ShardId(u32::MAX)];
    let text = |shard: ShardId| format!("of {shard}");
    for index in 1..=5 {
        let writes = shards.map(|shard| (shard, append(index, index, &text(shard)))).to_vec();
        store.write(WriteBatch { writes }).expect("a sound store takes a write");
    }
    let writes = vec![
        (SHARD, purge(2)),
        (OTHER, Write::TruncateAfter(Some(3))),
        (SHARD, Write::Vote("v".into())),
    ];
    store.write(WriteBatch { writes }).expect("a sound store takes a write");
    let store = reopen(&*place, store);
    for shard in shards {
        let range = match shard {
            SHARD => 3..=5,
            OTHER => 1..=3,
            _ => 1..=5,
        };
        let expected: Vec<_> = range.map(|index| record(index, &text(shard))).collect();
        assert_log(&*store, shard, &expected);
        let vote = store.vote(shard).expect("readable");
        assert_eq!(vote, (shard == SHARD).then(|| "v".into()));
    }
}

/// Whatever it held, and also after reopening.
pub fn a_cleared_shard_keeps_only_its_vote_and_what_was_left(new_place: NewPlace<'_>) {
    let histories: [Vec<Write>; 5] = [
        vec![],
        vec![append(1, 9, "x")],
        vec![append(1, 9, "x"), purge(4), Write::Committed("at 7".into())],
        vec![append(1, 9, "x"), purge(50), append(60, 61, "x")],
        vec![append(1, 9, "x"), Write::TruncateAfter(None), append(90, 91, "x"), purge(90)],
    ];
    for history in histories {
        let place = new_place();
        let mut store = open(&*place);
        write(&*store, vec![Write::Vote("given".into()), Write::Left("first".into())]);
        write(&*store, history);
        let others = vec![(OTHER, append(1, 3, "x")), (OTHER, purge(1))];
        store.write(WriteBatch { writes: others }).expect("a sound store takes a write");
        write(&*store, vec![Write::Left("at 9".into()), Write::Clear]);
        for _ in 0..3 {
            let state = store.log_state(SHARD).expect("readable");
            assert_eq!(
                state,
                LogState { purged: None, purged_index: 0, last_index: 0, empty: true }
            );
            assert_log(&*store, SHARD, &[]);
            assert_eq!(store.committed(SHARD).expect("readable"), None);
            assert_eq!(store.vote(SHARD).expect("readable"), Some("given".into()));
            assert_eq!(store.left(SHARD).expect("readable"), Some("at 9".into()));
            assert_eq!(store.left(OTHER).expect("readable"), None);
            assert_log(&*store, OTHER, &[record(2, "x"), record(3, "x")]);
            store = reopen(&*place, store);
        }
    }
}

/// Below, within and above what it held, and also with a lower purge.
pub fn a_cleared_shard_begins_anew_anywhere(new_place: NewPlace<'_>) {
    for first in [0, 1, 7, 21, 30, 31, 500] {
        for reopened in [false, true] {
            let place = new_place();
            let mut store = open(&*place);
            write(&*store, vec![append(11, 30, "old"), purge(20), Write::Clear]);
            if reopened {
                store = reopen(&*place, store);
            }
            write(&*store, vec![append(first, first + 2, "new"), Write::Committed("new".into())]);
            let expected = [0, 1, 2].map(|step| record(first + step, "new"));
            for _ in 0..2 {
                assert_log(&*store, SHARD, &expected);
                assert_eq!(store.log_state(SHARD).expect("readable").purged, None);
                assert_eq!(store.committed(SHARD).expect("readable"), Some("new".into()));
                store = reopen(&*place, store);
            }
            write(&*store, vec![purge(first)]);
            let store = reopen(&*place, store);
            assert_log(&*store, SHARD, &expected[1..]);
            assert_eq!(store.log_state(SHARD).expect("readable").purged_index, first);
        }
    }
}

/// And what comes after it is not; a vote of the same batch counts wherever it stands, and what was left.
pub fn what_comes_before_a_clear_in_its_batch_is_cleared(new_place: NewPlace<'_>) {
    let place = new_place();
    let mut store = open(&*place);
    write(&*store, vec![append(1, 4, "old")]);
    write(
        &*store,
        vec![
            append(5, 6, "old"),
            Write::Committed("old".into()),
            Write::Vote("early".into()),
            Write::Left("early".into()),
            Write::Clear,
            purge(2),
            append(3, 4, "new"),
        ],
    );
    for _ in 0..2 {
        assert_log(&*store, SHARD, &[record(3, "new"), record(4, "new")]);
        assert_eq!(store.vote(SHARD).expect("readable"), Some("early".into()));
        assert_eq!(store.left(SHARD).expect("readable"), Some("early".into()));
        assert_eq!(store.committed(SHARD).expect("readable"), None);
        assert_eq!(store.log_state(SHARD).expect("readable").purged, Some(position(2)));
        store = reopen(&*place, store);
    }
    let (vote, left) = (Write::Vote("late".into()), Write::Left("late".into()));
    write(&*store, vec![Write::Clear, vote, left, Write::Clear]);
    let store = reopen(&*place, store);
    assert_log(&*store, SHARD, &[]);
    assert_eq!(store.vote(SHARD).expect("readable"), Some("late".into()));
    assert_eq!(store.left(SHARD).expect("readable"), Some("late".into()));
}
