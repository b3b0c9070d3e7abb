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
