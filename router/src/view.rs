//! View: what this node knows of the cluster, from its own replica of the control shard or, before that
//! has anything, from the plan that the cluster begins with. Everybody on the node looks at the same one.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_model::cluster::{Node, NodeState, Placed, Placement};
use orrery_model::control::Found;
use orrery_model::{NodeId, ShardId, SlotTable};
use orrery_router_core::control::Control;
use tokio::sync::watch;

use crate::plan;
use crate::raft::replica::Replica;

/// The cluster, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The control shard says so; before, it is only planned.
    pub(crate) learnt: bool,
    /// All nodes, removed ones too.
    pub(crate) nodes: BTreeMap<NodeId, (Node, NodeState)>,
    pub(crate) placements: BTreeMap<ShardId, Placement>,
    pub(crate) placed: BTreeMap<ShardId, Placed>,
    /// The version that all nodes speak.
    pub(crate) protocol: u32,
    pub(crate) table: Option<Arc<SlotTable>>,
}

impl View {
    /// What a plan says, where there is one.
    fn planned(found: Option<&Found>) -> Self {
        let Some(found) = found else { return Self { protocol: 1, ..Self::default() } };
        let active = |node: &Node| (node.id, (node.clone(), NodeState::Active));
        let place = |shard| (shard, plan::placement(found, shard));
        Self {
            learnt: false,
            nodes: found.nodes.iter().map(active).collect(),
            placements: plan::shards(found).into_iter().map(place).collect(),
            placed: BTreeMap::new(),
            protocol: found.nodes.iter().map(|node| node.protocol).min().unwrap_or(1),
            table: None,
        }
    }

    /// What the control shard says, once it says anything.
    pub(crate) fn learnt(control: &Control) -> Option<Self> {
        let found = control.found()?;
        let by_shard = |placement: &Placement| (placement.shard, placement.clone());
        let nodes = control.nodes().map(|(node, state)| (node.id, (node.clone(), state)));
        let placed = |shard| control.placed(shard).map(|placed| (shard, placed.clone()));
        Some(Self {
            learnt: true,
            nodes: nodes.collect(),
            placements: control.placements().map(by_shard).collect(),
            placed: control.shards().filter_map(placed).collect(),
            protocol: control.protocol(),
            table: Some(Arc::new(found.table.clone())),
        })
    }

    /// A node that was not removed, and what is wanted of it.
    pub(crate) fn member(&self, node: NodeId) -> Option<(&Node, NodeState)> {
        let (node, state) = self.nodes.get(&node)?;
        (*state != NodeState::Removed).then_some((node, *state))
    }

    /// The nodes that were not removed.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|(_, state)| *state != NodeState::Removed).map(|(node, _)| node)
    }

    /// Whether a shard's replica should be on a node.
    pub(crate) fn places(&self, shard: ShardId, node: NodeId) -> bool {
        self.placements.get(&shard).is_some_and(|placement| placement.replicas.contains(&node))
    }

    /// Who should lead a shard: whom to ask where nobody else knows.
    pub(crate) fn preferred_leader(&self, shard: ShardId) -> Option<NodeId> {
        self.placements.get(&shard)?.replicas.first().copied()
    }
}

/// The newest view, for all who look at it or wait for it to change.
#[derive(Debug, Clone)]
pub(crate) struct Views(watch::Sender<Arc<View>>);

impl Views {
    /// The view that a node begins with.
    pub(crate) fn new(plan: Option<&Found>) -> Self {
        Self(watch::Sender::new(Arc::new(View::planned(plan))))
    }

    /// One that stays as it is.
    #[cfg(test)]
    pub(crate) fn fixed(view: View) -> Self {
        Self(watch::Sender::new(Arc::new(view)))
    }

    /// The newest one.
    pub(crate) fn now(&self) -> Arc<View> {
        self.0.borrow().clone()
    }

    /// To wait for the next one.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<View>> {
        self.0.subscribe()
    }

    /// Looks at the control shard's replica again.
    pub(crate) fn refresh(&self, control: &Replica) {
        let Some(view) = control.control(|control, _| View::learnt(control)) else { return };
        self.0.send_if_modified(|held| {
            let changed = **held != view;
            if changed {
                *held = Arc::new(view);
            }
            changed
        });
    }

    /// Follows the control shard's replica. Runs until it is dropped.
    pub(crate) async fn follow(self, control: Arc<Replica>) {
        let mut applied = control.watch_applied();
        loop {
            applied.mark_unchanged();
            self.refresh(&control);
            if applied.changed().await.is_err() {
                return;
            }
        }
    }
}
