//! Control: the control shard, which holds the cluster itself and the lives of its comets.
//!
//! Every change of a comet's life is one [`FenceEvent`] at the next position. Data shards read the events
//! after their cursor and write them into their own logs, so an event is kept until a
//! [`ControlCommand::Trim`] says that all of them have it.

mod answered;
mod checks;
mod nodes;
mod placements;
mod restore;
mod snapshot;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use orrery_model::cluster::{Node, NodeState, Placed, Placement};
use orrery_model::control::{
    Attach, Comet, ControlBatch, ControlCommand, ControlOutcome, ControlRefusal, ControlReply,
    FenceEvent, Found,
};
use orrery_model::{CometId, CometRef, Incarnation, NodeId, ShardId};

pub use self::checks::check_found;
pub use self::restore::ControlRestoreError;
pub use self::snapshot::ControlSnapshot;

use self::answered::{Answered, Judgement};
use self::nodes::Nodes;
use self::placements::{Placements, first_replicas};
use crate::limits::EVENTS_PAGE_MAX;

/// The control shard's state machine.
#[derive(Debug, Clone)]
pub struct Control {
    next_incarnation: Incarnation,
    next_position: u64,
    elapsed_ms: u64,
    found: Option<Arc<Found>>,
    nodes: Nodes,
    placements: Placements,
    /// The living comets.
    comets: BTreeMap<CometId, Arc<Comet>>,
    answered: Answered,
    /// In order of position.
    events: VecDeque<FenceEvent>,
    /// The fence of every comet that ever lived: what a data shard founded later must begin with.
    fences: Arc<BTreeMap<CometId, Incarnation>>,
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}

/// How a comet stands in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It lives.
    Living,
    /// This life has ended; attach again.
    Ended,
    /// Another instance has attached under the same id since: this one must end itself.
    Superseded,
}

impl Control {
    /// A control shard before the cluster is founded.
    pub fn new() -> Self {
        Self {
            next_incarnation: Incarnation(1),
            next_position: 1,
            elapsed_ms: 0,
            found: None,
            nodes: Nodes::default(),
            placements: Placements::default(),
            comets: BTreeMap::new(),
            answered: Answered::default(),
            events: VecDeque::new(),
            fences: Arc::default(),
        }
    }

    /// Applies one log entry and returns one reply for each of its commands.
    pub fn apply(&mut self, batch: &ControlBatch) -> Vec<ControlReply> {
        self.elapsed_ms = self.elapsed_ms.max(batch.elapsed_ms);
        batch.commands.iter().map(|command| self.apply_command(command, batch.wall_ms)).collect()
    }

    fn apply_command(&mut self, command: &ControlCommand, wall_ms: u64) -> ControlReply {
        match command {
            ControlCommand::Found(found) => self.found_cluster(found),
            _ if self.found.is_none() => Err(ControlRefusal::NotFounded),
            ControlCommand::Attach(attach) => self.attach(attach, wall_ms),
            ControlCommand::Expire(comet) => Ok(self.expire(comet)),
            ControlCommand::Trim { position } => Ok(self.trim(*position)),
            ControlCommand::AddNode(node) => self.nodes.add(node),
            ControlCommand::UpdateNode(node) => self.nodes.update(node),
            ControlCommand::SetNodeState { node, state } => {
                let holds = self.held_by(*node);
                self.nodes.set_state(*node, *state, holds)
            }
            ControlCommand::Place(placement) => self.placements.place(placement, &self.nodes),
            ControlCommand::Placed(placed) => self.placements.report(placed, &self.nodes),
        }
    }

    /// How the cluster was founded, once it was.
    pub fn found(&self) -> Option<&Found> {
        self.found.as_deref()
    }

    /// The nodes that the cluster has and has had, in order, and what it wants of each.
    pub fn nodes(&self) -> impl Iterator<Item = (&Node, NodeState)> {
        self.nodes.iter()
    }

    /// A node, also one that was removed, and what the cluster wants of it.
    pub fn node(&self, id: NodeId) -> Option<(&Node, NodeState)> {
        self.nodes.get(id)
    }

