//! Sending: a snapshot on its way to another node, read from its file part by part.

use std::io;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use openraft::raft::SnapshotResponse;
use openraft::type_config::alias::SnapshotOf;
use orrery_host::Tasks;
use orrery_model::ShardId;
use orrery_proto::peers::{self as wire, snapshot_part::Part};
use orrery_router_store::SnapshotReader;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::entry::vote_to_wire;
use super::snapshot::SnapshotFile;
use super::types::{Types, Vote};
use super::wire::required_vote;
use crate::blocking::blocking;
use crate::limits::{SNAPSHOT_INSTALL_TIMEOUT, SNAPSHOT_PART_BYTES, SNAPSHOT_PART_TIMEOUT};
use crate::peers::{Link, PeerError};

/// Sends a snapshot, and waits until the peer has installed it. Each part must get on in time; the
/// whole may take as long as it needs.
pub(super) async fn send_snapshot(
    tasks: &Arc<dyn Tasks>,
    link: &Link,
    shard: ShardId,
    vote: Vote,
    snapshot: SnapshotOf<Types, SnapshotFile>,
) -> Result<SnapshotResponse<Types>, PeerError> {
    let error = |detail: String| PeerError { node: link.node(), detail };
    let reader = snapshot.snapshot.into_reader().map_err(|failed| error(failed.to_string()))?;
    let begin = wire::SnapshotBegin {
        envelope: Some(link.envelope(shard)),
        vote: Some(vote_to_wire(&vote)),
        meta: reader.meta().clone(),
    };
    // One part is on its way while the next one is read.
    let (parts, leaving) = mpsc::channel(1);
    let leaving =
        stream::unfold(
            leaving,
            |mut leaving| async move { Some((leaving.recv().await?, leaving)) },
        );
    let answered = link.snapshot(leaving);
    tokio::pin!(answered);
    let response = tokio::select! {
        // It may refuse before it has taken all.
        biased;
        response = &mut answered => response?,
        fed = feed(tasks, reader, begin, parts) => match fed {
            Ok(()) => match timeout(SNAPSHOT_INSTALL_TIMEOUT, answered).await {
                Ok(response) => response?,
                Err(_) => {
                    link.abandon_snapshots();
                    return Err(error("the snapshot was taken but not installed in time".to_owned()));
                }
            },
            // The peer's answer, if there is one, says why it takes no more.
            Err(failed) => match timeout(SNAPSHOT_PART_TIMEOUT, answered).await {
                Ok(response) => response?,
                Err(_) => {
                    link.abandon_snapshots();
                    return Err(error(failed.to_string()));
                }
            },
        },
    };
    let vote = required_vote(response.vote).map_err(|failed| error(failed.to_string()))?;
    Ok(SnapshotResponse { vote })
}

async fn feed(
    tasks: &Arc<dyn Tasks>,
    reader: Box<dyn SnapshotReader>,
    begin: wire::SnapshotBegin,
    parts: mpsc::Sender<wire::SnapshotPart>,
) -> io::Result<()> {
    put(&parts, Part::Begin(begin)).await?;
    let mut records = Records::new(reader);
    loop {
        let (part, rest) = blocking(tasks, "read-snapshot", move || records.next_part()).await?;
        records = rest;
        match part {
            Some(data) => put(&parts, Part::Data(data)).await?,
            None => return put(&parts, Part::End(records.end())).await,
        }
    }
}

async fn put(parts: &mpsc::Sender<wire::SnapshotPart>, part: Part) -> io::Result<()> {
    let sent = timeout(SNAPSHOT_PART_TIMEOUT, parts.send(wire::SnapshotPart { part: Some(part) }));
    match sent.await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(io::Error::other("the peer takes no more of the snapshot")),
        Err(_) => Err(io::Error::other("a part of the snapshot was not taken in time")),
    }
}

/// A snapshot's records as one sequence of bytes, cut into parts.
pub(super) struct Records {
    reader: Box<dyn SnapshotReader>,
    /// Read, and not in a part yet.
    rest: BytesMut,
    exhausted: bool,
    records: u64,
    bytes: u64,
    checksum: crc32fast::Hasher,
}

impl Records {
    pub(super) fn new(reader: Box<dyn SnapshotReader>) -> Self {
        Self {
            reader,
            rest: BytesMut::new(),
            exhausted: false,
            records: 0,
            bytes: 0,
            checksum: crc32fast::Hasher::new(),
        }
    }

    /// The next part, none after the last.
    ///
    /// # Errors
    /// When the file cannot be read or is corrupt.
    pub(super) fn next_part(mut self) -> io::Result<(Option<Bytes>, Self)> {
        while !self.exhausted && self.rest.len() < SNAPSHOT_PART_BYTES {
            match self.reader.next_record().map_err(io::Error::other)? {
                Some(record) => {
                    prost::encoding::encode_varint(record.len() as u64, &mut self.rest);
                    self.rest.put_slice(&record);
                    self.records += 1;
                }
                None => self.exhausted = true,
            }
        }
        if self.rest.is_empty() {
            return Ok((None, self));
        }
        let length = self.rest.len().min(SNAPSHOT_PART_BYTES);
        let part = self.rest.split_to(length).freeze();
        self.bytes += part.len() as u64;
        self.checksum.update(&part);
        Ok((Some(part), self))
    }

    /// What the receiver checks in the end.
    pub(super) fn end(&self) -> wire::SnapshotEnd {
        let checksum = self.checksum.clone().finalize();
        wire::SnapshotEnd { records: self.records, bytes: self.bytes, checksum }
    }
}
