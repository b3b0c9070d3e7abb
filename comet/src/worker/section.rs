//! Section: some of a room's members on one worker, and the pushes that wait to be written to all of them in one piece.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use orrery_comet_core::{Batch, Encoded};
use orrery_model::Address;
use orrery_model::message::WhenFull;
use slab::Slab;

use super::coalescing::Busy;
use crate::connection::Connection;
use crate::outbox::OutboxLimits;

/// Members of one room on one worker who are written to at one moment.
pub(crate) struct Section {
    room: Address,
    /// Which of the room's sections it was when it was made: its moment.
    number: usize,
    members: RefCell<Slab<Member>>,
    waiting: RefCell<Vec<Waiting>>,
    /// Bytes of the messages that wait.
    bytes: Cell<usize>,
    pub(super) busy: Busy,
    /// Whether the worker knows that something waits here.
    known: Cell<bool>,
}

struct Member {
    connection: Rc<Connection>,
    /// The first of the waiting pushes that it is to have with all others. Those before came before it did, or it
    /// has them already.
    from: Cell<usize>,
    /// Whether its outbox has been full since the section was last written: it gets nothing of what waits.
    full: Cell<bool>,
}

/// A push to a room that waits for the moment at which all of them are written.
#[derive(Clone)]
pub(crate) struct Waiting {
    /// Its place among all that waited on this worker.
    pub(crate) number: u64,
    pub(crate) encoded: Arc<Encoded>,
}

impl Section {
    pub(crate) fn new(room: Address, number: usize) -> Self {
        Self {
            room,
            number,
            members: RefCell::default(),
            waiting: RefCell::default(),
            bytes: Cell::default(),
            busy: Busy::default(),
            known: Cell::default(),
        }
    }

    pub(super) fn number(&self) -> usize {
        self.number
    }

    pub(crate) fn room(&self) -> &Address {
        &self.room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.borrow().is_empty()
    }

    /// Members.
    pub(super) fn members(&self) -> usize {
        self.members.borrow().len()
    }

    /// Adds a member, whom pushes reach from now on; gives its slot.
    pub(crate) fn join(&self, connection: Rc<Connection>) -> usize {
        let from = Cell::new(self.waiting.borrow().len());
        let full = Cell::new(connection.is_full());
        self.members.borrow_mut().insert(Member { connection, from, full })
    }

    pub(super) fn leave(&self, slot: usize) {
        self.members.borrow_mut().try_remove(slot);
    }

    /// Has a push wait; gives how many members are sure to get it, and how many have no room for it, with whom what is
    /// to be done then is done.
    pub(crate) fn wait(&self, waiting: Waiting, when_full: WhenFull) -> (usize, usize) {
        let mut all = self.waiting.borrow_mut();
        let mut full = 0;
        let len = waiting.encoded.message().body.len().max(1);
        self.each(|member| {
            if member.full.get() && member.connection.is_full() {
                member.connection.make_room(len, when_full);
            }
            if member.full.get() && !member.connection.is_full() {
                // It has made room meanwhile: from here on it gets what waits.
                member.full.set(false);
                member.from.set(all.len());
            }
            if member.full.get() {
                member.connection.had_no_room();
                full += 1;
            }
        });
        self.bytes.set(self.bytes.get() + waiting.encoded.message().body.len());
        all.push(waiting);
        (self.members() - full, full)
    }

    /// Whether the worker has yet to be told that something waits here, which it is now.
    pub(super) fn become_known(&self) -> bool {
        !self.known.replace(true)
    }

    /// Whether a push of so many bytes may wait too.
    pub(super) fn has_room(&self, bytes: usize, limits: OutboxLimits) -> bool {
        self.waiting.borrow().len() < limits.frames && self.bytes.get() + bytes <= limits.bytes
    }

    pub(super) fn waits(&self) -> bool {
        !self.waiting.borrow().is_empty()
    }

    /// Whether something waits that this member does not have yet.
    pub(crate) fn waits_for(&self, slot: usize) -> bool {
        let waiting = self.waiting.borrow().len();
        self.members.borrow().get(slot).is_some_and(|member| member.from.get() < waiting)
    }

    /// Gives what waits to one member before all others.
    pub(crate) fn take_for(&self, slot: usize, taken: &mut Vec<Waiting>) {
        let waiting = self.waiting.borrow();
        if let Some(member) = self.members.borrow().get(slot)
            && !member.full.get()
        {
            taken.extend_from_slice(&waiting[member.from.replace(waiting.len())..]);
        }
    }

    /// The worker has looked at what waits here, and need be told again.
    pub(super) fn forget(&self) {
        self.known.set(false);
    }

    /// Pushes all that waits to every member; gives how many pushes that were.
    pub(crate) fn write(&self) -> usize {
        {
            let waiting = self.waiting.borrow();
            let batch = Batch::new(waiting.iter().map(|waiting| &*waiting.encoded).collect());
            self.each(|member| {
                if member.full.get() {
                    return;
                }
                // What its other rooms have for it came in between.
                match member.from.get() > 0 || member.connection.waits_elsewhere(self) {
                    true => member.connection.take_waiting_now(),
                    false => member.connection.push_batch(&batch),
                }
            });
        }
        let written = self.waiting.take();
        self.bytes.set(0);
        self.each(|member| {
            member.from.set(0);
            member.full.set(member.connection.is_full());
        });
        written.len()
    }

    /// Pushes to each member by itself, now that nothing waits.
    pub(super) fn push_to_each(&self, mut push: impl FnMut(&Connection)) {
        self.each(|member| {
            push(&member.connection);
            member.full.set(member.connection.is_full());
        });
    }

    fn each(&self, act: impl FnMut(&Member)) {
        self.members.borrow().iter().map(|(_, member)| member).for_each(act);
    }
}
