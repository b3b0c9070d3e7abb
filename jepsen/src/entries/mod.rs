//! Entries: what routers kept of their shards' logs, read when a run has ended with a violation.
//!
//! `stores` is where it is read from, `told` is what an entry says.

mod stores;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use orrery_model::ShardId;
use orrery_proto::storage;
use orrery_router_store::{Store, StoreError};
use prost::Message as _;
use report::{ENTRIES_AROUND, Entries, Entry, Log, Unread};

pub use self::stores::Stores;
use self::told::Told;

/// Places in logs that are read, those first that matter most: a violation points to a few, and one address's
/// past to some hundreds, each with what is around it.
pub const PLACES_MAX: usize = 4_000;

/// Bytes of entries as they were stored; told they are some times as long.
pub const BYTES_MAX: usize = 4 << 20;

/// Reads what routers kept around some places of their logs, within [`PLACES_MAX`] and [`BYTES_MAX`].
pub fn read(stores: &Stores, places: &[(u32, u64)]) -> Entries {
    let mut entries = Entries::default();
    let (wanted, left_out) = around(places);
    entries.left_out = left_out;
    if wanted.is_empty() {
        return entries;
    }
    let mut open = BTreeMap::new();
    for (node, opened) in stores.open() {
        match opened {
            Ok(store) => drop(open.insert(node, store)),
            Err(why) => entries.unread.push(Unread { node, why }),
        }
    }
    let told = Told::new();
    let mut room = BYTES_MAX;
    for (shard, indices) in wanted {
        let logs = logs(shard, &open, &mut entries.unread);
        for index in indices {
            let found = found(shard, index, &logs, &open, &mut entries.unread);
            let bytes: usize = found.keys().map(Bytes::len).sum();
            if bytes > room {
                entries.left_out += 1;
                continue;
            }
            room -= bytes;
            let differs = found.len() > 1;
            entries.entries.extend(found.into_iter().map(|(bytes, nodes)| {
                let (term, says) = told.entry(bytes);
                Entry { shard, index, term, nodes, differs, says }
            }));
        }
        entries.logs.extend(logs);
    }
    entries
}

/// The places around some, by shards, and how many of those that were asked for are too many.
fn around(places: &[(u32, u64)]) -> (BTreeMap<u32, BTreeSet<u64>>, u64) {
    let mut wanted: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    let (mut taken, mut left_out) = (0, 0);
    for (shard, index) in places {
        let around = index.saturating_sub(ENTRIES_AROUND)..=index.saturating_add(ENTRIES_AROUND);
        if taken + around.clone().count() > PLACES_MAX {
            left_out += 1;
            continue;
        }
        let of_shard = wanted.entry(*shard).or_default();
        let before = of_shard.len();
        of_shard.extend(around);
        taken += of_shard.len() - before;
    }
    (wanted, left_out)
}

type Open = BTreeMap<u64, Arc<dyn Store>>;

/// How far the log of each replica of a shard goes; who never held one is not among them.
fn logs(shard: u32, open: &Open, unread: &mut Vec<Unread>) -> Vec<Log> {
    let mut logs = Vec::new();
    for (node, store) in open {
        let state = store.log_state(ShardId(shard));
        match state.and_then(|state| Ok((state, store.committed(ShardId(shard))?))) {
            Ok((state, _)) if state.empty && state.purged.is_none() => {}
            Ok((state, committed)) => {
                let committed = committed.and_then(|bytes| storage::LogId::decode(bytes).ok());
                logs.push(Log {
                    shard,
                    node: *node,
                    purged: state.purged.is_some().then_some(state.purged_index),
                    last: (!state.empty).then_some(state.last_index),
                    committed: committed.map(|committed| committed.index),
                });
            }
            Err(error) => unread.push(refused(*node, shard, &error)),
        }
    }
    logs
}

/// What stands at a place of a shard's log, and at whom.
fn found(
    shard: u32,
    index: u64,
    logs: &[Log],
    open: &Open,
    unread: &mut Vec<Unread>,
) -> BTreeMap<Bytes, Vec<u64>> {
    let mut found: BTreeMap<Bytes, Vec<u64>> = BTreeMap::new();
    let holds = |log: &&Log| {
        log.last.is_some_and(|last| index <= last) && log.purged.is_none_or(|to| index > to)
    };
    for node in logs.iter().filter(holds).map(|log| log.node) {
        match open[&node].entries(ShardId(shard), index, index + 1, 1) {
            Ok(records) => {
                for record in records {
                    found.entry(record.bytes).or_default().push(node);
                }
            }
            Err(error) => {
                let refused = refused(node, shard, &error);
                // One sentence for all entries of which it says the same.
                if !unread.contains(&refused) {
                    unread.push(refused);
                }
            }
        }
    }
    found
}

fn refused(node: u64, shard: u32, error: &StoreError) -> Unread {
    Unread { node, why: format!("shard {shard}: {error}") }
}

#[cfg(test)]
mod tests {
    use orrery_model::NodeId;
    use orrery_router_store::model::ModelDisk;
    use orrery_router_store::{Disk as _, Identity, Record, Write, WriteBatch};
    use serde_json::json;

    use super::*;

