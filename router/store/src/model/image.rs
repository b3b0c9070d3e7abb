//! What a disk in memory holds of one shard.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use orrery_model::ShardId;

use crate::bounds::Bounds;
use crate::error::StoreError;
use crate::store::{LogState, Record, Write};

/// What a disk in memory holds of one shard.
#[derive(Debug, Default)]
pub(super) struct Image {
    pub(super) bounds: Bounds,
    records: BTreeMap<u64, Bytes>,
    purged: Option<Bytes>,
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<Bytes>,
    pub(super) left: Option<Bytes>,
    pub(super) snapshot: Option<Snapshot>,
}

/// A finished snapshot.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) meta: Bytes,
    pub(super) records: Arc<[Bytes]>,
}

impl Image {
    /// Takes over a write that [`check`] let pass.
    pub(super) fn apply(&mut self, write: Write) {
        match write {
            Write::Append(records) => {
                self.bounds.append(&records).expect("the write was checked before");
                self.records.extend(records.into_iter().map(|record| (record.index, record.bytes)));
            }
            Write::TruncateAfter(keep) => {
                self.bounds.truncate_after(keep);
                match self.bounds.span {
                    Some((_, last)) => drop(self.records.split_off(&last.saturating_add(1))),
                    None => self.records.clear(),
                }
            }
            Write::Purge { index, position } => {
                if self.bounds.purge(index) {
                    self.purged = Some(position);
                    match self.bounds.span {
                        Some((first, _)) => self.records = self.records.split_off(&first),
                        None => self.records.clear(),
                    }
                }
            }
            Write::Vote(vote) => self.vote = Some(vote),
            Write::Committed(committed) => self.committed = Some(committed),
            Write::Left(left) => self.left = Some(left),
            Write::Clear => {
                let Self { vote, left, snapshot, .. } = std::mem::take(self);
                *self = Self { vote, left, snapshot, ..Self::default() };
            }
        }
    }

    /// Bytes of its entries and of its snapshot.
    pub(super) fn bytes(&self) -> u64 {
        let snapshot = self.snapshot.iter().flat_map(|snapshot| snapshot.records.iter());
        self.records.values().chain(snapshot).map(|bytes| bytes.len() as u64).sum()
    }

    pub(super) fn log_state(&self) -> LogState {
        let purged_index = self.bounds.purged.unwrap_or(0);
        LogState {
            purged: self.purged.clone(),
            purged_index,
            last_index: self.bounds.span.map_or(purged_index, |(_, last)| last),
            empty: self.bounds.span.is_none(),
        }
    }

    pub(super) fn entries(
        &self,
        shard: ShardId,
        from: u64,
        to: u64,
        bytes_max: usize,
    ) -> Result<Vec<Record>, StoreError> {
        if let Some(index) = self.bounds.first_missing(from, to) {
            return Err(StoreError::Missing { shard: shard.0, index });
        }
        let mut taken = Vec::new();
        let mut bytes_taken = 0;
        for (&index, bytes) in self.records.range(from..to.max(from)) {
            taken.push(Record { index, bytes: bytes.clone() });
            bytes_taken += bytes.len();
            if bytes_taken >= bytes_max {
                break;
            }
        }
        Ok(taken)
    }
}

/// Checks a write against where a shard's log will end when the writes before it are done.
pub(super) fn check(bounds: &mut Bounds, shard: ShardId, write: &Write) -> Result<(), StoreError> {
    match write {
        Write::Append(records) => {
            bounds.append(records).map_err(|detail| StoreError::Gap { shard: shard.0, detail })?
        }
        Write::TruncateAfter(keep) => bounds.truncate_after(*keep),
        Write::Purge { index, .. } => drop(bounds.purge(*index)),
        Write::Clear => *bounds = Bounds::default(),
        Write::Vote(_) | Write::Committed(_) | Write::Left(_) => {}
    }
    Ok(())
}

/// The smallest parts of a write, any prefix of which a crash may leave.
pub(super) fn parts(write: Write) -> Vec<Write> {
    match write {
        Write::Append(records) => {
            records.into_iter().map(|record| Write::Append(vec![record])).collect()
        }
        write => vec![write],
    }
}
