//! Incoming: a snapshot that another node sends. It is written to a file that nobody sees yet, and is
//! handed to the core once it is whole.

use std::io;
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use orrery_host::Tasks;
use orrery_model::ShardId;
use orrery_proto::peers as wire;
use orrery_router_store::limits::SNAPSHOT_RECORD_BYTES_MAX;
use orrery_router_store::{SnapshotWriter, Store};
use tokio::sync::{Mutex, watch};

use super::snapshot::{SnapshotFile, check_record};
use crate::blocking::blocking;

/// Lets one snapshot of a shard in at a time: a newer one ends the one before it, whose sender may be
/// gone without a word.
pub(super) struct Turns {
    newest: watch::Sender<u64>,
    turn: Mutex<()>,
}

/// A snapshot's turn. It is over when [`Turn::superseded`] says so.
pub(super) struct Turn<'a> {
    number: u64,
    newest: watch::Receiver<u64>,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self { newest: watch::Sender::new(0), turn: Mutex::new(()) }
    }

    /// Waits until the snapshot before this one has let go.
    pub(super) async fn next(&self) -> Turn<'_> {
        let mut number = 0;
        self.newest.send_modify(|newest| {
            *newest += 1;
            number = *newest;
        });
        Turn { number, newest: self.newest.subscribe(), _turn: self.turn.lock().await }
    }
}

impl Turn<'_> {
    /// Waits until a newer snapshot arrives.
    pub(super) async fn superseded(&mut self) {
        let number = self.number;
        if self.newest.wait_for(|newest| *newest > number).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The part of a snapshot that has arrived.
pub(super) struct Incoming {
    shard: ShardId,
    tasks: Arc<dyn Tasks>,
    meta: Bytes,
    writing: Writing,
}

struct Writing {
    writer: Box<dyn SnapshotWriter>,
    /// Bytes of a record that has not arrived whole.
    rest: BytesMut,
    records: u64,
    bytes: u64,
    checksum: crc32fast::Hasher,
}

impl Incoming {
    /// Begins a snapshot.
    ///
    /// # Errors
    /// When the store cannot.
    pub(super) async fn begin(
        shard: ShardId,
        store: Arc<dyn Store>,
        tasks: Arc<dyn Tasks>,
        meta: Bytes,
    ) -> io::Result<Self> {
        let begun = meta.clone();
        let writer = blocking(&tasks, "begin-snapshot", move || {
            store.begin_snapshot(shard, begun).map_err(io::Error::other)
        })
        .await?;
        let writing = Writing {
            writer,
            rest: BytesMut::new(),
            records: 0,
            bytes: 0,
            checksum: crc32fast::Hasher::new(),
        };
        Ok(Self { shard, tasks, meta, writing })
    }

    /// Writes the records that a part completes.
    ///
    /// # Errors
    /// When they cannot be written, or not be understood by this build.
    pub(super) async fn take(self, part: Bytes) -> io::Result<Self> {
        let Self { shard, tasks, meta, mut writing } = self;
        let writing = blocking(&tasks, "receive-snapshot", move || {
            writing.take(shard, &part)?;
            Ok(writing)
        })
        .await?;
        Ok(Self { shard, tasks, meta, writing })
    }

    /// Checks that all has arrived.
    ///
    /// # Errors
    /// When something is missing or differs from what was sent.
    pub(super) fn end(self, end: &wire::SnapshotEnd) -> io::Result<SnapshotFile> {
        let Writing { writer, rest, records, bytes, checksum } = self.writing;
        let whole = rest.is_empty() && (records, bytes) == (end.records, end.bytes);
        if !whole || checksum.finalize() != end.checksum {
            return Err(malformed("the snapshot did not arrive as it was sent"));
        }
        Ok(SnapshotFile::Received(self.meta, writer))
    }
}

impl Writing {
    fn take(&mut self, shard: ShardId, part: &[u8]) -> io::Result<()> {
        self.bytes += part.len() as u64;
        self.checksum.update(part);
        self.rest.extend_from_slice(part);
        while let Some(record) = next_record(&mut self.rest)? {
            self.writer.record(&record).map_err(io::Error::other)?;
            self.records += 1;
            check_record(shard, record)?;
        }
        Ok(())
    }
}

/// Takes the first record off, if it is there whole.
fn next_record(bytes: &mut BytesMut) -> io::Result<Option<Bytes>> {
    let mut length_bytes = &bytes[..];
    let Ok(length) = prost::encoding::decode_varint(&mut length_bytes) else {
        // The longest varint has ten bytes: with as many it is not the end that is missing.
        return match bytes.len() < 10 {
            true => Ok(None),
            false => Err(malformed("a record's length cannot be read")),
        };
    };
    let length = usize::try_from(length).ok().filter(|length| *length <= SNAPSHOT_RECORD_BYTES_MAX);
    let length = length.ok_or_else(|| malformed("a record is too large"))?;
    let head = bytes.len() - length_bytes.len();
    if length_bytes.len() < length {
        return Ok(None);
    }
    bytes.advance(head);
    Ok(Some(bytes.split_to(length).freeze()))
}

fn malformed(detail: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, detail.to_owned())
}
