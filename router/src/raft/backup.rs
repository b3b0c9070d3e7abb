//! Backup: everything that a replica holds at one index of its log, in the records of a snapshot.

use std::io;

use bytes::Bytes;
use orrery_model::ShardId;
use orrery_proto::storage as wire;
use prost::Message as _;

use super::entry::encode_meta;
use super::replica::Replica;
use super::snapshot::StateView;

/// A replica's state at one moment; what is written later does not change it.
pub(crate) struct Captured {
    meta: Bytes,
    view: StateView,
}

impl Replica {
    /// Captures the state as it is now.
    pub(crate) fn capture_all(&self, id: String) -> Captured {
        let (view, meta) = self.capture(StateView::of);
        let shard: ShardId = self.shard();
        Captured { meta: encode_meta(shard, &meta, id), view }
    }
}

impl Captured {
    /// Where it was captured.
    ///
    /// # Errors
    /// Never for what [`Replica::capture_all`] made.
    pub(crate) fn meta(&self) -> io::Result<wire::SnapshotMeta> {
        wire::SnapshotMeta::decode(self.meta.clone()).map_err(io::Error::other)
    }

    /// All records in order, each made when it is asked for.
    pub(crate) fn records(&self) -> Box<dyn Iterator<Item = Bytes> + '_> {
        match &self.view {
            StateView::Data(view) => Box::new(
                view.records()
                    .map(|record| wire::ShardRecord::from(&record).encode_to_vec().into()),
            ),
            StateView::Control(view) => Box::new(
                view.records()
                    .map(|record| wire::ControlRecord::from(&record).encode_to_vec().into()),
            ),
        }
    }
}