    const SHARD: u32 = 3;

    fn entry(term: u64, index: u64, payload: storage::entry::Payload) -> Record {
        let id = Some(storage::LogId { term, index });
        let entry = storage::Entry { version: 1, id, payload: Some(payload) };
        Record { index, bytes: entry.encode_to_vec().into() }
    }

    fn blank() -> storage::entry::Payload {
        storage::entry::Payload::Blank(storage::Blank {})
    }

    /// A router's disk with these writes to the shard.
    fn disk(node: u64, writes: Vec<Write>) -> ModelDisk {
        let identity = Identity {
            cluster_id: "test".into(),
            node: NodeId(node),
            instance: format!("instance-{node}"),
            shards: 4,
            founding: Bytes::new(),
        };
        let disk = ModelDisk::blank(NodeId(node), identity.instance.clone());
        let store = disk.adopt(identity).unwrap();
        let writes = writes.into_iter().map(|write| (ShardId(SHARD), write)).collect();
        store.write(WriteBatch { writes }).unwrap();
        disk
    }

    fn blanks(term: u64, range: std::ops::RangeInclusive<u64>) -> Write {
        Write::Append(range.map(|index| entry(term, index, blank())).collect())
    }

    fn purge(index: u64) -> Write {
        Write::Purge { index, position: Bytes::from_static(b"position") }
    }

    #[test]
    fn entries_are_told_with_who_keeps_them_and_where_replicas_differ() {
        let committed = storage::LogId { term: 2, index: 5 }.encode_to_vec();
        let first = disk(1, vec![blanks(2, 0..=6), Write::Committed(committed.into())]);
        let second = disk(2, vec![blanks(2, 0..=5), blanks(3, 6..=7), purge(3)]);
        let blank_one = ModelDisk::blank(NodeId(3), "never adopted");
        let entries = read(&Stores::of([first, second, blank_one]), &[(SHARD, 5)]);
        assert_eq!(
            entries.logs,
            [
                Log { shard: SHARD, node: 1, purged: None, last: Some(6), committed: Some(5) },
                Log { shard: SHARD, node: 2, purged: Some(3), last: Some(7), committed: None },
            ]
        );
        let told = entries
            .entries
            .iter()
            .map(|entry| (entry.index, entry.term.unwrap(), &entry.nodes[..], entry.differs));
        let told: Vec<_> = told.collect();
        assert_eq!(
            told,
            [
                (0, 2, &[1][..], false),
                (1, 2, &[1], false),
                (2, 2, &[1], false),
                (3, 2, &[1], false),
                (4, 2, &[1, 2], false),
                (5, 2, &[1, 2], false),
                (6, 2, &[1], true),
                (6, 3, &[2], true),
                (7, 3, &[2], false),
            ]
        );
        assert!(entries.entries.iter().all(|entry| entry.says == json!({"blank": {}})));
        assert!(entries.unread.is_empty() && entries.left_out == 0);
    }

    #[test]
    fn no_more_is_read_than_is_asked_for() {
        let disk = disk(1, vec![blanks(1, 0..=200)]);
        let entries = read(&Stores::of([disk]), &[(SHARD, 100), (SHARD, 105), (SHARD + 1, 100)]);
        let indices: Vec<u64> = entries.entries.iter().map(|entry| entry.index).collect();
        assert_eq!(indices, (90..=115).collect::<Vec<u64>>());
    }

    #[test]
    fn places_beyond_the_bound_are_counted_and_left_out() {
        let last = 40 * PLACES_MAX as u64;
        let places: Vec<(u32, u64)> = (1..=last / 40).map(|at| (SHARD, at * 40)).collect();
        let (wanted, left_out) = around(&places);
        let taken: usize = wanted.values().map(BTreeSet::len).sum();
        assert!(taken <= PLACES_MAX && taken > PLACES_MAX - 21, "{taken}");
        assert_eq!(left_out, (places.len() - taken / 21) as u64);
        // Those that come first matter most.
        assert!(wanted[&SHARD].contains(&40) && !wanted[&SHARD].contains(&last));
    }

    #[test]
    fn bytes_beyond_the_bound_are_counted_and_left_out() {
        let member = |peers: String| storage::Member { node: 1, peers };
        let large = |index| {
            let members = vec![member("x".repeat(BYTES_MAX / 4))];
            let membership = storage::Membership { sets: Vec::new(), members };
            entry(1, index, storage::entry::Payload::Membership(membership))
        };
        let disk = disk(1, vec![Write::Append((0..6).map(large).collect())]);
        let entries = read(&Stores::of([disk]), &[(SHARD, 3)]);
        assert_eq!((entries.entries.len(), entries.left_out), (3, 3));
    }

    #[test]
    fn an_entry_that_is_none_is_told_as_unreadable() {
        let garbage = Record { index: 0, bytes: Bytes::from_static(b"\xff\xff\xff") };
        let disk = disk(1, vec![Write::Append(vec![garbage])]);
        let entries = read(&Stores::of([disk]), &[(SHARD, 0)]);
        assert_eq!(entries.entries[0].term, None);
        assert!(entries.entries[0].says["unreadable"].is_string(), "{:?}", entries.entries);
    }
}
