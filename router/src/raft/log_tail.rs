//! Log tail: where a shard's log begins and ends, and its newest entries, in memory.
//!
//! What is not yet in the store is always here, so that an entry can be read as soon as it was
//! appended; beyond that the newest entries stay up to a limit in bytes of memory, so that applying
//! and replicating them reads no disk.

use std::collections::VecDeque;

use openraft::EntryPayload;
use openraft::entry::RaftEntry as _;

use super::types::{Entry, LogId, Payload};

/// Where the entries of a range are.
#[derive(Debug)]
pub(crate) enum Place {
    /// These entries begin the range; at least one unless the range holds none.
    Memory(Vec<Entry>),
    /// The entries `from..to` begin the range and are in the store only.
    Store {
        /// First index.
        from: u64,
        /// End, exclusive.
        to: u64,
    },
}

/// The end of a shard's log.
pub(crate) struct LogTail {
    purged: Option<LogId>,
    last: Option<LogId>,
    /// No entry below this index is held, here or in the store.
    first: u64,
    /// Contiguous, ending with `last`.
    entries: VecDeque<Held>,
    /// What all entries take.
    memory_bytes: usize,
    memory_bytes_max: usize,
    /// Entries below this index are in the store.
    stored: u64,
}

/// An entry in memory.
struct Held {
    entry: Entry,
    /// What it takes here.
    memory_bytes: usize,
    /// What it takes in a message.
    encoded_bytes: usize,
}

impl LogTail {
    /// A log as the store holds it.
    pub(crate) fn new(purged: Option<LogId>, last: Option<LogId>, memory_bytes_max: usize) -> Self {
        let last = last.max(purged);
        Self {
            purged,
            last,
            first: purged.map_or(0, |purged| purged.index + 1),
            entries: VecDeque::new(),
            memory_bytes: 0,
            memory_bytes_max,
            stored: last.map_or(0, |last| last.index + 1),
        }
    }

    /// The last purged log id.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.purged
    }

    /// The last log id; the last purged one where no entry is held.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.last
    }

    /// Adds an entry, whose encoded form is so long. Returns false, and changes nothing, where it would
    /// leave a hole.
    pub(crate) fn append(&mut self, entry: Entry, encoded_bytes: usize) -> bool {
        let log_id = entry.log_id();
        if self.last.is_some_and(|last| last.index + 1 != log_id.index) {
            return false;
        }
        if self.last.is_none() {
            (self.first, self.stored) = (log_id.index, log_id.index);
        }
        self.last = Some(log_id);
        let memory_bytes = memory_bytes(&entry, encoded_bytes);
        self.memory_bytes += memory_bytes;
        self.entries.push_back(Held { entry, memory_bytes, encoded_bytes });
        true
    }

    /// The entries below `index` are in the store.
    pub(crate) fn set_stored(&mut self, index: u64) {
        self.stored = self.stored.max(index);
        while self.memory_bytes > self.memory_bytes_max && self.begin() < self.stored {
            self.drop_front();
        }
    }

    /// Removes every entry after `last`. Only once everything appended is in the store: a completion
    /// of an older append must not be taken for one of what replaces it.
    pub(crate) fn truncate_after(&mut self, last: Option<LogId>) {
        if last >= self.last {
            return;
        }
        let end = last.map_or(0, |last| last.index + 1);
        while self.entries.back().is_some_and(|held| held.entry.index() >= end) {
            let held = self.entries.pop_back().expect("there is a last one");
            self.memory_bytes -= held.memory_bytes;
        }
        self.last = last.max(self.purged);
        self.stored = self.stored.min(end);
    }

    /// Removes every entry up to and including `upto`, which may lie beyond the end.
    pub(crate) fn purge(&mut self, upto: LogId) {
        self.purged = self.purged.max(Some(upto));
        self.last = self.last.max(Some(upto));
        while self.entries.front().is_some_and(|held| held.entry.index() <= upto.index) {
            self.drop_front();
        }
        self.first = self.first.max(upto.index + 1);
        self.stored = self.stored.max(upto.index + 1);
    }

    /// Where the entries `from..to` are, as far as the log holds them; at most about `encoded_bytes_max`
    /// bytes of them, as they are sent.
    pub(crate) fn find(&self, from: u64, to: u64, encoded_bytes_max: usize) -> Place {
        let from = from.max(self.first);
        let to = to.min(self.last.map_or(0, |last| last.index + 1));
        let begin = self.begin();
        if from >= to {
            return Place::Memory(Vec::new());
        }
        if from < begin {
            return Place::Store { from, to: to.min(begin) };
        }
        let range = (from - begin) as usize..(to - begin) as usize;
        let mut encoded_bytes = 0;
        let mut found = Vec::with_capacity(range.len().min(64));
        for held in self.entries.range(range) {
            found.push(held.entry.clone());
            encoded_bytes += held.encoded_bytes;
            if encoded_bytes >= encoded_bytes_max {
                break;
            }
        }
        Place::Memory(found)
    }

    /// Index of the first entry in memory; the next index where there is none.
    fn begin(&self) -> u64 {
        let next = self.last.map_or(0, |last| last.index + 1);
        next - self.entries.len() as u64
    }

    fn drop_front(&mut self) {
        if let Some(held) = self.entries.pop_front() {
            self.memory_bytes -= held.memory_bytes;
        }
    }
}

