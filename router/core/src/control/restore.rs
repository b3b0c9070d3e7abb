//! Restore: the control shard that a snapshot's records describe, or why they describe none.

use std::sync::Arc;

use orrery_model::cluster::{NodeState, Placed, Placement};
use orrery_model::control::{Comet, FenceEvent};
use orrery_model::record::ControlRecord;
use orrery_model::{CometId, CometRef, Incarnation, NodeId, ShardId};

use super::answered::Answer;
use super::placements::all_shards;
use super::{Control, checks};

/// Why records do not make a control shard. The same records never will.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlRestoreError {
    /// The first record is not a head.
    #[error("the records do not begin with a head")]
    NoHead,
    /// There is a second head, or a second account of the founding.
    #[error("the records hold {0} twice")]
    Twice(&'static str),
    /// A comet has two records of one kind.
    #[error("the records hold {comet} twice")]
    CometTwice {
        /// The comet as the second record names it.
        comet: CometRef,
    },
    /// A living comet's attach is not among the answered ones, or its fence is another.
    #[error("the life of {comet} is not the one it was last given")]
    WrongLife {
        /// The comet.
        comet: CometRef,
    },
    /// An incarnation or event that the counters have yet to give.
    #[error("{what} {number} lies ahead of its counter")]
    AheadOfCounter {
        /// What is counted.
        what: &'static str,
        /// The number.
        number: u64,
    },
    /// A node has two records.
    #[error("the records hold node {node} twice")]
    NodeTwice {
        /// Its number.
        node: NodeId,
    },
    /// A shard has two records of one kind.
    #[error("the records hold {what} of shard {shard} twice")]
    ShardTwice {
        /// Which kind.
        what: &'static str,
        /// The shard.
        shard: ShardId,
    },
    /// Nodes or placements without an account of the founding.
    #[error("the records hold a cluster that was not founded")]
    NotFounded,
    /// A node that the cluster was founded with is missing.
    #[error("the records lack node {node}, with which the cluster was founded")]
    NodeMissing {
        /// Its number.
        node: NodeId,
    },
    /// A shard of the table has no placement.
    #[error("the records lack the placement of shard {shard}")]
    PlacementMissing {
        /// The shard.
        shard: ShardId,
    },
    /// The placement or the report of a shard that is not in the table, or one that no command makes.
    #[error("the records place shard {shard} as no command can")]
    WrongPlacement {
        /// The shard.
        shard: ShardId,
    },
    /// An event is not after the one before it.
    #[error("fence event {position} is out of order")]
    EventOutOfOrder {
        /// Its position.
        position: u64,
    },
}

impl Control {
    /// Builds the control shard that [`ControlSnapshot::records`](super::ControlSnapshot::records) described.
    ///
    /// # Errors
    /// [`ControlRestoreError`] when the records are not those of a snapshot; do not retry.
    pub fn restore(
        records: impl IntoIterator<Item = ControlRecord>,
    ) -> Result<Self, ControlRestoreError> {
        let mut records = records.into_iter();
        let Some(ControlRecord::Head { next_incarnation, next_position, elapsed_ms }) =
            records.next()
        else {
            return Err(ControlRestoreError::NoHead);
        };
        let mut control = Self { next_incarnation, next_position, elapsed_ms, ..Self::new() };
        for record in records {
            control.take(record)?;
        }
        control.check_lives()?;
        control.check_cluster()?;
        Ok(control)
    }

    fn take(&mut self, record: ControlRecord) -> Result<(), ControlRestoreError> {
        match record {
            ControlRecord::Head { .. } => return Err(ControlRestoreError::Twice("a head")),
            ControlRecord::Found(found) => {
                if self.found.replace(Arc::new(found)).is_some() {
                    return Err(ControlRestoreError::Twice("the founding"));
                }
            }
            ControlRecord::Comet(comet) => self.take_comet(comet)?,
            ControlRecord::Answered { comet, instance, attempt, position } => {
                self.check_counter(comet.incarnation)?;
                let answer = Answer { comet: comet.id.clone(), instance, attempt, position };
                if !self.answered.restore(comet.incarnation, answer) {
                    return Err(ControlRestoreError::CometTwice { comet });
                }
            }
            ControlRecord::Event(event) => self.take_event(event)?,
            ControlRecord::Fence { comet, fence } => self.take_fence(comet, fence)?,
            ControlRecord::Node { node, state } => {
                let id = node.id;
                if !self.nodes.restore(node, state) {
                    return Err(ControlRestoreError::NodeTwice { node: id });
                }
            }
            ControlRecord::Placement(placement) => {
                let shard = placement.shard;
                if !self.placements.restore(placement) {
                    return Err(ControlRestoreError::ShardTwice { what: "the placement", shard });
                }
            }
            ControlRecord::Placed(placed) => {
                let shard = placed.shard;
                if !self.placements.restore_placed(placed) {
                    return Err(ControlRestoreError::ShardTwice { what: "the members", shard });
                }
            }
        }
        Ok(())
    }

