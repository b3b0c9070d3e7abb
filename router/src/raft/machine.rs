//! Machine: a shard's replica as openraft drives it. The state lives in memory; what survives a crash is
//! the log and the newest snapshot.

use std::io;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::{LogIdOf, SnapshotMetaOf, SnapshotOf, StoredMembershipOf};
use orrery_host::{Host, Tasks};
use orrery_model::ShardId;
use orrery_router_store::Store;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::entry::decode_meta;
use super::replica::Replica;
use super::snapshot::{Builder, Newest, SnapshotFile, restore};
use super::types::Types;
use crate::blocking::blocking;

/// A shard's replica and where its snapshots are kept.
pub(crate) struct Machine {
    replica: Arc<Replica>,
    store: Arc<dyn Store>,
    host: Host,
    newest: Newest,
    snapshot_permits: Arc<Semaphore>,
    /// Where the log began when it was opened.
    purged: Option<LogIdOf<Types>>,
}

impl Machine {
    /// A machine that takes one of the permits for each snapshot that it writes.
    pub(crate) fn new(
        replica: Arc<Replica>,
        store: Arc<dyn Store>,
        host: Host,
        snapshot_permits: Arc<Semaphore>,
    ) -> Self {
        let newest = Newest::default();
        Self { replica, store, host, newest, snapshot_permits, purged: None }
    }

    /// The same machine over a log that begins after `purged`: without a snapshot that reaches so far it
    /// does not open, nor hands out any.
    pub(super) fn after(self, purged: Option<LogIdOf<Types>>) -> Self {
        Self { purged, ..self }
    }

    /// What the machine's snapshots go by.
    pub(super) fn newest(&self) -> Newest {
        self.newest.clone()
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
        if !self.replica.snapshots().may_begin() && !force {
            return None;
        }
        Some(self.get_snapshot_builder().await)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            replica: self.replica.clone(),
            id: self.host.random.uuid(),
            store: self.store.clone(),
            tasks: self.tasks().clone(),
            newest: self.newest.clone(),
            permits: self.snapshot_permits.clone(),
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
        let (newest, purged) = (self.newest.clone(), self.purged);
        let opened = blocking(self.tasks(), "open-snapshot", move || {
            let Some(reader) = store.snapshot(shard).map_err(io::Error::other)? else {
                return reaches(shard, None, purged).map(|()| None);
            };
            let meta = decode_meta(shard, reader.meta())?;
            reaches(shard, meta.last_log_id, purged)?;
            newest.found(meta.last_log_id, reader.meta().clone());
            Ok(Some((meta, reader)))
        });
        let Some((meta, reader)) = opened.await? else { return Ok(None) };
        Ok(Some(SnapshotOf::<Types, SnapshotFile> { meta, snapshot: SnapshotFile::Opened(reader) }))
    }
}