/// About how much memory an entry takes here.
fn memory_bytes(entry: &Entry, encoded_bytes: usize) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Blank => 0,
        EntryPayload::Normal(Payload::Data(batch)) => batch.memory_bytes(),
        EntryPayload::Normal(Payload::Control(batch)) => batch.memory_bytes(),
        // Small, and too few to matter.
        EntryPayload::Membership(_) => encoded_bytes,
    };
    size_of::<Held>() + payload
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openraft::vote::leader_id_std::CommittedLeaderId;
    use orrery_model::command::{Batch, Command, ExpireComet};
    use orrery_model::{Id, Incarnation};

    use super::*;

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(term), index)
    }

    fn filled(count: u64) -> LogTail {
        let mut tail = LogTail::new(None, None, 3 * size_of::<Held>());
        for index in 0..count {
            assert!(tail.append(Entry::new_blank(id(1, index)), 10));
        }
        tail
    }

    fn indexes(place: Place) -> Vec<u64> {
        match place {
            Place::Memory(entries) => entries.iter().map(|entry| entry.index()).collect(),
            Place::Store { from, to } => panic!("{from}..{to} should be in memory"),
        }
    }

    #[test]
    fn what_is_not_stored_stays_in_memory_beyond_the_limit() {
        let mut tail = filled(10);
        assert_eq!(indexes(tail.find(0, 100, 1000)), (0..10).collect::<Vec<_>>());
        tail.set_stored(4);
        assert!(matches!(tail.find(0, 100, 1000), Place::Store { from: 0, to: 4 }));
        assert_eq!(indexes(tail.find(4, 100, 1000)), (4..10).collect::<Vec<_>>());
        tail.set_stored(10);
        assert_eq!(indexes(tail.find(7, 100, 1000)), [7, 8, 9]);
        assert!(matches!(tail.find(6, 100, 1000), Place::Store { from: 6, to: 7 }));
    }

    #[test]
    fn what_a_batch_takes_in_memory_counts_and_not_its_encoded_length() {
        let expire = Command::ExpireComet(ExpireComet {
            comet: Id::new("c").unwrap(),
            fence: Incarnation(1),
            position: 1,
        });
        let batch = Batch { commands: vec![expire; 100], ..Batch::default() };
        let memory_bytes = batch.memory_bytes();
        let mut tail = LogTail::new(None, None, 2 * memory_bytes);
        for index in 0..4 {
            let payload = EntryPayload::Normal(Payload::Data(Arc::new(batch.clone())));
            assert!(tail.append(Entry { log_id: id(1, index), payload }, 1));
        }
        tail.set_stored(4);
        assert!(matches!(tail.find(0, 4, 1000), Place::Store { from: 0, to: 3 }));
        assert_eq!(indexes(tail.find(3, 4, 1000)), [3]);
        tail.truncate_after(Some(id(1, 2)));
        assert_eq!(tail.memory_bytes, 0, "what is not held is not counted");
    }

    #[test]
    fn a_read_is_bounded_in_bytes_but_never_empty() {
        let tail = filled(3);
        assert_eq!(indexes(tail.find(1, 3, 0)), [1]);
        assert_eq!(indexes(tail.find(0, 3, 11)), [0, 1]);
    }

    #[test]
    fn a_hole_is_refused() {
        let mut tail = filled(3);
        assert!(!tail.append(Entry::new_blank(id(1, 4)), 10));
        assert_eq!(tail.last(), Some(id(1, 2)));
    }

    #[test]
    fn truncation_takes_the_end_and_new_entries_take_its_place() {
        let mut tail = filled(10);
        tail.set_stored(10);
        tail.truncate_after(Some(id(1, 4)));
        assert_eq!(tail.last(), Some(id(1, 4)));
        assert!(tail.append(Entry::new_blank(id(2, 5)), 10));
        tail.set_stored(5);
        assert_eq!(indexes(tail.find(5, 100, 1000)), [5], "not stored yet, so still in memory");
        assert!(matches!(tail.find(3, 100, 1000), Place::Store { from: 3, to: 5 }));
    }

    #[test]
    fn truncation_beyond_the_end_changes_nothing() {
        let mut tail = filled(3);
        tail.truncate_after(Some(id(1, 7)));
        assert_eq!(tail.last(), Some(id(1, 2)));
    }

    #[test]
    fn a_purge_beyond_the_end_moves_the_end() {
        let mut tail = filled(3);
        tail.purge(id(3, 8));
        assert_eq!((tail.purged(), tail.last()), (Some(id(3, 8)), Some(id(3, 8))));
        assert_eq!(indexes(tail.find(0, 100, 1000)), [] as [u64; 0]);
        assert!(tail.append(Entry::new_blank(id(3, 9)), 10));
        assert_eq!(indexes(tail.find(0, 100, 1000)), [9]);
    }
}