    fn take_comet(&mut self, comet: Comet) -> Result<(), ControlRestoreError> {
        self.check_counter(comet.comet.incarnation)?;
        let name = comet.comet.clone();
        match self.comets.insert(name.id.clone(), Arc::new(comet)) {
            Some(_) => Err(ControlRestoreError::CometTwice { comet: name }),
            None => Ok(()),
        }
    }

    fn take_event(&mut self, event: FenceEvent) -> Result<(), ControlRestoreError> {
        let FenceEvent { position, .. } = event;
        if position >= self.next_position {
            return Err(ControlRestoreError::AheadOfCounter { what: "position", number: position });
        }
        if self.events.back().is_some_and(|last| last.position >= position) {
            return Err(ControlRestoreError::EventOutOfOrder { position });
        }
        self.events.push_back(event);
        Ok(())
    }

    fn take_fence(
        &mut self,
        comet: CometId,
        fence: Incarnation,
    ) -> Result<(), ControlRestoreError> {
        match Arc::make_mut(&mut self.fences).insert(comet.clone(), fence) {
            Some(_) => {
                let comet = CometRef { id: comet, incarnation: fence };
                Err(ControlRestoreError::CometTwice { comet })
            }
            None => Ok(()),
        }
    }

    fn check_counter(&self, incarnation: Incarnation) -> Result<(), ControlRestoreError> {
        if incarnation < self.next_incarnation {
            return Ok(());
        }
        let number = incarnation.0;
        Err(ControlRestoreError::AheadOfCounter { what: "incarnation", number })
    }

    fn check_lives(&self) -> Result<(), ControlRestoreError> {
        for comet in self.comets.values() {
            let CometRef { id, incarnation } = &comet.comet;
            let answered = self.answered.iter().any(|(given, answer)| {
                given == *incarnation
                    && answer.comet == *id
                    && answer.instance == comet.instance
                    && answer.attempt == comet.attempt
            });
            if !answered || self.fences.get(id) != Some(incarnation) {
                return Err(ControlRestoreError::WrongLife { comet: comet.comet.clone() });
            }
        }
        Ok(())
    }

    fn check_cluster(&mut self) -> Result<(), ControlRestoreError> {
        let is_untold = self.nodes.is_empty() && self.placements.is_empty();
        let Some(found) = self.found.clone() else {
            return if is_untold { Ok(()) } else { Err(ControlRestoreError::NotFounded) };
        };
        if is_untold {
            // The build for a single node kept neither: its cluster is still as it was founded.
            self.begin((*found).clone());
        }
        if let Some(node) = found.nodes.iter().find(|node| self.node(node.id).is_none()) {
            return Err(ControlRestoreError::NodeMissing { node: node.id });
        }
        let shards = all_shards(&found);
        if let Some(shard) = shards.iter().find(|shard| self.placement(**shard).is_none()) {
            return Err(ControlRestoreError::PlacementMissing { shard: *shard });
        }
        let is_wrong = |p: &&Placement| !shards.contains(&p.shard) || !self.is_possible(p);
        let placements = self.placements().filter(is_wrong).map(|placement| placement.shard);
        let reports = self.placements.iter_placed().filter(|placed| !self.is_reportable(placed));
        match placements.chain(reports.map(|placed| placed.shard)).next() {
            Some(shard) => Err(ControlRestoreError::WrongPlacement { shard }),
            None => Ok(()),
        }
    }

    fn is_possible(&self, placement: &Placement) -> bool {
        let is_member =
            |id: &NodeId| self.node(*id).is_some_and(|(_, state)| state != NodeState::Removed);
        placement.version > 0
            && checks::check_replicas(&placement.replicas).is_ok()
            && placement.replicas.iter().all(is_member)
    }

    fn is_reportable(&self, placed: &Placed) -> bool {
        let mut members = placed.voters.iter().chain(&placed.learners);
        self.placement(placed.shard).is_some()
            && checks::check_placed(placed).is_ok()
            && members.all(|id| self.node(*id).is_some())
    }
}
