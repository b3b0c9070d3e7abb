//! Control: the control shard, which holds the cluster itself and the lives of its comets.
//!
//! Every change of a comet's life is one [`FenceEvent`] at the next position. Data shards read the events
//! after their cursor and write them into their own logs, so an event is kept until a
//! [`ControlCommand::Trim`] says that all of them have it.

mod answered;
mod checks;
mod snapshot;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use orrery_model::control::{
    Attach, Comet, ControlBatch, ControlCommand, ControlOutcome, ControlRefusal, ControlReply,
    FenceEvent, Found,
};
use orrery_model::{CometId, CometRef, Incarnation};

pub use self::snapshot::{ControlRestoreError, ControlSnapshot};

use self::answered::{Answered, Judgement};
use crate::limits::EVENTS_PAGE_MAX;

/// The control shard's state machine.
#[derive(Debug, Clone)]
pub struct Control {
    next_incarnation: Incarnation,
    next_position: u64,
    elapsed_ms: u64,
    found: Option<Arc<Found>>,
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
        }
    }

    /// How the cluster was founded, once it was.
    pub fn found(&self) -> Option<&Found> {
        self.found.as_deref()
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
                self.found = Some(Arc::new(found.clone()));
                Ok(ControlOutcome::Done)
            }
        }
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
