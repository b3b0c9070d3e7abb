//! Snapshot: a shard's state as a file of records, written from a cheap copy while the shard goes on.

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

use super::entry::encode_meta;
use super::replica::State;
use super::types::{LogId, SnapshotMeta, Types};
use crate::blocking::blocking;

/// A snapshot's records, where it was opened.
pub(crate) struct SnapshotFile(Option<Box<dyn SnapshotReader>>);

impl SnapshotFile {
    pub(super) fn open(reader: Box<dyn SnapshotReader>) -> Self {
        Self(Some(reader))
    }

    pub(super) fn into_reader(self) -> io::Result<Box<dyn SnapshotReader>> {
        self.0.ok_or_else(|| io::Error::other("the snapshot was built, but not opened to be read"))
    }
}

/// The newest snapshot that is known to be in the store: its position and its meta.
#[derive(Clone, Default)]
pub(super) struct Newest(Arc<Mutex<Option<Place>>>);

type Place = (Option<LogId>, Bytes);

impl Newest {
    pub(super) fn is(&self, meta: &Bytes) -> bool {
        self.0.lock().as_ref().is_some_and(|(_, held)| held == meta)
    }

    /// Takes note of one that was found in the store.
    pub(super) fn found(&self, at: Option<LogId>, meta: Bytes) {
        let mut held = self.0.lock();
        if held.as_ref().is_none_or(|(held_at, _)| *held_at <= at) {
            *held = Some((at, meta));
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
        if held.as_ref().is_some_and(|(held_at, _)| *held_at > at) {
            return Ok(());
        }
        writer.finish().map_err(io::Error::other)?;
        *held = Some((at, meta));
        Ok(())
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
    pub(super) shard: ShardId,
    pub(super) view: Arc<StateView>,
    pub(super) meta: SnapshotMeta,
    pub(super) id: String,
    pub(super) store: Arc<dyn Store>,
    pub(super) tasks: Arc<dyn Tasks>,
    pub(super) newest: Newest,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<SnapshotOf<Types, SnapshotFile>> {
        let bytes = encode_meta(self.shard, &self.meta, self.id.clone());
        let (shard, view, store) = (self.shard, self.view.clone(), self.store.clone());
        let (at, newest) = (self.meta.last_log_id, self.newest.clone());
        blocking(&self.tasks, "write-snapshot", move || {
            let writer = store.begin_snapshot(shard, bytes.clone());
            let mut writer = writer.map_err(io::Error::other)?;
            view.write(&mut *writer)?;
            newest.finish(at, bytes, writer)
        })
        .await?;
        // Whoever wants to read it asks for the newest one; most are never read.
        Ok(SnapshotOf::<Types, SnapshotFile> {
            meta: self.meta.clone(),
            snapshot: SnapshotFile(None),
        })
    }
}

/// Reads a state back from its records, and keeps them in `copy` as well, where there is one.
///
/// # Errors
/// When a record cannot be read or kept, or the records are not those of a state of this shard.
pub(super) fn restore(
    shard: ShardId,
    reader: Box<dyn SnapshotReader>,
    copy: Option<&mut dyn SnapshotWriter>,
) -> io::Result<State> {
    let mut source = Source { reader, copy, failed: None };
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

struct Source<'a> {
    reader: Box<dyn SnapshotReader>,
    copy: Option<&'a mut dyn SnapshotWriter>,
    failed: Option<io::Error>,
}

impl Source<'_> {
    fn next<W, R>(&mut self) -> Option<R>
    where
        W: Message + Default,
        R: TryFrom<W, Error = WireError>,
    {
        self.try_next::<W, R>().unwrap_or_else(|error| {
            self.failed = Some(error);
            None
        })
    }

    fn try_next<W, R>(&mut self) -> io::Result<Option<R>>
    where
        W: Message + Default,
        R: TryFrom<W, Error = WireError>,
    {
        let Some(bytes) = self.reader.next_record().map_err(io::Error::other)? else {
            return Ok(None);
        };
        if let Some(copy) = &mut self.copy {
            copy.record(&bytes).map_err(io::Error::other)?;
        }
        let record = W::decode(bytes).map_err(io::Error::other)?;
        Ok(Some(R::try_from(record).map_err(io::Error::other)?))
    }
}
