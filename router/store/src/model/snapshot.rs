//! Snapshots of a disk in memory, written and read.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::Path;

use bytes::Bytes;
use orrery_model::ShardId;

use super::image::Snapshot;
use super::{ModelDisk, PATH};
use crate::error::StoreError;
use crate::limits::SNAPSHOT_RECORD_BYTES_MAX;
use crate::store::{SnapshotReader, SnapshotWriter};

/// A snapshot being written to a disk in memory.
pub(super) struct ModelSnapshotWriter {
    pub(super) disk: ModelDisk,
    pub(super) opening: u64,
    pub(super) shard: ShardId,
    pub(super) meta: Bytes,
    /// `None` once it failed.
    pub(super) records: Option<Vec<Bytes>>,
}

impl SnapshotWriter for ModelSnapshotWriter {
    fn record(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let records = self.records.as_mut().ok_or(StoreError::Stopped)?;
        let fits = refuse_longer(bytes, SNAPSHOT_RECORD_BYTES_MAX);
        match fits {
            Ok(()) => records.push(Bytes::copy_from_slice(bytes)),
            Err(_) => self.records = None,
        }
        fits
    }

    fn finish(self: Box<Self>) -> Result<(), StoreError> {
        let records = self.records.ok_or(StoreError::Stopped)?.into();
        let snapshot = Snapshot { meta: self.meta, records };
        self.disk.with(self.opening, |contents| {
            contents.change(self.shard, |image| image.snapshot = Some(snapshot))
        })
    }
}

/// A snapshot being read, all of it in memory already.
pub(super) struct ModelSnapshotReader {
    pub(super) meta: Bytes,
    pub(super) left: VecDeque<Bytes>,
}

impl SnapshotReader for ModelSnapshotReader {
    fn meta(&self) -> &Bytes {
        &self.meta
    }

    fn next_record(&mut self) -> Result<Option<Bytes>, StoreError> {
        Ok(self.left.pop_front())
    }
}

/// Refuses what is longer than a limit.
pub(super) fn refuse_longer(bytes: &[u8], max: usize) -> Result<(), StoreError> {
    if bytes.len() <= max {
        return Ok(());
    }
    let words = format!("{} bytes where {max} are the most", bytes.len());
    let source = io::Error::new(ErrorKind::InvalidInput, words);
    Err(StoreError::io("write", Path::new(PATH))(source))
}
