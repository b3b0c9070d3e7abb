//! Presence: tells the cluster who this node is now, and that it lives.

use std::sync::Arc;

use orrery_model::ShardId;
use orrery_model::cluster::NodeState;
use orrery_model::control::ControlCommand;
use seeded_bugs::{Bug, is};
use tokio::time::{Instant, sleep};

use crate::desk::{Desk, DeskError};
use crate::limits::{REPORT_PERIOD, REPORT_TIMEOUT};
use crate::reports::Report;
use crate::shards::Shards;
use crate::surroundings::Surroundings;

/// Reports to the control shard's leader, and has what the cluster knows of this node brought up to date.
/// Ends the node where it was removed. Runs until it is dropped.
pub(crate) async fn run(around: Surroundings, shards: Arc<Shards>, desk: Arc<Desk>) {
    let mut room = around.room.watch();
    loop {
        room.mark_unchanged();
        if let Err(reason) = check(&around) {
            around.failure.report(reason);
            return;
        }
        introduce(&around, &desk).await;
        let deadline = Instant::now() + REPORT_TIMEOUT;
        match desk.report(report(&shards), deadline).await {
            Ok(()) => {}
            Err(DeskError::ShutOut(why)) if why.starts_with("REMOVED_NODE") => {
                around.failure.report(format!("this node was removed from the cluster ({why})"));
                return;
            }
            Err(DeskError::ShutOut(why)) => {
                tracing::warn!(why, "another node does not talk to this one");
            }
            Err(error) => tracing::debug!(%error, "not reported"),
        }
        tokio::select! {
            biased;
            // That the disk is full is said at once.
            changed = room.changed() => if changed.is_err() { return },
            () = sleep(REPORT_PERIOD) => {}
        }
    }
}

/// What the cluster knows of this node and would end it.
fn check(around: &Surroundings) -> Result<(), String> {
    let view = around.views.now();
    match view.nodes.get(&around.me()).filter(|_| view.learnt) {
        Some((_, NodeState::Removed)) => Err("this node was removed from the cluster".to_owned()),
        Some((held, _)) if held.instance != around.node.instance && !is(Bug::NodeIdReused) => {
            Err(format!(
                "node {} is known with another data directory (instance {}): a lost disk comes back \
                 under a new node id",
                around.me(),
                held.instance
            ))
        }
        _ => Ok(()),
    }
}

/// What this node has to say of itself.
pub(crate) fn report(shards: &Shards) -> Report {
    let cursor = |shard: &Arc<crate::shard::DataShard>| -> (ShardId, u64) {
        (shard.id(), shard.replica().registry(|registry, _| registry.cursor()))
    };
    let cursors = shards.data().iter().map(cursor).collect();
    Report { cursors, ..Report::default() }
}

/// Says what has changed about this node since the cluster last heard.
async fn introduce(around: &Surroundings, desk: &Desk) {
    let view = around.views.now();
    let known = view.member(around.me()).map(|(node, _)| node).filter(|_| view.learnt);
    // With the bug it would be refused, and the node end after all.
    if known.is_none_or(|known| *known == *around.node || is(Bug::NodeIdReused)) {
        return;
    }
    let command = ControlCommand::UpdateNode((*around.node).clone());
    let deadline = Instant::now() + REPORT_TIMEOUT;
    match desk.write(command, deadline).await {
        Ok(()) => tracing::info!(node = %around.me(), "the cluster knows this node's addresses"),
        Err(DeskError::Refused(refusal)) => {
            around.failure.report(format!("the cluster refuses this node: {refusal}"));
        }
        // Said again with the next report.
        Err(error) => tracing::debug!(%error, "not introduced yet"),
    }
}
