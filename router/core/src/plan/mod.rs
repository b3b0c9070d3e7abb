//! Plan: what the leader of the control shard proposes next so that replicas and leaders get to where
//! they should be.
//!
//! A plan is made anew from the replicated state and from which nodes are live, every now and then and
//! by whoever leads. It holds no more than what may be done at once; what it leads to is seen in the
//! state the next time. So a lost proposal, a refused one and a change of leader need no care: every
//! step names the version it was made from. In order of urgency:
//!
//! 1. A [`NodeState::Leaving`] node that holds nothing any more is removed, once every shard's leader has
//!    answered to its newest placement.
//! 2. A move whose newcomer died before it had a vote is turned back or directed elsewhere.
//! 3. Replicas on leaving nodes move to the emptiest nodes, and shards that had to shrink grow again.
//! 4. When nothing moves, one replica moves from the fullest node to the emptiest.
//! 5. When nothing moves either way, preferred leaders are spread evenly.
//!
//! A new placement differs from the one before it in one replica at most, and is made only when the
//! shard's leader has answered to the one before ([`Placed::version`](orrery_model::cluster::Placed)): its
//! voters are the replicas, and, but for the control shard, nobody only follows. At most [`SHARDS_MOVING_MAX`](crate::limits::SHARDS_MOVING_MAX)
//! shards move at a time, not counting those that cannot go on by themselves: no majority of theirs is
//! live, or the newcomer is not.
//!
//! To replace a node, see [`replace`].

mod layout;
pub(crate) mod leaders;
mod replicas;

use std::collections::BTreeSet;

use orrery_model::cluster::{Node, NodeState};
use orrery_model::control::ControlCommand;
use orrery_model::{NodeId, ShardId};

use self::layout::{Layout, is_answered};
use crate::control::Control;

/// What to propose next; empty when all is as it should be, or nothing can be done now. `live` are the
/// nodes that answer, the caller's own among them. Of them the `unfit` ones, whose disks are below their
/// reserve or which are stopping, take no more replicas, but vote like all others.
pub fn plan(
    control: &Control,
    live: &BTreeSet<NodeId>,
    unfit: &BTreeSet<NodeId>,
) -> Vec<ControlCommand> {
    let mut layout = Layout::of(control, live, unfit);
    let mut steps = removals(control);
    steps.extend(replicas::moves(&mut layout));
    if layout.moving() == 0 {
        steps.extend(leaders::handovers(&layout));
    }
    steps
}

/// What replaces a node by a new one, the old one dead or alive.
///
/// No more than to add the one and let the other leave: replicas go to the emptiest node, and the new
/// one stays the emptiest until it has what the old one had. (Where it ties with others for the last
/// replica, the higher number is taken, which a new node as a rule has; any choice is as even.)
pub fn replace(old: NodeId, new: Node) -> [ControlCommand; 2] {
    let leave = ControlCommand::SetNodeState { node: old, state: NodeState::Leaving };
    [ControlCommand::AddNode(new), leave]
}

/// The node that should lead a shard: the first of its replicas that is active; where none is, the first
/// that is draining; else the first. Whether that one is live and has caught up is for the shard's leader
/// to see before it hands over.
pub fn preferred_leader(control: &Control, shard: ShardId) -> Option<NodeId> {
    let replicas = &control.placement(shard)?.replicas;
    let in_state = |wanted| {
        let is_wanted = |id: &&NodeId| control.node(**id).is_some_and(|(_, held)| held == wanted);
        replicas.iter().find(is_wanted)
    };
    let first = in_state(NodeState::Active).or_else(|| in_state(NodeState::Draining));
    first.or(replicas.first()).copied()
}

fn removals(control: &Control) -> Vec<ControlCommand> {
    if !control.placements().all(|placement| is_answered(control, placement)) {
        return Vec::new();
    }
    let leaving = control.nodes().filter(|(_, state)| *state == NodeState::Leaving);
    let gone = leaving.map(|(node, _)| node.id).filter(|id| control.held_by(*id).is_none());
    gone.map(|node| ControlCommand::SetNodeState { node, state: NodeState::Removed }).collect()
}
