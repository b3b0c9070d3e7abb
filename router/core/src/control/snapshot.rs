//! Snapshot of the control shard: its records in a fixed order, and the way back.

use std::sync::Arc;

use orrery_model::control::{Comet, FenceEvent, Found};
use orrery_model::record::ControlRecord;
use orrery_model::{CometId, CometRef, Incarnation};

use super::Control;
use super::answered::Answer;
use crate::digest::Digest;

/// The control shard's state at one moment.
#[derive(Debug, Clone)]
pub struct ControlSnapshot(Control);

impl ControlSnapshot {
    pub(super) fn of(control: Control) -> Self {
        Self(control)
    }

    /// The state's records: the head, how the cluster was founded, comets, answered attaches, events,
    /// fences. Equal states give equal records.
    pub fn records(&self) -> impl Iterator<Item = ControlRecord> + '_ {
        let control = &self.0;
        let head = ControlRecord::Head {
            next_incarnation: control.next_incarnation,
            next_position: control.next_position,
            elapsed_ms: control.elapsed_ms,
        };
        let found = control.found().cloned().map(ControlRecord::Found);
        let comets = control.comets().cloned().map(ControlRecord::Comet);
        let answered = control.answered.iter().map(|(incarnation, answer)| {
            let comet = CometRef { id: answer.comet.clone(), incarnation };
            let Answer { instance, attempt, position, .. } = answer.clone();
            ControlRecord::Answered { comet, instance, attempt, position }
        });
        let events = control.events.iter().cloned().map(ControlRecord::Event);
        let fences = control
            .fences
            .iter()
            .map(|(comet, fence)| ControlRecord::Fence { comet: comet.clone(), fence: *fence });
        std::iter::once(head).chain(found).chain(comets).chain(answered).chain(events).chain(fences)
    }

    /// See [`Control::digest`].
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        self.records().for_each(|record| feed(&mut digest, &record));
        digest.finish()
    }
}

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
    /// An event is not after the one before it.
    #[error("fence event {position} is out of order")]
    EventOutOfOrder {
        /// Its position.
        position: u64,
    },
}

impl Control {
    /// Builds the control shard that [`ControlSnapshot::records`] described.
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
}

fn feed(digest: &mut Digest, record: &ControlRecord) {
    match record {
        ControlRecord::Head { next_incarnation, next_position, elapsed_ms } => {
            digest.number(1).number(next_incarnation.0).number(*next_position).number(*elapsed_ms);
        }
        ControlRecord::Found(found) => feed_found(digest.number(2), found),
        ControlRecord::Comet(comet) => feed_comet(digest.number(3), comet),
        ControlRecord::Answered { comet, instance, attempt, position } => {
            digest.number(4).comet(comet).text(instance).number(*attempt).number(*position);
        }
        ControlRecord::Event(event) => {
            digest.number(5).number(event.position).id(&event.comet).number(event.fence.0);
        }
        ControlRecord::Fence { comet, fence } => {
            digest.number(6).id(comet).number(fence.0);
        }
    }
}

fn feed_found(digest: &mut Digest, found: &Found) {
    digest.text(&found.cluster_id).number(found.nodes.len() as u64);
    for node in &found.nodes {
        digest.number(node.id.0).text(&node.registry).text(&node.peers);
    }
    digest.number(found.table.epoch);
    for owner in found.table.owners() {
        digest.number(owner.0.into());
    }
}

fn feed_comet(digest: &mut Digest, comet: &Comet) {
    let Comet { comet, instance, attempt, advertise, attached_at_ms } = comet;
    digest.comet(comet).text(instance).number(*attempt).number(*attached_at_ms);
    digest.text(&advertise.delivery).text(&advertise.hostname);
    digest.number(advertise.addresses.len() as u64);
    for address in &advertise.addresses {
        digest.text(address);
    }
    digest.text(&advertise.region).text(&advertise.zone).text(&advertise.env);
    digest.number(advertise.weight.into());
}
