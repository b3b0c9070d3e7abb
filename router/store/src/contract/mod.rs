//! The store's contract as one suite, run against each implementation.
//!
//! An implementation gives a function that makes a fresh [`Place`]; [`contract_tests!`](crate::contract_tests)
//! turns it into one `#[test]` for each rule. A rule panics, in words, where it is broken.

pub mod disks;
pub mod faults;
pub mod log;
pub mod snapshots;

use std::sync::Arc;

use bytes::Bytes;
use orrery_model::{NodeId, ShardId};

use crate::error::StoreError;
use crate::opened::Disk;
use crate::store::{Identity, Record, Store, Write, WriteBatch};

/// A place where a store lies: opened again and again, it holds what was made durable there. At first it is
/// blank, of the node and instance of [`identity`].
pub trait Place {
    /// The disk, as a process that starts names it. Between two the earlier one and its store are dropped.
    fn disk(&self) -> Arc<dyn Disk>;

    /// Lets the next write's sync fail.
    fn fail_next_write(&self);

    /// Loses, after the store was dropped, whatever a crash may lose.
    fn crash(&self);
}

/// Makes a fresh place.
pub type NewPlace<'a> = &'a dyn Fn() -> Box<dyn Place>;

/// The identity of each store in the suite.
pub fn identity() -> Identity {
    Identity {
        cluster_id: "contract".into(),
        node: NodeId(7),
        instance: "seventh".into(),
        shards: 4,
        founding: "the plan".into(),
    }
}

/// Turns the suite into tests; `$new_place` is a `fn() -> Box<dyn Place>`.
#[macro_export]
macro_rules! contract_tests {
    ($new_place:expr) => {
        $crate::contract_tests!($new_place; disks:
            a_new_disk_is_blank_until_it_is_adopted,
            a_member_stays_what_it_is,
            adopting_again_gives_the_store_that_is_open,
            another_identity_is_refused_and_changes_nothing,
            a_blank_disk_is_adopted_only_as_its_own_instance,
            space_is_known,
        );
        $crate::contract_tests!($new_place; log:
            a_new_store_is_empty,
            what_was_written_is_there_after_reopening,
            an_empty_batch_changes_nothing,
            a_log_may_begin_at_any_index,
            reading_stops_after_the_entry_that_reaches_the_bytes,
            a_missing_entry_is_an_error,
            long_entries_come_back_whole,
            old_entries_come_back_from_behind_many_newer_ones,
            truncated_entries_stay_away,
            other_entries_take_the_place_of_truncated_ones,
            a_log_truncated_whole_begins_anywhere,
            purged_entries_stay_away_and_the_position_stays,
            a_purge_may_reach_beyond_the_end,
            an_older_purge_changes_nothing,
            changes_of_a_batch_take_effect_in_their_order,
            shards_do_not_mix,
            a_cleared_shard_keeps_only_its_vote_and_what_was_left,
            a_cleared_shard_begins_anew_anywhere,
            what_comes_before_a_clear_in_its_batch_is_cleared,
        );
        $crate::contract_tests!($new_place; faults:
            a_gap_is_refused_and_final,
            a_batch_with_a_gap_changes_nothing,
            stores_do_not_mix,
            a_store_in_use_is_locked,
            a_failed_write_is_final,
            after_a_failed_write_a_prefix_is_there,
            readers_and_a_writer_do_not_disturb_each_other,
        );
        $crate::contract_tests!($new_place; snapshots:
            a_finished_snapshot_is_there_after_reopening,
            an_unfinished_snapshot_is_never_seen,
            a_newer_snapshot_takes_the_place_of_the_older,
            a_snapshot_being_read_outlives_its_successor,
            the_last_finished_of_two_writers_is_the_newest,
            an_empty_snapshot_is_a_snapshot,
            a_record_too_long_loses_only_its_snapshot,
            snapshots_go_on_after_the_log_has_stopped,
            a_removed_snapshot_stays_away,
            removing_takes_nothing_from_readers_and_writers,
            a_clear_leaves_the_snapshot,
        );
    };
    ($new_place:expr; $part:ident: $($rule:ident,)*) => {
        $(
            #[test]
            fn $rule() {
                $crate::contract::$part::$rule(&$new_place);
            }
        )*
    };
}

/// Any shard.
const SHARD: ShardId = ShardId(2);

/// Another shard.
const OTHER: ShardId = ShardId(3);

fn open(place: &dyn Place) -> Arc<dyn Store> {
    place.disk().adopt(identity()).expect("a sound store opens")
}

fn reopen(place: &dyn Place, store: Arc<dyn Store>) -> Arc<dyn Store> {
    drop(store);
    open(place)
}

fn write(store: &dyn Store, writes: Vec<Write>) {
    let writes = writes.into_iter().map(|write| (SHARD, write)).collect();
    store.write(WriteBatch { writes }).expect("a sound store takes a write");
}

fn record(index: u64, text: &str) -> Record {
    Record { index, bytes: Bytes::copy_from_slice(format!("{text} {index}").as_bytes()) }
}

/// An append of entries `first..=last`, each saying `text` and its index.
fn append(first: u64, last: u64, text: &str) -> Write {
    Write::Append((first..=last).map(|index| record(index, text)).collect())
}

fn purge(index: u64) -> Write {
    Write::Purge { index, position: position(index) }
}

fn position(index: u64) -> Bytes {
    format!("position {index}").into()
}

/// Asserts that a shard's log is exactly `expected`, read whole and one by one.
fn assert_log(store: &dyn Store, shard: ShardId, expected: &[Record]) {
    let state = store.log_state(shard).expect("the state is readable");
    let Some((first, last)) = expected.first().zip(expected.last()) else {
        assert!(state.empty, "the log should be empty: {state:?}");
        assert_eq!(state.last_index, state.purged_index);
        return;
    };
    assert!(!state.empty);
    assert_eq!(state.last_index, last.index);
    let end = last.index + 1;
    let found = store.entries(shard, first.index, end, usize::MAX).expect("entries are readable");
    assert_eq!(found, expected);
    for record in expected {
        let found = store.entries(shard, record.index, record.index + 1, 0).expect("readable");
        assert_eq!(&found, std::slice::from_ref(record));
    }
    let beyond = store.entries(shard, first.index, end + 1, usize::MAX);
    assert!(matches!(beyond, Err(StoreError::Missing { .. })), "beyond the end: {beyond:?}");
}
