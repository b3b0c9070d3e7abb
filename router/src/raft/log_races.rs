//! A log that is read while it changes, and one that was cleared.
// Tests may unwrap.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use openraft::RaftLogReader as _;
use openraft::entry::RaftEntry as _;
use openraft::storage::{IOFlushed, RaftLogStorage as _};
use openraft::type_config::TypeConfigExt as _;
use openraft::vote::leader_id_std::CommittedLeaderId;
use orrery_host::Host;
use orrery_model::{NodeId, ShardId};
use orrery_router_store::model::ModelDisk;
use orrery_router_store::{Identity, Store as _, Write};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::entry::encode_log_id;
use super::log_store::LogStore;
use super::types::{Entry, LogId, Types};
use crate::failure::Failure;
use crate::gated_store::{Gate, GatedStore};
use crate::log_writer::{LogWriter, LogWriterTask};
use crate::metrics::Metrics;

const SHARD: ShardId = ShardId(1);
const PATIENCE: Duration = Duration::from_secs(30);

fn id(index: u64) -> LogId {
    LogId::new(CommittedLeaderId::new(1), index)
}

struct World {
    store: Arc<GatedStore>,
    writer: LogWriter,
    _writer_task: LogWriterTask,
}

impl World {
    fn new() -> Self {
        let identity = Identity {
            cluster_id: "test".to_owned(),
            node: NodeId(1),
            instance: "first".to_owned(),
            shards: 1,
            founding: Default::default(),
        };
        let disk = ModelDisk::new(identity);
        let store = Arc::new(GatedStore::new(Arc::new(disk.open().unwrap())));
        let (failure, metrics) = (Failure::new(), Metrics::default().log());
        let tasks = Host::system().tasks;
        let (writer, task) = LogWriter::start(store.clone(), &tasks, failure, metrics);
        Self { store, writer, _writer_task: task }
    }

    /// The log, nothing of which stays in memory.
    async fn open(&self) -> LogStore {
        let tasks = Host::system().tasks;
        LogStore::open(SHARD, self.store.clone(), tasks, self.writer.clone(), 0).await.unwrap()
    }

    /// The same with so many entries, all of them stored.
    async fn filled(&self, count: u64) -> LogStore {
        let mut log = self.open().await;
        let (done, stored) = Types::oneshot();
        let entries: Vec<_> = (0..count).map(|index| Entry::new_blank(id(index))).collect();
        log.append(entries, IOFlushed::<Types>::signal(done)).await.unwrap();
        stored.await.unwrap().unwrap();
        log
    }
}

async fn until_somebody_waits(gate: &Gate) {
    let wait = async {
        while gate.waiting.load(Ordering::SeqCst) == 0 {
            yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap();
}

#[tokio::test]
async fn a_read_that_a_truncation_crosses_finds_what_is_left() {
    let world = World::new();
    let mut log = world.filled(10).await;
    let mut reader = log.get_log_reader().await;
    world.store.reads.shut();
    let read = tokio::spawn(async move {
        let whole = reader.limited_get_log_entries(2, 10).await.map(|page| page.len());
        let beyond = reader.limited_get_log_entries(5, 10).await.map(|page| page.len());
        (whole, beyond)
    });
    until_somebody_waits(&world.store.reads).await;
    log.truncate_after(Some(id(4))).await.unwrap();
    world.store.reads.open();
    let (whole, beyond) = timeout(PATIENCE, read).await.unwrap().unwrap();
    assert_eq!((whole.unwrap(), beyond.unwrap()), (3, 0));
}

#[tokio::test]
async fn a_read_beyond_a_cut_that_is_not_known_yet_waits_until_it_is() {
    let world = World::new();
    let mut log = world.filled(10).await;
    let mut reader = log.get_log_reader().await;
    world.store.after_write.shut();
    let truncate = tokio::spawn(async move { log.truncate_after(Some(id(4))).await });
    until_somebody_waits(&world.store.after_write).await;
    let mut read = tokio::spawn(async move { reader.limited_get_log_entries(6, 10).await });
    let early = timeout(Duration::from_millis(100), &mut read).await;
    assert!(early.is_err(), "the store is cut and memory is not: {early:?}");
    world.store.after_write.open();
    timeout(PATIENCE, truncate).await.unwrap().unwrap().unwrap();
    assert_eq!(timeout(PATIENCE, read).await.unwrap().unwrap().unwrap().len(), 0);
}

#[tokio::test]
async fn entries_that_are_missing_without_a_reason_are_an_error() {
    let world = World::new();
    let mut log = world.filled(10).await;
    world.writer.write(SHARD, Write::TruncateAfter(Some(4))).await.unwrap();
    let mut reader = log.get_log_reader().await;
    reader.limited_get_log_entries(6, 10).await.unwrap_err();
}

#[tokio::test]
async fn what_was_committed_in_a_log_that_was_cleared_is_forgotten() {
    let world = World::new();
    let committed = Write::Committed(encode_log_id(id(7)));
    world.writer.write(SHARD, Write::Clear).await.unwrap();
    world.writer.write(SHARD, committed).await.unwrap();
    world.writer.write(ShardId(0), Write::Vote(Default::default())).await.unwrap();
    assert!(world.store.committed(SHARD).unwrap().is_some(), "left by mistake");
    assert_eq!(world.open().await.read_committed().await.unwrap(), None);
}

#[tokio::test]
async fn an_append_of_nothing_does_not_pass_those_that_wait() {
    let world = World::new();
    let mut log = world.open().await;
    let nothing = log.append(Vec::<Entry>::new(), IOFlushed::<Types>::noop()).await;
    assert_eq!(nothing.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}
