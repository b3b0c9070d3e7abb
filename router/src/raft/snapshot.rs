//! Snapshot: a shard's state as a file of records, written from a cheap copy while the shard goes on.
//! Shards that are due together write theirs one after the other.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use openraft::RaftSnapshotBuilder;
use openraft::type_config::alias::SnapshotOf;
use orrery_host::Tasks;
use orrery_model::ShardId;
use orrery_model::record::{ControlRecord, ShardRecord};
use orrery_proto::convert::WireError;
use orrery_proto::storage as wire;
use orrery_router_core::control::{Control, ControlSnapshot};
use orrery_router_core::registry::{self, Registry};
use orrery_router_store::{SnapshotReader, SnapshotWriter, Store};
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::entry::encode_meta;
use super::replica::{Replica, State};
use super::types::{LogId, SnapshotMeta, Types};
use crate::blocking::blocking;

/// What a file of records adds to each.
const RECORD_FRAME_BYTES: u64 = 8;

/// A snapshot's records, as far as there is something to do with them.
pub(crate) enum SnapshotFile {
    /// In the store, opened to be read.
    Opened(Box<dyn SnapshotReader>),
    /// In the store, just built; most are never read.
    Built,
    /// Received whole from another node, with the meta that it will have; not visible in the store yet.
    Received(Bytes, Box<dyn SnapshotWriter>),
}

impl SnapshotFile {
    /// # Errors
    /// When it was not opened to be read.
    pub(super) fn into_reader(self) -> io::Result<Box<dyn SnapshotReader>> {
        match self {
            Self::Opened(reader) => Ok(reader),
            Self::Built | Self::Received(..) => Err(not_opened()),
        }
    }

    /// The records as a file of this store, not visible yet, and the meta that it will have.
    ///
    /// # Errors
    /// When there are no records, or they cannot be written.
    pub(super) fn into_writer(
        self,
        shard: ShardId,
        store: &dyn Store,
    ) -> io::Result<(Bytes, Box<dyn SnapshotWriter>)> {
        match self {
            Self::Received(meta, writer) => Ok((meta, writer)),
            Self::Opened(mut reader) => {
                let meta = reader.meta().clone();
                let begun = store.begin_snapshot(shard, meta.clone());
                let mut writer = begun.map_err(io::Error::other)?;
                while let Some(record) = reader.next_record().map_err(io::Error::other)? {
                    writer.record(&record).map_err(io::Error::other)?;
                }
                Ok((meta, writer))
            }
            Self::Built => Err(not_opened()),
        }
    }
}

fn not_opened() -> io::Error {
    io::Error::other("the snapshot was not opened to be read")
}

/// The newest snapshot that is known to be in the store: its position and its meta.
#[derive(Clone, Default)]
pub(super) struct Newest(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    newest: Option<(Option<LogId>, Bytes)>,
    /// The node leaves the shard.
    ended: bool,
}

impl Newest {
    pub(super) fn is(&self, meta: &Bytes) -> bool {
        self.0.lock().newest.as_ref().is_some_and(|(_, held)| held == meta)
    }

    /// Takes note of one that was found in the store.
    pub(super) fn found(&self, at: Option<LogId>, meta: Bytes) {
        let newest = &mut self.0.lock().newest;
        if newest.as_ref().is_none_or(|(held_at, _)| *held_at <= at) {
            *newest = Some((at, meta));
        }
    }

    /// Finishes a snapshot, unless a newer one is there: while a snapshot was built another one may have
    /// been installed, and the log that leads from the one to the other was purged.
    pub(super) fn finish(
        &self,
        at: Option<LogId>,
        meta: Bytes,
        writer: Box<dyn SnapshotWriter>,
    ) -> io::Result<()> {
        let mut held = self.0.lock();
        if held.ended {
            return Err(io::Error::other("the node leaves the shard"));
        }
        if held.newest.as_ref().is_some_and(|(held_at, _)| *held_at > at) {
            return Ok(());
        }
        writer.finish().map_err(io::Error::other)?;
        held.newest = Some((at, meta));
        Ok(())
    }

    /// Lets none be finished from here on; one that is just being finished it waits for. A core that has
    /// ended does not wait for who writes its snapshots.
    pub(super) fn end(&self) {
        self.0.lock().ended = true;
    }
}

/// A copy of a shard's state that later entries do not change.
pub(super) enum StateView {
    Data(registry::Snapshot),
    Control(ControlSnapshot),
}

impl StateView {
    pub(super) fn of(state: &State) -> Self {
        match state {
            State::Data(registry) => Self::Data(registry.snapshot()),
            State::Control(control) => Self::Control(control.snapshot()),
        }
    }

    /// About how many bytes its snapshot takes on a disk. As much work as half of writing it.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = |record_bytes: usize| record_bytes as u64 + RECORD_FRAME_BYTES;
        match self {
            Self::Data(view) => {
                let records = view.records();
                records.map(|record| bytes(wire::ShardRecord::from(&record).encoded_len())).sum()
            }
            Self::Control(view) => {
                let records = view.records();
                records.map(|record| bytes(wire::ControlRecord::from(&record).encoded_len())).sum()
            }
        }
    }

    /// A number that is equal where the states are equal. Reads all of it.
    pub(super) fn digest(&self) -> u64 {
        match self {
            Self::Data(view) => view.digest(),
            Self::Control(view) => view.digest(),
        }
    }

    fn write(&self, writer: &mut dyn SnapshotWriter) -> io::Result<()> {
        match self {
            Self::Data(view) => {
                for record in view.records() {
                    write_record(writer, &wire::ShardRecord::from(&record))?;
                }
            }
            Self::Control(view) => {
                for record in view.records() {
                    write_record(writer, &wire::ControlRecord::from(&record))?;
                }
            }
        }
        Ok(())
    }
}

