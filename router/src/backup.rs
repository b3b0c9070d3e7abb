//! Backup: all records of a shard as messages, made no faster than somebody fetches them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, Stream};
use orrery_host::{Task, Tasks};
use orrery_proto::cluster as wire;
use orrery_proto::storage::SnapshotMeta;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use crate::limits::{BACKUP_CHUNK_BYTES, BACKUP_CHUNKS_WAITING_MAX, BACKUP_STALL_MAX};
use crate::raft::backup::Captured;

/// Everything that a shard holds, at one index of its log, on its way to whoever asked for it. Dropping it
/// gives it up.
pub(crate) struct Backup {
    chunks: mpsc::Receiver<wire::BackupChunk>,
    _worker: Task,
}

impl Backup {
    /// Begins to make the messages of what was captured, on a thread of its own. What is captured holds on
    /// to all that the shard replaces meanwhile; the permit is kept for as long.
    ///
    /// # Errors
    /// See [`Captured::meta`].
    pub(crate) fn begin(
        captured: Captured,
        permit: OwnedSemaphorePermit,
        tasks: &Arc<dyn Tasks>,
    ) -> std::io::Result<Self> {
        let meta = captured.meta()?;
        let (out, chunks) = mpsc::channel(BACKUP_CHUNKS_WAITING_MAX);
        let make = move || {
            let made = async move {
                let chunks = Chunks::new(meta, captured.records(), BACKUP_CHUNK_BYTES);
                send(chunks, out, BACKUP_STALL_MAX).await;
                drop(permit);
            };
            made.boxed_local()
        };
        let worker = tasks.worker("backup".to_owned(), Box::new(make));
        Ok(Self { chunks, _worker: worker })
    }
}

impl Stream for Backup {
    type Item = wire::BackupChunk;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_recv(cx)
    }
}

/// Sends the messages. Whoever does not take them for long gets a stream without an end.
async fn send(
    chunks: impl Iterator<Item = wire::BackupChunk>,
    out: mpsc::Sender<wire::BackupChunk>,
    stall_max: Duration,
) {
    for chunk in chunks {
        match timeout(stall_max, out.send(chunk)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                tracing::warn!("a backup was given up: nobody fetched it any more");
                return;
            }
        }
    }
}

/// Packs a shard's records into messages.
struct Chunks<R> {
    /// In the first message.
    meta: Option<SnapshotMeta>,
    /// None once the last message was made.
    records: Option<R>,
    chunk_bytes: usize,
    count: u64,
    crc: crc32fast::Hasher,
}

impl<R: Iterator<Item = Bytes>> Chunks<R> {
    fn new(meta: SnapshotMeta, records: R, chunk_bytes: usize) -> Self {
        let (meta, records, crc) = (Some(meta), Some(records), crc32fast::Hasher::new());
        Self { meta, records, chunk_bytes, count: 0, crc }
    }

    fn count(&mut self, record: &Bytes) {
        let length = u32::try_from(record.len()).expect("a record fits a message");
        self.crc.update(&length.to_le_bytes());
        self.crc.update(record);
        self.count += 1;
    }
}

impl<R: Iterator<Item = Bytes>> Iterator for Chunks<R> {
    type Item = wire::BackupChunk;

    fn next(&mut self) -> Option<wire::BackupChunk> {
        let mut records = self.records.take()?;
        let mut chunk = wire::BackupChunk { meta: self.meta.take(), ..Default::default() };
        let mut bytes = 0;
        while bytes < self.chunk_bytes {
            let Some(record) = records.next() else {
                let crc32 = self.crc.clone().finalize();
                chunk.end = Some(wire::BackupEnd { records: self.count, crc32 });
                return Some(chunk);
            };
            bytes += record.len();
            self.count(&record);
            chunk.records.push(record);
        }
        self.records = Some(records);
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::Instant;

    use super::*;

    fn chunks(records: usize) -> Chunks<impl Iterator<Item = Bytes>> {
        let records = (0..records).map(|n| Bytes::from(format!("record {n:03}")));
        Chunks::new(SnapshotMeta::default(), records, 50)
    }

    #[test]
    fn chunks_carry_the_meta_first_all_records_in_order_and_the_sum_last() {
        let chunks: Vec<_> = chunks(100).collect();
        assert!(chunks.len() > 10, "{}", chunks.len());
        assert!(chunks.iter().enumerate().all(|(n, chunk)| chunk.meta.is_some() == (n == 0)));
        let (last, others) = chunks.split_last().unwrap();
        assert!(others.iter().all(|chunk| chunk.end.is_none()));
        let records: Vec<_> = chunks.iter().flat_map(|chunk| &chunk.records).collect();
        assert_eq!(records.len(), 100);
        assert!(records.is_sorted());
        let mut sum = crc32fast::Hasher::new();
        for record in records {
            sum.update(&10_u32.to_le_bytes());
            sum.update(record);
        }
        let end = last.end.as_ref().unwrap();
        assert_eq!((end.records, end.crc32), (100, sum.finalize()));
    }

    #[test]
    fn a_shard_that_holds_nothing_is_one_chunk() {
        let chunks: Vec<_> = chunks(0).collect();
        assert_eq!(chunks.len(), 1);
        assert!(chunks[0].meta.is_some() && chunks[0].end.is_some());
    }

    #[tokio::test]
    async fn nothing_is_made_ahead_and_what_nobody_fetches_is_given_up() {
        let made = Cell::new(0);
        let (out, mut fetched) = mpsc::channel(BACKUP_CHUNKS_WAITING_MAX);
        let (begun, stall_max) = (Instant::now(), Duration::from_millis(50));
        send(chunks(1000).inspect(|_| made.set(made.get() + 1)), out, stall_max).await;
        assert!(begun.elapsed() >= stall_max);
        assert_eq!(made.get(), BACKUP_CHUNKS_WAITING_MAX + 1, "what waits and the next one");
        let mut left = Vec::new();
        while let Some(chunk) = fetched.recv().await {
            left.push(chunk);
        }
        assert!(left.iter().all(|chunk| chunk.end.is_none()), "it does not look whole");
    }
}
