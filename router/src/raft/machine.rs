//! Machine: a shard's replica as openraft drives it. The state lives in memory; what survives a crash is
//! the log and the newest snapshot.

use std::io;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use orrery_host::{Host, Tasks};
use orrery_router_store::Store;
use tokio::time::Instant;

use super::entry::decode_meta;
use super::replica::Replica;
use super::snapshot::{Builder, Newest, SnapshotFile, StateView, restore};
use super::types::Types;
use crate::blocking::blocking;

/// A shard's replica and where its snapshots are kept.
pub(crate) struct Machine {
    replica: Arc<Replica>,
    store: Arc<dyn Store>,
    host: Host,
    newest: Newest,
}

impl Machine {
    pub(crate) fn new(replica: Arc<Replica>, store: Arc<dyn Store>, host: Host) -> Self {
        Self { replica, store, host, newest: Newest::default() }
    }

    fn tasks(&self) -> &Arc<dyn Tasks> {
        &self.host.tasks
    }
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = Builder;

    async fn applied_state(
        &mut self,
    ) -> io::Result<(Option<LogIdOf<Types>>, StoredMembershipOf<Types>)> {
        Ok(self.replica.position())
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> io::Result<()>
    where
        Strm: Stream<Item = io::Result<EntryResponder<Types>>> + Unpin + OptionalSend,
    {
        while let Some(item) = entries.next().await {
            let (entry, responder) = item?;
            let replies = self.replica.apply(&entry)?;
            if let Some(responder) = responder {
                responder.send(replies);
            }
        }
        self.replica.announce();
        Ok(())
    }

    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<Builder> {
        if self.replica.snapshots().is_suspended() && !force {
            return None;
        }
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let (view, meta) = self.replica.capture(StateView::of);
        Builder {
            shard: self.replica.shard(),
            view: Arc::new(view),
            meta,
            id: self.host.random.uuid(),
            store: self.store.clone(),
            tasks: self.tasks().clone(),
            newest: self.newest.clone(),
            duty: self.replica.snapshots().clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMetaOf<Types>,
        snapshot: SnapshotFile,
    ) -> io::Result<()> {
        let begun = Instant::now();
        let shard = self.replica.shard();
        let (at, newest, store) = (meta.last_log_id, self.newest.clone(), self.store.clone());
        let announced = meta.clone();
        let state = blocking(self.tasks(), "restore-snapshot", move || {
            // At start the newest one of our own is installed. Any other one becomes the newest here first
            // and is restored from there: its records are never held beside the state.
            let reader = match snapshot {
                SnapshotFile::Opened(reader) if newest.is(reader.meta()) => reader,
                snapshot => {
                    let (meta, writer) = snapshot.into_writer(shard, &*store)?;
                    newest.finish(at, meta, writer)?;
                    store
                        .snapshot(shard)
                        .map_err(io::Error::other)?
                        .ok_or(io::ErrorKind::NotFound)?
                }
            };
            if decode_meta(shard, reader.meta())? != announced {
                let detail = format!("the snapshot of shard {shard} is not the one announced");
                return Err(io::Error::new(io::ErrorKind::InvalidData, detail));
            }
            restore(shard, reader)
        })
        .await?;
        self.replica.replace(state, meta);
        self.replica.snapshots().installed(begun.elapsed());
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> io::Result<Option<SnapshotOf<Types, SnapshotFile>>> {
        let (store, shard) = (self.store.clone(), self.replica.shard());
        let newest = self.newest.clone();
        let opened = blocking(self.tasks(), "open-snapshot", move || {
            let Some(reader) = store.snapshot(shard).map_err(io::Error::other)? else {
                return Ok(None);
            };
            let meta = decode_meta(shard, reader.meta())?;
            newest.found(meta.last_log_id, reader.meta().clone());
            Ok(Some((meta, reader)))
        });
        let Some((meta, reader)) = opened.await? else { return Ok(None) };
        Ok(Some(SnapshotOf::<Types, SnapshotFile> { meta, snapshot: SnapshotFile::Opened(reader) }))
    }
}

#[cfg(test)]
mod tests {
    use openraft::entry::RaftEntry as _;
    use openraft::storage::RaftSnapshotBuilder as _;
    use openraft::vote::leader_id_std::CommittedLeaderId;
    use orrery_model::{NodeId, ShardId};
    use orrery_router_store::Identity;
    use orrery_router_store::model::ModelDisk;

    use super::*;
    use crate::raft::types::{Entry, LogId};

    const SHARD: ShardId = ShardId(1);

    fn machine() -> Machine {
        let identity = Identity {
            cluster_id: "test".to_owned(),
            node: NodeId(1),
            instance: "first".to_owned(),
            shards: 1,
            founding: Default::default(),
        };
        let store = Arc::new(ModelDisk::new(identity).open().unwrap());
        Machine::new(Arc::new(Replica::new(SHARD)), store, Host::system())
    }

    fn id(index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(1), index)
    }

    fn apply(machine: &Machine, index: u64) {
        machine.replica.apply(&Entry::new_blank(id(index))).unwrap();
    }

    async fn newest(machine: &mut Machine) -> SnapshotOf<Types, SnapshotFile> {
        machine.get_current_snapshot().await.unwrap().expect("there is a snapshot")
    }

    #[tokio::test]
    async fn a_snapshot_that_is_built_late_never_replaces_a_newer_one() {
        let (mut leader, mut follower) = (machine(), machine());
        apply(&leader, 9);
        leader.get_snapshot_builder().await.build_snapshot().await.unwrap();

        apply(&follower, 1);
        let mut late = follower.get_snapshot_builder().await;
        let installed = newest(&mut leader).await;
        follower.install_snapshot(&installed.meta, installed.snapshot).await.unwrap();
        // The log up to 9 may be purged from here on.
        late.build_snapshot().await.unwrap();
        assert_eq!(newest(&mut follower).await.meta.last_log_id, Some(id(9)));

        // What is newer still takes its place.
        apply(&follower, 10);
        follower.get_snapshot_builder().await.build_snapshot().await.unwrap();
        assert_eq!(newest(&mut follower).await.meta.last_log_id, Some(id(10)));
    }
}
