//! Backup: everything a shard holds, as its leader streams it.

use bytes::Bytes;
use orrery_proto::cluster::BackupChunk;
use orrery_proto::storage::SnapshotMeta;
use tokio::time::timeout;
use tonic::Streaming;

use super::ClusterError;
use crate::limits::BACKUP_CHUNK_TIMEOUT;

/// A shard's content on its way. Holds at most one chunk.
pub struct BackupStream {
    pub(super) address: String,
    pub(super) chunks: Streaming<BackupChunk>,
}

/// One part of the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupPart {
    /// What the records are a copy of; in the first part.
    pub meta: Option<SnapshotMeta>,
    /// Encoded records.
    pub records: Vec<Bytes>,
    /// How many records there are and the checksum over them (each after its length as 32 bits, little
    /// endian first); in the last part. A stream that ends without is not whole.
    pub end: Option<(u64, u32)>,
}

impl BackupStream {
    /// The next part; `None` after the last.
    ///
    /// # Errors
    /// [`ClusterError::Unreachable`] when the stream breaks; begin anew.
    pub async fn next(&mut self) -> Result<Option<BackupPart>, ClusterError> {
        let chunk = match timeout(BACKUP_CHUNK_TIMEOUT, self.chunks.message()).await {
            Ok(Ok(chunk)) => chunk,
            Ok(Err(status)) => return Err(self.broken(status.message().to_owned())),
            Err(_) => return Err(self.broken("the backup does not go on".to_owned())),
        };
        Ok(chunk.map(|chunk| BackupPart {
            meta: chunk.meta,
            records: chunk.records,
            end: chunk.end.map(|end| (end.records, end.crc32)),
        }))
    }

    fn broken(&self, detail: String) -> ClusterError {
        ClusterError::Unreachable { who: format!("router node {}", self.address), detail }
    }
}
