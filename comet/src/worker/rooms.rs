//! Rooms: the members of each room on one worker.

use std::collections::HashMap;
use std::rc::Rc;

use orrery_model::Address;
use slab::Slab;

use crate::connection::Connection;

/// The rooms of one worker; one without members is absent.
#[derive(Default)]
pub(crate) struct Rooms(HashMap<Address, Slab<Rc<Connection>>>);

impl Rooms {
    /// Adds a member; gives its slot in the room.
    pub(crate) fn join(&mut self, room: Address, connection: Rc<Connection>) -> usize {
        self.0.entry(room).or_default().insert(connection)
    }

    pub(crate) fn leave(&mut self, room: &Address, slot: usize) {
        if let Some(members) = self.0.get_mut(room) {
            members.try_remove(slot);
            if members.is_empty() {
                self.0.remove(room);
            }
        }
    }

    /// The members of a room on this worker.
    pub(crate) fn members(&self, room: &Address) -> impl Iterator<Item = &Rc<Connection>> {
        self.0.get(room).into_iter().flatten().map(|(_, connection)| connection)
    }
}
