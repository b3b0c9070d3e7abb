//! Replicas: the moves that take them off leaving nodes and spread them evenly.

use orrery_model::NodeId;
use orrery_model::cluster::NodeState;
use orrery_model::control::ControlCommand;

use super::layout::{Index, Layout};
use crate::limits::SHARDS_MOVING_MAX;

/// The moves that may begin now.
pub(super) fn moves(layout: &mut Layout) -> Vec<ControlCommand> {
    let mut steps = Vec::new();
    for index in 0..layout.shards().len() {
        if layout.moving() >= SHARDS_MOVING_MAX {
            return steps;
        }
        let next = match layout.shards()[index].is_settled {
            true => needed(layout, index),
            false => redirected(layout, index),
        };
        steps.extend(next.map(|replicas| layout.place(index, replicas)));
    }
    if layout.moving() == 0 {
        steps.extend(evened(layout).map(|(index, replicas)| layout.place(index, replicas)));
    }
    steps
}

/// Another way for a move that is stuck: a replica that has no vote yet is not live, or leaves.
fn redirected(layout: &Layout, index: Index) -> Option<Vec<NodeId>> {
    let shard = &layout.shards()[index];
    let replicas = &shard.placement.replicas;
    let is_lost = |id: &NodeId| !layout.is_live(*id) || layout.is(*id, NodeState::Leaving);
    let lost = shard.newcomers().find(is_lost)?;
    // Back to whom it was to take over from needs no copying.
    let back = shard.goers().find(|id| layout.is_live(*id) && layout.staying().any(|s| s == *id));
    if let Some(node) = back.or_else(|| layout.taker(replicas)) {
        return Some(exchanged(replicas, lost, node));
    }
    // It was to be one more than before: then it stays as before.
    let is_growing = shard.goers().next().is_none() && replicas.len() > 1;
    is_growing.then(|| without(replicas, lost))
}

/// What a settled shard needs: to get off a leaving node, or as many replicas as it had once.
fn needed(layout: &Layout, index: Index) -> Option<Vec<NodeId>> {
    let shard = &layout.shards()[index];
    let replicas = &shard.placement.replicas;
    let taker = layout.taker(replicas);
    let leaving = replicas.iter().copied().find(|id| layout.is(*id, NodeState::Leaving));
    let next = match (leaving, taker) {
        (Some(leaving), Some(taker)) => exchanged(replicas, leaving, taker),
        // As long as some other node stays in the cluster it is waited for: it may come back, or be
        // active again. Only where there are fewer nodes than replicas does the shard shrink.
        (Some(leaving), None) => {
            let others = || layout.staying().filter(|id| !replicas.contains(id));
            let stays = replicas.iter().any(|id| layout.staying().any(|s| s == *id));
            if others().next().is_some() || !stays {
                return None;
            }
            without(replicas, leaving)
        }
        (None, Some(taker)) if replicas.len() < shard.replicas_first => {
            replicas.iter().copied().chain([taker]).collect()
        }
        (None, _) => return None,
    };
    layout.may_become(index, &next).then_some(next)
}

/// The move from the fullest active node to the emptiest one that evens most out, as long as one of them
/// has two more than the other: every such move brings them nearer.
fn evened(layout: &Layout) -> Option<(Index, Vec<NodeId>)> {
    let nodes = layout.by_replicas();
    for (full, most) in nodes.iter().rev() {
        let emptier = nodes.iter().take_while(|(_, least)| least + 2 <= *most);
        for (empty, _) in emptier.filter(|(id, _)| layout.takes(*id)) {
            let movable = (0..layout.shards().len()).filter_map(|index| {
                let replicas = &layout.shards()[index].placement.replicas;
                let place = replicas.iter().position(|id| id == full)?;
                if replicas.contains(empty) {
                    return None;
                }
                let next = exchanged(replicas, *full, *empty);
                // Nobody asked for this move, so it waits for all who stay to be there.
                let all_live = next.iter().all(|id| layout.is_live(*id));
                (all_live && layout.may_become(index, &next)).then_some((place, index, next))
            });
            // A replica that should not lead moves without moving a leader.
            if let Some((_, index, next)) = movable.max_by_key(|(place, index, _)| (*place, *index))
            {
                return Some((index, next));
            }
        }
    }
    None
}

fn exchanged(replicas: &[NodeId], old: NodeId, new: NodeId) -> Vec<NodeId> {
    replicas.iter().map(|id| if *id == old { new } else { *id }).collect()
}

fn without(replicas: &[NodeId], gone: NodeId) -> Vec<NodeId> {
    replicas.iter().copied().filter(|id| *id != gone).collect()
}