    /// All shards in order, the control shard first; none before the cluster is founded.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.placements().map(|placement| placement.shard)
    }

    /// Where the replicas of each shard should be, in order of the shards.
    pub fn placements(&self) -> impl Iterator<Item = &Placement> {
        self.placements.iter()
    }

    /// Where a shard's replicas should be.
    pub fn placement(&self, shard: ShardId) -> Option<&Placement> {
        self.placements.get(shard)
    }

    /// Where a shard's replicas are, once its leader has said so.
    pub fn placed(&self, shard: ShardId) -> Option<&Placed> {
        self.placements.placed(shard)
    }

    /// Where a shard's replicas were when the cluster was founded.
    pub fn first_replicas(&self, shard: ShardId) -> Option<Vec<NodeId>> {
        self.placement(shard)?;
        self.found().map(|found| first_replicas(found, shard))
    }

    /// The first of the shards that keep a node from being removed: it holds a replica or should, or nobody
    /// knows, since the shard's leader has not answered to its newest placement yet.
    pub fn held_by(&self, node: NodeId) -> Option<ShardId> {
        self.placements.held_by(node, self.found()?)
    }

    /// The version of the protocol that every node speaks which is not removed; 1 before the cluster
    /// is founded.
    pub fn protocol(&self) -> u32 {
        self.nodes.protocol()
    }

    /// Whether every node knows this kind of command, so that it may be proposed. Before there is a
    /// cluster that is for the nodes to say with which it would be founded.
    pub fn proposable(&self, command: &ControlCommand) -> bool {
        let spoken = match command {
            ControlCommand::Found(found) if self.found.is_none() => {
                Nodes::begin(&found.nodes).protocol()
            }
            _ => self.protocol(),
        };
        command.protocol() <= spoken
    }

    /// The living comets in order of their ids.
    pub fn comets(&self) -> impl Iterator<Item = &Comet> {
        self.comets.values().map(Arc::as_ref)
    }

    /// The comet under this id, if it lives.
    pub fn comet(&self, id: &CometId) -> Option<&Comet> {
        self.comets.get(id).map(Arc::as_ref)
    }

    /// How a comet stands in one of its lives.
    pub fn standing(&self, comet: &CometRef) -> Standing {
        if self.comet(&comet.id).is_some_and(|living| living.comet == *comet) {
            return Standing::Living;
        }
        match self.answered.is_superseded(comet) {
            true => Standing::Superseded,
            false => Standing::Ended,
        }
    }

    /// The fence events after `position` that are still kept, in order: at most `limit` of them, and
    /// never more than [`EVENTS_PAGE_MAX`].
    pub fn events_after(&self, position: u64, limit: usize) -> Vec<FenceEvent> {
        let first = self.events.partition_point(|event| event.position <= position);
        self.events.range(first..).take(limit.min(EVENTS_PAGE_MAX)).cloned().collect()
    }

    /// The position of the last fence event; 0 before the first.
    pub fn last_position(&self) -> u64 {
        self.next_position - 1
    }

    /// The log time: the largest elapsed time applied, in milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        self.elapsed_ms
    }

    /// The state at this moment; what is written later does not change it.
    pub fn snapshot(&self) -> ControlSnapshot {
        ControlSnapshot::of(self.clone())
    }

    /// A number that is equal on replicas whose states are equal.
    pub fn digest(&self) -> u64 {
        self.snapshot().digest()
    }

    fn found_cluster(&mut self, found: &Found) -> ControlReply {
        match &self.found {
            Some(held) if **held == *found => Ok(ControlOutcome::Done),
            Some(held) => {
                Err(ControlRefusal::AlreadyFounded { cluster_id: held.cluster_id.clone() })
            }
            None => {
                checks::check_found(found)?;
                self.begin(found.clone());
                self.next_incarnation = found.counters.first_incarnation.max(Incarnation(1));
                Ok(ControlOutcome::Done)
            }
        }
    }

    /// The nodes and placements of a cluster that was founded and has not changed since.
    fn begin(&mut self, found: Found) {
        self.nodes = Nodes::begin(&found.nodes);
        self.placements = Placements::begin(&found);
        self.found = Some(Arc::new(found));
    }

    fn attach(&mut self, attach: &Attach, wall_ms: u64) -> ControlReply {
        checks::check_attach(attach)?;
        match self.answered.judge(attach) {
            Judgement::Repeat { incarnation, position } => {
                return Ok(ControlOutcome::Attached { incarnation, position });
            }
            Judgement::Superseded { incarnation } => {
                return Err(ControlRefusal::Superseded { incarnation });
            }
            Judgement::New => {}
        }
        let incarnation = self.next_incarnation;
        self.next_incarnation = incarnation.next();
        let position = self.fence(&attach.comet, incarnation);
        let comet = CometRef { id: attach.comet.clone(), incarnation };
        let living = Comet {
            comet,
            instance: attach.instance.clone(),
            attempt: attach.attempt,
            advertise: attach.advertise.clone(),
            attached_at_ms: wall_ms,
        };
        self.comets.insert(attach.comet.clone(), Arc::new(living));
        self.answered.insert(incarnation, attach, position);
        self.answered.forget_excess(&self.comets);
        Ok(ControlOutcome::Attached { incarnation, position })
    }

    /// Ends exactly this life; one that has ended already stays so.
    fn expire(&mut self, comet: &CometRef) -> ControlOutcome {
        if self.standing(comet) == Standing::Living {
            self.comets.remove(&comet.id);
            self.fence(&comet.id, comet.incarnation.next());
            self.answered.forget_excess(&self.comets);
        }
        ControlOutcome::Done
    }

    fn trim(&mut self, position: u64) -> ControlOutcome {
        let kept = self.events.partition_point(|event| event.position <= position);
        self.events.drain(..kept);
        ControlOutcome::Done
    }

    /// Ends every incarnation of a comet below `fence` and returns the position that says so.
    fn fence(&mut self, comet: &CometId, fence: Incarnation) -> u64 {
        let position = self.next_position;
        self.next_position += 1;
        self.events.push_back(FenceEvent { position, comet: comet.clone(), fence });
        Arc::make_mut(&mut self.fences).insert(comet.clone(), fence);
        position
    }
}
