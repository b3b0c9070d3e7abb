//! Agenda: what a connection is still to do. An idle one has nothing to do, and no memory for it.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use orrery_comet_core::{Answer, Close};
use orrery_model::message::CloseReason;
use orrery_model::{Address, Id, Seq};

use crate::delivery::{Delivery, Slip};

/// What waits until it is known what the connection is called.
pub(super) enum Held {
    /// Target number so and so of a delivery.
    Target(Arc<Delivery>, usize),
    /// Pushes to a room, encoded in one piece, and how many they are.
    Room(Bytes, usize, Option<Slip>),
    /// A close by this very comet.
    Close(Address, Seq, CloseReason),
}

impl Held {
    /// Bytes that were said to be in the outbox already.
    pub(super) fn promised(&self) -> usize {
        match self {
            Self::Room(bytes, ..) => bytes.len(),
            Self::Target(..) | Self::Close(..) => 0,
        }
    }

    /// Whether nobody waits for it any more: it was said to be unknown, and late is worse than never.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, Self::Target(delivery, _) if delivery.is_late())
    }
}

/// What a connection is to do with its place in the registry.
pub(super) enum Change {
    /// Take it again under the comet's new incarnation.
    Rebind,
    /// Be in exactly this room, or in none.
    Room(Option<Id>, Answer),
    /// Be in these rooms too.
    Join(BTreeSet<Id>, Answer),
    /// Be in these rooms no longer.
    Leave(BTreeSet<Id>, Answer),
}

/// What is there to do, which is seldom anything at all.
#[derive(Default)]
pub(super) struct Agenda(RefCell<Option<Box<Points>>>);

#[derive(Default)]
struct Points {
    held: Vec<Held>,
    changes: VecDeque<Change>,
    closing: Option<Close>,
}

impl Agenda {
    /// How many things are held.
    pub(super) fn held(&self) -> usize {
        self.0.borrow().as_ref().map_or(0, |points| points.held.len())
    }

    /// Bytes held that were said to be in the outbox.
    pub(super) fn promised(&self) -> usize {
        let points = self.0.borrow();
        points.iter().flat_map(|points| &points.held).map(Held::promised).sum()
    }

    pub(super) fn hold(&self, held: Held) {
        self.points(|points| points.held.push(held));
    }

    /// Takes out all that is held.
    pub(super) fn take_held(&self) -> Vec<Held> {
        self.0
            .borrow_mut()
            .as_mut()
            .map(|points| std::mem::take(&mut points.held))
            .unwrap_or_default()
    }

    /// Changes that wait.
    pub(super) fn changes(&self) -> usize {
        self.0.borrow().as_ref().map_or(0, |points| points.changes.len())
    }

    pub(super) fn add_change(&self, change: Change) {
        self.points(|points| points.changes.push_back(change));
    }

    pub(super) fn next_change(&self) -> Option<Change> {
        self.0.borrow_mut().as_mut()?.changes.pop_front()
    }

    /// It is to be closed, so unless somebody said another way before.
    pub(super) fn close(&self, close: Close) {
        self.points(|points| _ = points.closing.get_or_insert(close));
    }

    pub(super) fn is_closing(&self) -> bool {
        self.0.borrow().as_ref().is_some_and(|points| points.closing.is_some())
    }

    pub(super) fn take_closing(&self) -> Option<Close> {
        self.0.borrow_mut().as_mut()?.closing.take()
    }

    /// Lets go of what nobody waits for any more, and of the memory where nothing is left.
    pub(super) fn tidy(&self) {
        let mut all = self.0.borrow_mut();
        let Some(points) = &mut *all else { return };
        points.held.retain(|held| !held.is_late());
        if points.held.is_empty() && points.changes.is_empty() && points.closing.is_none() {
            *all = None;
        }
    }

    fn points(&self, act: impl FnOnce(&mut Points)) {
        act(self.0.borrow_mut().get_or_insert_default());
    }
}
