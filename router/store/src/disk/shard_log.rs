//! What is kept in memory of one shard's log: where it begins and ends, its small values, its newest
//! records.

use std::collections::VecDeque;

use bytes::Bytes;
use orrery_model::ShardId;
use parking_lot::RwLock;

use crate::bounds::Bounds;
use crate::error::StoreError;
use crate::limits::TAIL_BYTES_MAX;
use crate::store::{LogState, Record, Write};

/// One shard's log.
#[derive(Debug, Default)]
pub(super) struct ShardLog {
    /// Held while looking, never while waiting for the disk.
    pub(super) view: RwLock<View>,
    /// Held by who reads the engine's files, and alone by a write that replaces or removes entries there:
    /// a reader that has seen an entry in the view must find it.
    pub(super) cuts: RwLock<()>,
}

/// What is known of a shard's log without reading a file.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) bounds: Bounds,
    /// What the engine holds: at least the entries inside the bounds.
    pub(super) held: Option<(u64, u64)>,
    pub(super) purged: Option<Bytes>,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<Bytes>,
    pub(super) left: Option<Bytes>,
    tail: Tail,
}

impl View {
    pub(super) fn log_state(&self) -> LogState {
        let purged_index = self.bounds.purged.unwrap_or(0);
        LogState {
            purged: self.purged.clone(),
            purged_index,
            last_index: self.bounds.span.map_or(purged_index, |(_, last)| last),
            empty: self.bounds.span.is_none(),
        }
    }

    /// Takes over a write that the engine has taken.
    pub(super) fn apply(&mut self, write: Write) {
        match write {
            Write::Append(records) => {
                self.bounds.append(&records).expect("the write was checked before it was made");
                self.tail.append(records);
            }
            Write::TruncateAfter(keep) => {
                self.bounds.truncate_after(keep);
                self.tail.truncate_after(keep);
            }
            Write::Purge { index, position } => {
                if self.bounds.purge(index) {
                    self.purged = Some(position);
                    self.tail.purge(index);
                }
            }
            Write::Vote(vote) => self.vote = Some(vote),
            Write::Committed(committed) => self.committed = Some(committed),
            Write::Left(left) => self.left = Some(left),
            Write::Clear => {
                let (vote, left) = (self.vote.take(), self.left.take());
                *self = Self { vote, left, ..Self::default() };
            }
        }
    }

    /// Entries `from..to`, or those of them that reach `bytes_max`; `None` where a file must be read.
    pub(super) fn entries(
        &self,
        shard: ShardId,
        from: u64,
        to: u64,
        bytes_max: usize,
    ) -> Result<Option<Vec<Record>>, StoreError> {
        match self.bounds.first_missing(from, to) {
            Some(index) => Err(StoreError::Missing { shard: shard.0, index }),
            None => Ok(self.tail.entries(from, to, bytes_max)),
        }
    }
}

/// The newest records, contiguous up to the log's end, at most [`TAIL_BYTES_MAX`] of them.
#[derive(Debug, Default)]
struct Tail {
    records: VecDeque<Record>,
    bytes: usize,
}

impl Tail {
    fn append(&mut self, records: Vec<Record>) {
        for record in records {
            self.bytes += record.bytes.len();
            self.records.push_back(record);
        }
        while self.bytes > TAIL_BYTES_MAX {
            self.forget(VecDeque::pop_front);
        }
    }

    fn truncate_after(&mut self, keep: Option<u64>) {
        while self.records.back().is_some_and(|last| keep.is_none_or(|keep| last.index > keep)) {
            self.forget(VecDeque::pop_back);
        }
    }

    fn purge(&mut self, index: u64) {
        while self.records.front().is_some_and(|first| first.index <= index) {
            self.forget(VecDeque::pop_front);
        }
    }

    fn forget(&mut self, pop: fn(&mut VecDeque<Record>) -> Option<Record>) {
        if let Some(record) = pop(&mut self.records) {
            self.bytes -= record.bytes.len();
        }
    }

    fn entries(&self, from: u64, to: u64, bytes_max: usize) -> Option<Vec<Record>> {
        if from >= to {
            return Some(Vec::new());
        }
        let skip = from.checked_sub(self.records.front()?.index)?;
        let count = usize::try_from(to - from).unwrap_or(usize::MAX);
        let mut taken = Taken::new(bytes_max);
        for record in self.records.range(usize::try_from(skip).ok()?..).take(count) {
            if taken.is_full() {
                break;
            }
            taken.push(record.clone());
        }
        Some(taken.records)
    }
}

/// Records being gathered, up to and including the one that reaches a number of bytes.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) records: Vec<Record>,
    bytes: usize,
    bytes_max: usize,
}

impl Taken {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { records: Vec::new(), bytes: 0, bytes_max }
    }

    pub(crate) fn is_full(&self) -> bool {
        !self.records.is_empty() && self.bytes >= self.bytes_max
    }

    pub(crate) fn push(&mut self, record: Record) {
        self.bytes += record.bytes.len();
        self.records.push(record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64, bytes: usize) -> Record {
        Record { index, bytes: vec![0; bytes].into() }
    }

    #[test]
    fn the_tail_stays_within_its_bytes_and_keeps_the_newest() {
        let mut tail = Tail::default();
        let half = TAIL_BYTES_MAX / 2;
        tail.append(vec![record(1, half), record(2, half), record(3, 10)]);
        assert_eq!(tail.records.iter().map(|record| record.index).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(tail.bytes, half + 10);
        assert_eq!(tail.entries(1, 4, usize::MAX), None);
        assert_eq!(tail.entries(3, 4, 0).unwrap().len(), 1);
        tail.truncate_after(Some(2));
        tail.purge(2);
        assert_eq!((tail.records.len(), tail.bytes), (0, 0));
        tail.append(vec![record(3, TAIL_BYTES_MAX + 1)]);
        assert_eq!((tail.records.len(), tail.bytes), (0, 0));
    }
}
