//! Turns a write into one batch for the log engine, checking it on the way, before anything is changed.
//!
//! A shard is a region of the engine, with five small values beside its entries. The bounds say which of
//! the entries that the engine holds are the log: the engine cannot forget its newest entries, and after a
//! restart it may know again some that were purged.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use orrery_model::ShardId;
use protobuf::well_known_types::BytesValue;
use raft_engine::{Command, LogBatch, MessageExt};

use super::shard_log::ShardLog;
use crate::bounds::Bounds;
use crate::error::StoreError;
use crate::limits::WRITE_BYTES_MAX;
use crate::record;
use crate::store::{Record, Write};

/// The bounds of a shard's log: format, then the first and last index unless it is empty.
pub(super) const BOUNDS: &[u8] = b"bounds";
/// The last purge: format, index, position.
pub(super) const PURGED: &[u8] = b"purged";
/// The vote: format, vote.
pub(super) const VOTE: &[u8] = b"vote";
/// What is known to be committed: format, position.
pub(super) const COMMITTED: &[u8] = b"committed";

/// How far the node had acknowledged when it left the shard: format, what was said. Not there where it never
/// did, or a version did that did not say it.
pub(super) const LEFT: &[u8] = b"left";

/// The format of the small values.
pub(super) const FORMAT: u8 = 1;

/// All that stands in a small value that was cleared. The engine may know a deleted value again after a
/// restart, an overwritten one never.
pub(super) const CLEARED: &[u8] = &[0];

/// How the engine sees an entry: a protobuf message with its frame as bytes.
pub(super) struct Frame;

impl MessageExt for Frame {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        record::claimed_index(&entry.value).unwrap_or(u64::MAX)
    }
}

/// A batch being put together.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) batch: LogBatch,
    pub(super) shards: BTreeMap<ShardId, ShardDraft>,
    bytes: usize,
}

/// What a batch makes of one shard.
pub(super) struct ShardDraft {
    pub(super) log: Arc<ShardLog>,
    pub(super) held: Option<(u64, u64)>,
    /// Entries that the engine holds are replaced or removed.
    pub(super) cuts: bool,
    bounds: Bounds,
}

impl Draft {
    /// Adds one change; `log` finds the shard's log.
    pub(super) fn add(
        &mut self,
        shard: ShardId,
        write: &Write,
        log: impl FnOnce() -> Arc<ShardLog>,
    ) -> Result<(), StoreError> {
        let draft = self.shards.entry(shard).or_insert_with(|| ShardDraft::new(log()));
        match write {
            Write::Append(records) => {
                self.bytes += records.iter().map(|record| record.bytes.len()).sum::<usize>();
                if self.bytes > WRITE_BYTES_MAX {
                    let detail = format!("a write of {} bytes is too large", self.bytes);
                    return Err(StoreError::Engine { engine: super::log::ENGINE, detail });
                }
                draft.append(shard, records, &mut self.batch)
            }
            Write::TruncateAfter(keep) => {
                draft.bounds.truncate_after(*keep);
                put(&mut self.batch, shard, BOUNDS, &draft.encode_bounds())
            }
            Write::Purge { index, position } => {
                draft.purge(shard, *index, position, &mut self.batch)
            }
            Write::Vote(vote) => put(&mut self.batch, shard, VOTE, &[vote]),
            Write::Committed(committed) => put(&mut self.batch, shard, COMMITTED, &[committed]),
            Write::Left(left) => put(&mut self.batch, shard, LEFT, &[left]),
            Write::Clear => draft.clear(shard, &mut self.batch),
        }
    }
}

impl ShardDraft {
    fn new(log: Arc<ShardLog>) -> Self {
        let (bounds, held) = {
            let view = log.view.read();
            (view.bounds, view.held)
        };
        Self { log, held, cuts: false, bounds }
    }

    fn append(
        &mut self,
        shard: ShardId,
        records: &[Record],
        batch: &mut LogBatch,
    ) -> Result<(), StoreError> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        self.bounds.append(records).map_err(|detail| StoreError::Gap { shard: shard.0, detail })?;
        self.make_room(shard, first.index, batch);
        let entries: Vec<_> = records
            .iter()
            .map(|record| {
                let mut entry = BytesValue::new();
                entry.value = record::encode(shard, record.index, &record.bytes);
                entry
            })
            .collect();
        batch.add_entries::<Frame>(u64::from(shard.0), &entries).map_err(super::log::refused)?;
        let begin = self.held.map_or(first.index, |(begin, _)| begin);
        self.held = Some((begin, last.index));
        put(batch, shard, BOUNDS, &self.encode_bounds())
    }

    /// The engine replaces its newest entries by itself, but panics at an entry that leaves a hole or lies
    /// below its first one; then it must forget all it holds before.
    fn make_room(&mut self, shard: ShardId, first: u64, batch: &mut LogBatch) {
        let Some((begin, end)) = self.held else { return };
        self.cuts |= first <= end;
        if first < begin || first > end + 1 {
            let index = first.max(end + 1);
            batch.add_command(u64::from(shard.0), Command::Compact { index });
            self.held = None;
            self.cuts = true;
        }
    }

    fn purge(
        &mut self,
        shard: ShardId,
        index: u64,
        position: &Bytes,
        batch: &mut LogBatch,
    ) -> Result<(), StoreError> {
        if !self.bounds.purge(index) {
            return Ok(());
        }
        put(batch, shard, PURGED, &[&index.to_be_bytes()[..], position])?;
        put(batch, shard, BOUNDS, &self.encode_bounds())?;
        let Some((begin, end)) = self.held.filter(|&(begin, _)| begin <= index) else {
            return Ok(());
        };
        batch.add_command(u64::from(shard.0), Command::Compact { index: index.saturating_add(1) });
        self.held = (end > index).then(|| (begin.max(index + 1), end));
        self.cuts = true;
        Ok(())
    }

    fn clear(&mut self, shard: ShardId, batch: &mut LogBatch) -> Result<(), StoreError> {
        self.bounds = Bounds::default();
        put(batch, shard, BOUNDS, &self.encode_bounds())?;
        for key in [PURGED, COMMITTED] {
            let (region, key, value) = (u64::from(shard.0), key.to_vec(), CLEARED.to_vec());
            batch.put(region, key, value).map_err(super::log::refused)?;
        }
        if let Some((_, end)) = self.held.take() {
            let index = end.saturating_add(1);
            batch.add_command(u64::from(shard.0), Command::Compact { index });
            self.cuts = true;
        }
        Ok(())
    }

    fn encode_bounds(&self) -> Vec<[u8; 8]> {
        self.bounds
            .span
            .map(|(first, last)| vec![first.to_be_bytes(), last.to_be_bytes()])
            .unwrap_or_default()
    }
}

fn put<P: AsRef<[u8]>>(
    batch: &mut LogBatch,
    shard: ShardId,
    key: &[u8],
    parts: &[P],
) -> Result<(), StoreError> {
    let mut value = vec![FORMAT];
    parts.iter().for_each(|part| value.extend_from_slice(part.as_ref()));
    batch.put(u64::from(shard.0), key.to_vec(), value).map_err(super::log::refused)
}
