//! Layout: nodes, replicas and votes as a plan sees them, with the steps already planned taken as done.

use std::collections::{BTreeMap, BTreeSet};

use orrery_model::cluster::{NodeState, PLACED_VERSION_PROTOCOL, Placed, Placement};
use orrery_model::control::ControlCommand;
use orrery_model::{NodeId, ShardId};

use crate::control::Control;

pub(super) struct Layout {
    nodes: BTreeMap<NodeId, NodeView>,
    /// In order of the shards.
    shards: Vec<ShardView>,
}

#[derive(Clone, Copy)]
struct NodeView {
    state: NodeState,
    is_live: bool,
    /// It takes no more replicas now.
    is_unfit: bool,
    /// Placements that name it.
    replicas: usize,
}

/// A shard's place in the layout.
pub(super) type Index = usize;

pub(super) struct ShardView {
    pub(super) placement: Placement,
    /// Replicas it had when the cluster was founded: with fewer it grows back.
    pub(super) replicas_first: usize,
    voters: Vec<NodeId>,
    /// Its members are those of the placement.
    pub(super) is_settled: bool,
}

impl Layout {
    pub(super) fn of(control: &Control, live: &BTreeSet<NodeId>, unfit: &BTreeSet<NodeId>) -> Self {
        let present = control.nodes().filter(|(_, state)| *state != NodeState::Removed);
        let view = |id, state| NodeView {
            state,
            is_live: live.contains(&id),
            is_unfit: unfit.contains(&id),
            replicas: 0,
        };
        let nodes = present.map(|(node, state)| (node.id, view(node.id, state))).collect();
        let shards = control.placements().map(|placement| ShardView::of(control, placement));
        let shards: Vec<_> = shards.collect();
        let mut layout = Self { nodes, shards };
        layout.count();
        layout
    }

    fn count(&mut self) {
        self.nodes.values_mut().for_each(|node| node.replicas = 0);
        for replica in self.shards.iter().flat_map(|shard| &shard.placement.replicas) {
            if let Some(node) = self.nodes.get_mut(replica) {
                node.replicas += 1;
            }
        }
    }

    pub(super) fn shards(&self) -> &[ShardView] {
        &self.shards
    }

    /// Shards on their way to their placement.
    pub(super) fn moving(&self) -> usize {
        self.shards.iter().filter(|shard| self.is_moving(shard)).count()
    }

    fn is_moving(&self, shard: &ShardView) -> bool {
        let newcomers_live = shard.newcomers().all(|id| self.is_live(id));
        !shard.is_settled && newcomers_live && self.is_majority_live(&shard.voters)
    }

    /// Whether a shard can go from its placement to these replicas now: both sides of the change have a
    /// majority that is live.
    pub(super) fn may_become(&self, index: Index, replicas: &[NodeId]) -> bool {
        let shard = &self.shards[index];
        shard.is_settled && self.is_majority_live(&shard.voters) && self.is_majority_live(replicas)
    }

    fn is_majority_live(&self, voters: &[NodeId]) -> bool {
        let live = voters.iter().filter(|id| self.is_live(**id)).count();
        live > voters.len() / 2
    }

    pub(super) fn is_live(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.is_live)
    }

    /// Whether a node can take one more replica: it is live and fit.
    pub(super) fn takes(&self, id: NodeId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.is_live && !node.is_unfit)
    }

    pub(super) fn is(&self, id: NodeId, state: NodeState) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.state == state)
    }

    /// Active and draining nodes.
    pub(super) fn staying(&self) -> impl Iterator<Item = NodeId> {
        let stays = |node: &NodeView| node.state != NodeState::Leaving;
        self.nodes.iter().filter(move |(_, node)| stays(node)).map(|(id, _)| *id)
    }

    /// The active nodes with the number of their replicas, the emptiest first. Among equals the latest
    /// comer is first: see [`super::replace`].
    pub(super) fn by_replicas(&self) -> Vec<(NodeId, usize)> {
        let active = self.nodes.iter().filter(|(_, node)| node.state == NodeState::Active);
        let mut active: Vec<_> = active.map(|(id, node)| (*id, node.replicas)).collect();
        active.sort_by_key(|(id, replicas)| (*replicas, std::cmp::Reverse(*id)));
        active
    }

    /// The node that takes one more replica best: active, live, fit, not among `replicas`, the emptiest.
    pub(super) fn taker(&self, replicas: &[NodeId]) -> Option<NodeId> {
        let nodes = self.by_replicas().into_iter().map(|(id, _)| id);
        nodes.filter(|id| self.takes(*id)).find(|id| !replicas.contains(id))
    }

    /// Plans the next placement of a shard.
    pub(super) fn place(&mut self, index: Index, replicas: Vec<NodeId>) -> ControlCommand {
        let shard = &mut self.shards[index];
        shard.placement = shard.next(replicas);
        shard.is_settled = false;
        let step = ControlCommand::Place(shard.placement.clone());
        self.count();
        step
    }
}

impl ShardView {
    fn of(control: &Control, placement: &Placement) -> Self {
        let first = control.first_replicas(placement.shard).unwrap_or_default();
        let replicas_first = first.len();
        let placed = control.placed(placement.shard);
        // While its leader has said nothing it is where it began.
        let voters = placed.map_or(first, |placed| placed.voters.clone());
        let is_settled =
            is_answered(control, placement) && placed.is_some_and(|p| is_settled(placement, p));
        Self { placement: placement.clone(), replicas_first, voters, is_settled }
    }

    /// Replicas that have no vote yet.
    pub(super) fn newcomers(&self) -> impl Iterator<Item = NodeId> {
        let replicas = self.placement.replicas.iter();
        replicas.filter(|id| !self.voters.contains(id)).copied()
    }

    /// Nodes that still have the vote which they should lose.
    pub(super) fn goers(&self) -> impl Iterator<Item = NodeId> {
        self.voters.iter().filter(|id| !self.placement.replicas.contains(id)).copied()
    }

    pub(super) fn next(&self, replicas: Vec<NodeId>) -> Placement {
        let Placement { shard, version, .. } = self.placement;
        Placement { shard, version: version + 1, replicas }
    }
}

/// Whether the shard's leader has told of its members since it knows this placement: before, it may be on
/// its way to any that was wanted in between.
pub(super) fn is_answered(control: &Control, placement: &Placement) -> bool {
    match control.placed(placement.shard) {
        // It is where it began.
        None => placement.version == 1,
        Some(Placed { version: Some(version), .. }) => *version == placement.version,
        // While some node speaks an older version nobody can say; from then on everybody does, soon.
        Some(_) => control.protocol() < PLACED_VERSION_PROTOCOL,
    }
}

fn is_settled(placement: &Placement, placed: &Placed) -> bool {
    let set = |nodes: &[NodeId]| nodes.iter().copied().collect::<BTreeSet<_>>();
    let follows = placement.shard != ShardId::CONTROL && !placed.learners.is_empty();
    set(&placement.replicas) == set(&placed.voters) && !follows
}