/// Refuses a snapshot, or none, that ends before the log begins: what lies between is nowhere. openraft would
/// go on with an empty state.
fn reaches(
    shard: ShardId,
    last: Option<LogIdOf<Types>>,
    purged: Option<LogIdOf<Types>>,
) -> io::Result<()> {
    let Some(purged) = purged.filter(|_| last < purged) else { return Ok(()) };
    let found = match last {
        Some(last) => format!("the newest snapshot ends at entry {}", last.index),
        None => "there is no snapshot".to_owned(),
    };
    let shard = format!("shard {shard} is corrupt: its log begins after entry {}", purged.index);
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("{shard}, and {found}")))
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::stream::FuturesUnordered;
    use futures_util::{FutureExt as _, poll};
    use openraft::entry::RaftEntry as _;
    use openraft::storage::RaftSnapshotBuilder as _;
    use openraft::vote::leader_id_std::CommittedLeaderId;
    use orrery_host::Task;
    use orrery_host::system::SystemTasks;
    use orrery_host::tasks::{TaskFuture, WorkerStart};
    use orrery_model::{NodeId, ShardId};
    use orrery_router_store::Identity;
    use orrery_router_store::model::ModelDisk;
    use parking_lot::Mutex;

    use super::*;
    use crate::raft::types::{Entry, LogId};

    const SHARD: ShardId = ShardId(1);

    /// Does blocking work only when it is asked to.
    struct Reluctant {
        tasks: SystemTasks,
        works: Mutex<Vec<Box<dyn FnOnce() + Send>>>,
    }

    impl Reluctant {
        fn new() -> Arc<Self> {
            Arc::new(Self { tasks: SystemTasks::current(), works: Mutex::default() })
        }

        /// Does what has gathered, and tells how much that was.
        fn work(&self) -> usize {
            let works = std::mem::take(&mut *self.works.lock());
            let count = works.len();
            works.into_iter().for_each(|work| work());
            count
        }
    }

    impl Tasks for Reluctant {
        fn spawn_boxed(&self, name: &'static str, task: TaskFuture) -> Task {
            self.tasks.spawn_boxed(name, task)
        }

        fn blocking(&self, _name: &'static str, work: Box<dyn FnOnce() + Send>) -> TaskFuture {
            self.works.lock().push(work);
            std::future::ready(()).boxed()
        }

        fn worker(&self, name: String, start: WorkerStart) -> Task {
            self.tasks.worker(name, start)
        }

        fn thread_time(&self) -> std::time::Duration {
            self.tasks.thread_time()
        }
    }

    fn machine() -> Machine {
        machine_of(SHARD, Host::system(), Arc::new(Semaphore::new(1)))
    }

    fn machine_of(shard: ShardId, host: Host, permits: Arc<Semaphore>) -> Machine {
        let identity = Identity {
            cluster_id: "test".to_owned(),
            node: NodeId(1),
            instance: "first".to_owned(),
            shards: 1,
            founding: Default::default(),
        };
        let store = Arc::new(ModelDisk::new(identity).open().unwrap());
        Machine::new(Arc::new(Replica::new(shard)), store, host, permits)
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
    async fn a_snapshot_that_is_written_late_never_replaces_a_newer_one() {
        let (mut leader, mut follower) = (machine(), machine());
        apply(&leader, 9);
        leader.get_snapshot_builder().await.build_snapshot().await.unwrap();

        apply(&follower, 1);
        let late = follower.get_snapshot_builder().await;
        let permit = late.permit().await.unwrap();
        let (view, meta) = late.capture();
        let installed = newest(&mut leader).await;
        // Installing one takes no permit, or a replica could wait for what waits for it.
        follower.install_snapshot(&installed.meta, installed.snapshot).await.unwrap();
        // The log up to 9 may be purged from here on.
        late.write(view, &meta, permit).await.unwrap();
        assert_eq!(newest(&mut follower).await.meta.last_log_id, Some(id(9)));

        // What is newer still takes its place.
        apply(&follower, 10);
        follower.get_snapshot_builder().await.build_snapshot().await.unwrap();
        assert_eq!(newest(&mut follower).await.meta.last_log_id, Some(id(10)));
    }

    #[tokio::test]
    async fn shards_that_are_due_together_write_one_snapshot_after_the_other() {
        let (tasks, permits) = (Reluctant::new(), Arc::new(Semaphore::new(1)));
        let host = Host { tasks: tasks.clone(), ..Host::system() };
        let mut builds = FuturesUnordered::new();
        let mut machines = Vec::new();
        for shard in (1..=5).map(ShardId) {
            let mut machine = machine_of(shard, host.clone(), permits.clone());
            apply(&machine, 1);
            let mut builder = machine.get_snapshot_builder().await;
            machines.push(machine);
            builds.push(async move { builder.build_snapshot().await });
        }
        for applied in 1..=machines.len() as u64 {
            assert!(poll!(builds.next()).is_pending(), "none is written yet");
            machines.iter().for_each(|machine| apply(machine, applied + 1));
            assert_eq!(tasks.work(), 1, "snapshots that are written at once");
            let built = builds.next().await.expect("one is left").unwrap();
            // It holds what was applied before its turn came, and nothing that came after.
            assert_eq!(built.meta.last_log_id, Some(id(applied)));
        }
        assert!(builds.is_empty());
        assert_eq!(permits.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_snapshot_that_waits_for_its_turn_is_given_up_when_its_replica_ends() {
        let permits = Arc::new(Semaphore::new(1));
        let mut machine = machine_of(SHARD, Host::system(), permits.clone());
        let turn = permits.clone().acquire_owned().await.unwrap();
        let mut builder = machine.get_snapshot_builder().await;
        let mut build = Box::pin(builder.build_snapshot());
        assert!(poll!(&mut build).is_pending());
        machine.replica.snapshots().end();
        assert!(matches!(poll!(build), Poll::Ready(Err(_))));
        drop(turn);
        // Nor is one begun from here on.
        assert!(machine.get_snapshot_builder().await.build_snapshot().await.is_err());
        assert!(machine.get_current_snapshot().await.unwrap().is_none());
        assert_eq!(permits.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_snapshot_whose_turn_comes_on_a_disk_that_has_filled_up_waits_until_it_is_admitted() {
        let permits = Arc::new(Semaphore::new(1));
        let mut machine = machine_of(SHARD, Host::system(), permits.clone());
        apply(&machine, 1);
        let replica = machine.replica.clone();
        let turn = permits.clone().acquire_owned().await.unwrap();
        let mut builder = machine.get_snapshot_builder().await;
        let mut build = Box::pin(builder.build_snapshot());
        assert!(poll!(&mut build).is_pending());
        replica.snapshots().suspend(true);
        drop(turn);
        assert!(poll!(&mut build).is_pending());
        assert_eq!(permits.available_permits(), 1, "others need not wait for it");
        assert!(machine.try_create_snapshot_builder(false).await.is_none());
        let admission = replica.snapshots().admit();
        build.await.unwrap();
        drop(admission);
        assert!(machine.get_current_snapshot().await.unwrap().is_some());
        assert_eq!(permits.available_permits(), 1);
    }

    #[tokio::test]
    async fn a_snapshot_that_is_being_written_while_its_node_leaves_is_never_there() {
        let mut machine = machine();
        apply(&machine, 1);
        let late = machine.get_snapshot_builder().await;
        let permit = late.permit().await.unwrap();
        let (view, meta) = late.capture();
        machine.newest().end();
        assert!(late.write(view, &meta, permit).await.is_err());
        assert!(machine.get_current_snapshot().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_log_that_was_purged_is_nothing_without_a_snapshot_that_reaches_so_far() {
        let mut machine = machine().after(Some(id(7)));
        apply(&machine, 7);
        let refused = |error: io::Error| {
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            error.to_string()
        };
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        assert!(machine.get_current_snapshot().await.unwrap().is_some());
        machine.purged = Some(id(8));
        let words = refused(machine.get_current_snapshot().await.err().expect("it is too old"));
        assert!(words.contains("shard 1") && words.contains("ends at entry 7"), "{words}");
        machine.store.remove_snapshot(SHARD).unwrap();
        let words = refused(machine.get_current_snapshot().await.err().expect("there is none"));
        assert!(words.contains("shard 1") && words.contains("no snapshot"), "{words}");
        machine.purged = None;
        assert!(machine.get_current_snapshot().await.unwrap().is_none());
    }
}