fn write_record(writer: &mut dyn SnapshotWriter, record: &impl Message) -> io::Result<()> {
    writer.record(&record.encode_to_vec()).map_err(io::Error::other)
}

/// Writes one snapshot.
pub(crate) struct Builder {
    pub(super) replica: Arc<Replica>,
    pub(super) id: String,
    pub(super) store: Arc<dyn Store>,
    pub(super) tasks: Arc<dyn Tasks>,
    pub(super) newest: Newest,
    /// A permit for each snapshot that may be written at once, of any shard.
    pub(super) permits: Arc<Semaphore>,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, SnapshotFile>> {
        let permit = self.permit().await?;
        let (view, meta) = self.capture();
        self.write(view, &meta, permit).await?;
        // Whoever wants to read it asks for the newest one; most are never read.
        Ok(SnapshotOf::<Types, SnapshotFile> { meta, snapshot: SnapshotFile::Built })
    }
}

impl Builder {
    /// Waits for the shards whose turn is earlier, and while the replica may begin none.
    ///
    /// # Errors
    /// When the replica is closed meanwhile; its core has ended and hears of nothing.
    pub(super) async fn permit(&self) -> io::Result<OwnedSemaphorePermit> {
        let closed = || io::Error::other("the replica was closed before its snapshot was begun");
        let duty = self.replica.snapshots();
        let turn = async {
            loop {
                duty.may_begin_again().await;
                let permit = self.permits.clone().acquire_owned().await.map_err(|_| closed())?;
                // The disk may have filled up while others wrote theirs.
                if duty.begin() {
                    return Ok(permit);
                }
            }
        };
        tokio::select! {
            // First, or one that both concern would still begin.
            biased;
            () = duty.ended() => Err(closed()),
            permit = turn => permit,
        }
    }

    /// The state as it is now. Only once it is this shard's turn: a view that waits would hold on to all
    /// that changes meanwhile.
    pub(super) fn capture(&self) -> (StateView, SnapshotMeta) {
        self.replica.capture(StateView::of)
    }

    /// Writes what was captured. The permit is given back when the file is finished, even where nobody
    /// waits for that any more.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn write(
        &self,
        view: StateView,
        meta: &SnapshotMeta,
        permit: OwnedSemaphorePermit,
    ) -> io::Result<()> {
        let begun = Instant::now();
        let (shard, store) = (self.replica.shard(), self.store.clone());
        let bytes = encode_meta(shard, meta, self.id.clone());
        let (at, newest) = (meta.last_log_id, self.newest.clone());
        blocking(&self.tasks, "write-snapshot", move || {
            let _permit = permit;
            let writer = store.begin_snapshot(shard, bytes.clone());
            let mut writer = writer.map_err(io::Error::other)?;
            view.write(&mut *writer)?;
            newest.finish(at, bytes, writer)
        })
        .await?;
        self.replica.snapshots().built(begun.elapsed());
        Ok(())
    }
}

/// Reads a state back from its records.
///
/// # Errors
/// When a record cannot be read, or the records are not those of a state of this shard.
pub(super) fn restore(shard: ShardId, reader: Box<dyn SnapshotReader>) -> io::Result<State> {
    let mut source = Source { reader, failed: None };
    let restored = if shard == ShardId::CONTROL {
        let records = std::iter::from_fn(|| source.next::<wire::ControlRecord, ControlRecord>());
        Control::restore(records)
            .map(|control| State::Control(Box::new(control)))
            .map_err(io::Error::other)
    } else {
        let records = std::iter::from_fn(|| source.next::<wire::ShardRecord, ShardRecord>());
        Registry::restore(records)
            .map(|registry| State::Data(Box::new(registry)))
            .map_err(io::Error::other)
    };
    // A record that could not be read ends the sequence early: its error explains any other.
    if let Some(error) = source.failed {
        return Err(error);
    }
    restored
}

/// Checks that a record can be restored by this build.
///
/// # Errors
/// When it cannot.
pub(super) fn check_record(shard: ShardId, record: Bytes) -> io::Result<()> {
    match shard {
        ShardId::CONTROL => decode::<wire::ControlRecord, ControlRecord>(record).map(drop),
        _ => decode::<wire::ShardRecord, ShardRecord>(record).map(drop),
    }
}

fn decode<W, R>(record: Bytes) -> io::Result<R>
where
    W: Message + Default,
    R: TryFrom<W, Error = WireError>,
{
    let record = W::decode(record).map_err(invalid)?;
    R::try_from(record).map_err(invalid)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

struct Source {
    reader: Box<dyn SnapshotReader>,
    failed: Option<io::Error>,
}

impl Source {
    fn next<W, R>(&mut self) -> Option<R>
    where
        W: Message + Default,
        R: TryFrom<W, Error = WireError>,
    {
        let record = self.reader.next_record().map_err(io::Error::other).transpose()?;
        match record.and_then(decode::<W, R>) {
            Ok(record) => Some(record),
            Err(error) => {
                self.failed = Some(error);
                None
            }
        }
    }
}
