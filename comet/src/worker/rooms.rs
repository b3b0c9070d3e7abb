//! Rooms: those that have members on one worker.

use std::collections::HashMap;
use std::rc::Rc;

use orrery_model::Address;

use super::room::Room;
use crate::connection::Connection;

/// The rooms of one worker; one without members is absent.
#[derive(Default)]
pub(crate) struct Rooms(HashMap<Address, Rc<Room>>);

impl Rooms {
    /// Adds a member; gives the room and the member's slot there.
    pub(crate) fn join(
        &mut self,
        address: Address,
        connection: Rc<Connection>,
    ) -> (Rc<Room>, usize) {
        let new = || Rc::new(Room::new(address.clone()));
        let room = self.0.entry(address.clone()).or_insert_with(new).clone();
        let slot = room.join(connection);
        (room, slot)
    }

    /// Takes a member out.
    pub(crate) fn leave(&mut self, room: &Room, slot: usize) {
        room.leave(slot);
        if room.is_empty() {
            self.0.remove(room.address());
        }
    }

    pub(crate) fn get(&self, address: &Address) -> Option<&Rc<Room>> {
        self.0.get(address)
    }
}
