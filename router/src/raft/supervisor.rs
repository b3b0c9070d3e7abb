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
    loop {
        let (term, leader) = {
            let now = leadership.borrow_and_update();
            (now.vote.leader_id.term, now.current_leader)
        };
        tracing::info!(%shard, term, leader, "shard leadership");
        // Every core that ends closes this, a panicking one without a last word.
        if leadership.changed().await.is_err() {
            break;
        }
    }
    let reason = match group.raft.metrics().borrow_watched().running_state.clone() {
        Err(fatal) => format!("the core of shard {shard} ended: {fatal}"),
        Ok(()) => format!("the core of shard {shard} panicked"),
    };
    failure.report(reason);
}
