//! Founding: what makes empty shards a cluster. Runs at every start and does only what is missing.

use std::sync::Arc;

use bytes::Bytes;
use orrery_model::control::{ControlCommand, ControlRefusal, Found};
use orrery_model::{NodeId, ShardId};
use tokio::time::{Instant, sleep, timeout};

use crate::failure::Failure;
use crate::limits::{LOOK_AGAIN, UPKEEP_PAUSE, UPKEEP_TIMEOUT};
use crate::plan;
use crate::raft::group::Group;
use crate::shard::ControlShard;
use crate::shards::Shards;
use crate::view::View;

/// Begins the shards that the plan has this node begin, and wakes those that are this node alone.
///
/// # Errors
/// When a shard's core has ended.
pub(crate) async fn initialize(
    shards: &Shards,
    plan: Option<&Found>,
    me: NodeId,
) -> std::io::Result<()> {
    for group in shards.groups() {
        if !group.is_pristine().await? {
            group.elect_if_alone().await?;
        } else if let Some(members) = plan.and_then(|plan| first_members(plan, group.shard(), me)) {
            begin(&group, &members).await?;
        }
    }
    Ok(())
}

async fn begin(group: &Group, members: &[(NodeId, String)]) -> std::io::Result<()> {
    tracing::info!(shard = %group.shard(), members = members.len(), "the shard begins");
    match group.initialize(members).await {
        // Somebody's call for votes came first, which none but a member can send: it has begun.
        Err(_) if !group.is_pristine().await? => Ok(()),
        begun => begun,
    }
}

/// The members that a shard begins with, where this node is the one to begin it: the first of them.
/// Only ever one node does, and only while its own log and vote are empty: a disk that was lost comes
/// back under another node id, and one that left the shard has kept its vote.
fn first_members(plan: &Found, shard: ShardId, me: NodeId) -> Option<Vec<(NodeId, String)>> {
    let replicas = plan::placement(plan, shard).replicas;
    if replicas.first() != Some(&me) {
        return None;
    }
    let address = |id: &NodeId| {
        let node = plan.nodes.iter().find(|node| node.id == *id)?;
        Some((*id, node.peers.clone()))
    };
    replicas.iter().map(address).collect()
}

/// Who is to begin a shard that nobody has begun, as far as is known here. Nobody else ever does: should that
/// node's disk be lost before, the cluster stays without the shard.
pub(crate) fn awaited(group: &Group, view: &View, founding: &Bytes) -> Option<NodeId> {
    let shard = group.shard();
    let members = group.members();
    let begun = view.placed.contains_key(&shard)
        || !members.learners.is_empty()
        || members.voters.iter().any(|voters| !voters.is_empty());
    if begun {
        return None;
    }
    let plan = plan::decode(founding).ok().flatten()?;
    plan::placement(&plan, shard).replicas.first().copied()
}

/// Founds the cluster when this node leads the control shard and nobody has. Runs until it is founded.
pub(crate) async fn found(
    control: Arc<ControlShard>,
    plan: Option<Found>,
    cluster_id: String,
    failure: Failure,
) {
    let mut applied = control.replica().watch_applied();
    loop {
        applied.mark_unchanged();
        if let Some(theirs) = founded_as(&control) {
            if theirs != cluster_id {
                failure.report(format!("the log belongs to the cluster {theirs}"));
            }
            return;
        }
        let leads = control.group().leading_term().is_some();
        if let Some(plan) = plan.as_ref().filter(|_| leads) {
            if let Err(refusal) = propose(&control, plan).await {
                failure.report(format!("the cluster cannot be founded: {refusal}"));
                return;
            }
            sleep(UPKEEP_PAUSE).await;
            continue;
        }
        // Becoming leader is followed by an entry; should that be missed, it is looked at again.
        let _ = timeout(LOOK_AGAIN, applied.changed()).await;
    }
}

fn founded_as(control: &ControlShard) -> Option<String> {
    control.replica().control(|control, _| control.found().map(|found| found.cluster_id.clone()))
}

async fn propose(control: &ControlShard, plan: &Found) -> Result<(), ControlRefusal> {
    let deadline = Instant::now() + UPKEEP_TIMEOUT;
    // Only what is confirmed to be the newest state can say that there is no cluster yet.
    if control.confirm(deadline).await.is_err() || founded_as(control).is_some() {
        return Ok(());
    }
    let command = ControlCommand::Found(plan.clone());
    match control.write_in_turn(command, deadline).await.map(|written| written.reply) {
        // Somebody was faster; the next look tells whether it was one of us.
        Ok(Err(ControlRefusal::AlreadyFounded { .. })) => Ok(()),
        Ok(Err(refusal)) => Err(refusal),
        // Founded, or in doubt: the next look tells.
        Ok(Ok(_)) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use orrery_model::cluster::{Node, Placement};

    use super::*;

    #[test]
    fn only_the_first_replica_begins_a_shard() {
        let node = |id| Node {
            id: NodeId(id),
            registry: format!("r{id}"),
            peers: format!("p{id}"),
            instance: format!("i{id}"),
            protocol: 2,
        };
        let replicas = vec![NodeId(2), NodeId(1)];
        let plan = Found {
            nodes: vec![node(1), node(2)],
            placements: vec![Placement { shard: ShardId(1), version: 1, replicas }],
            ..plan::alone("one".to_owned(), node(1), 1)
        };
        assert_eq!(first_members(&plan, ShardId(1), NodeId(1)), None);
        let members = vec![(NodeId(2), "p2".to_owned()), (NodeId(1), "p1".to_owned())];
        assert_eq!(first_members(&plan, ShardId(1), NodeId(2)), Some(members));
        assert_eq!(first_members(&plan, ShardId(1), NodeId(3)), None);
    }
}
