//! Supervisor: watches one shard's core. A core that ended by itself (its disk failed, or it panicked)
//! never comes back, and a node that serves only some of its shards would look alive: it stops.

use std::sync::Arc;

use openraft::async_runtime::watch::WatchReceiver as _;

use super::group::Group;
use crate::failure::Failure;

/// Watches a group until its core ends, and reports that.
pub(crate) async fn supervise(group: Arc<Group>, failure: Failure) {
    tokio::join!(group.recover(), watch(&group, &failure));
}

async fn watch(group: &Group, failure: &Failure) {
    let shard = group.shard();
    let mut leadership = group.raft.server_metrics();
    let mut told = None;
    loop {
        let known = {
            let now = leadership.borrow_and_update();
            now.current_leader.map(|leader| (now.vote.leader_id.term, leader))
        };
        // Members change without it.
        if let Some((term, leader)) = known.filter(|_| known != told) {
            tracing::info!(%shard, term, leader, "shard leadership");
            told = known;
        }
        // Every core that ends closes this, a panicking one without a last word.
        if leadership.changed().await.is_err() {
            break;
        }
    }
    let reason = match group.raft.metrics().borrow_watched().running_state.clone() {
        // Not by what the core says of its end: one whose state machine is gone says that it was stopped.
        _ if group.is_ending() => return,
        Err(fatal) => format!("the core of shard {shard} ended: {fatal}"),
        Ok(()) => format!("the core of shard {shard} panicked"),
    };
    failure.report(reason);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use orrery_host::Host;
    use orrery_model::{NodeId, ShardId};
    use orrery_router_store::model::ModelDisk;
    use orrery_router_store::{Identity, Store};
    use tokio::sync::Semaphore;
    use tokio::time::timeout;

    use super::*;
    use crate::config::Config;
    use crate::log_writer::{LogWriter, LogWriterTask};
    use crate::metrics::Metrics;
    use crate::peers::{Links, Me};
    use crate::raft::group::Ground;

    async fn group(failure: &Failure) -> (Arc<Group>, LogWriterTask) {
        let identity = Identity {
            cluster_id: "test".to_owned(),
            node: NodeId(1),
            instance: "first".to_owned(),
            shards: 1,
            founding: Default::default(),
        };
        let me = Me {
            cluster_id: "test".to_owned(),
            node: NodeId(1),
            instance: "first".to_owned(),
            protocol: 2,
            instance_of: Default::default(),
        };
        let host = Host::system();
        let store: Arc<dyn Store> = Arc::new(ModelDisk::new(identity).open().unwrap());
        let metrics = Metrics::default().log();
        let (log_writer, writing) =
            LogWriter::start(store.clone(), &host.tasks, failure.clone(), metrics);
        let peers = Links::new(host.clone(), me, Default::default(), |_| None);
        let snapshot_permits = Arc::new(Semaphore::new(1));
        let ground = Ground { store, host, log_writer, peers, snapshot_permits };
        let group = Group::open(&Config::default(), ShardId(1), ground).await.unwrap();
        (Arc::new(group), writing)
    }

    /// openraft's metrics go on saying that it runs.
    #[tokio::test]
    async fn a_core_that_panicked_is_noticed_and_named() {
        let failure = Failure::new();
        let (group, _writing) = group(&failure).await;
        let panic = group.raft.external_request(|_| panic!("a panic was asked for"));
        panic.await.unwrap();
        let supervised = supervise(group.clone(), failure.clone());
        timeout(Duration::from_secs(20), supervised).await.expect("it is noticed");
        let reason = failure.reason().expect("it is reported");
        assert_eq!(&*reason, "the core of shard 1 panicked");
    }

    #[tokio::test]
    async fn a_core_that_is_ended_on_purpose_is_no_failure() {
        let failure = Failure::new();
        let (group, _writing) = group(&failure).await;
        group.shutdown().await;
        let supervised = supervise(group.clone(), failure.clone());
        timeout(Duration::from_secs(20), supervised).await.expect("it is noticed");
        assert_eq!(failure.reason(), None);
    }
}
