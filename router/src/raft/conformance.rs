//! Conformance: openraft's own suite, run against log store and machine over the store in memory.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use orrery_host::Host;
use orrery_model::{NodeId, ShardId};
use orrery_router_store::model::ModelDisk;
use orrery_router_store::{Identity, Store};
use tokio::sync::Semaphore;

use super::log_store::LogStore;
use super::machine::Machine;
use super::replica::Replica;
use super::types::Types;
use crate::failure::Failure;
use crate::log_writer::{LogWriter, LogWriterTask};
use crate::metrics::Metrics;

struct OverModel {
    /// How many bytes of the log's tail stay in memory.
    tail_bytes: usize,
}

impl StoreBuilder<Types, LogStore, Machine, LogWriterTask> for OverModel {
    async fn build(&self) -> Result<(LogWriterTask, LogStore, Machine), StorageError<Types>> {
        let identity = Identity {
            cluster_id: "test".to_owned(),
            node: NodeId(1),
            instance: "first".to_owned(),
            shards: 1,
            founding: Default::default(),
        };
        let store: Arc<dyn Store> = Arc::new(ModelDisk::new(identity).open().unwrap());
        let host = Host::system();
        let metrics = Metrics::default().log();
        let (writer, task) = LogWriter::start(store.clone(), &host.tasks, Failure::new(), metrics);
        let shard = ShardId(1);
        let tasks = host.tasks.clone();
        let permits = Arc::new(Semaphore::new(1));
        let log = LogStore::open(shard, store.clone(), tasks, writer, self.tail_bytes);
        let machine = Machine::new(Arc::new(Replica::new(shard)), store, host, permits);
        Ok((task, log.await.unwrap(), machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes_with_the_tail_in_memory() {
    Suite::test_all(OverModel { tail_bytes: 1 << 20 }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes_with_everything_read_from_the_store() {
    Suite::test_all(OverModel { tail_bytes: 0 }).await.unwrap();
}
