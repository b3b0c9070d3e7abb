//! Member: a connection's places in its worker's lists. Its drop takes the connection out of them all.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use orrery_model::{Address, Id};

use super::{Connection, Membership};
use crate::presence::Profile;
use crate::worker::Worker;

/// A connection among its worker's connections and rooms.
pub(super) struct Member {
    pub(super) worker: Rc<Worker>,
    pub(super) connection: Rc<Connection>,
    profile: Option<Arc<Profile>>,
}

impl Member {
    pub(super) fn new(worker: Rc<Worker>, connection: Rc<Connection>) -> Self {
        let slot = worker.connections.borrow_mut().insert(connection.clone());
        connection.slot.set(slot);
        Self { worker, connection, profile: None }
    }

    /// Says who the device is and puts it into its first rooms.
    pub(super) fn identify(&mut self, profile: Arc<Profile>, rooms: &BTreeSet<Id>) {
        self.profile = Some(profile);
        self.join(rooms);
    }

    /// Room pushes that arrive from now on reach it.
    pub(super) fn join(&mut self, rooms: &BTreeSet<Id>) {
        let new = rooms - &self.rooms();
        for id in new {
            if let Some(address) = self.room(&id) {
                let (section, slot) =
                    self.worker.rooms.borrow_mut().join(address, self.connection.clone());
                let mut rooms = self.connection.rooms.borrow_mut();
                // Most devices are in one room for as long as they live.
                rooms.reserve_exact(1);
                rooms.push(Membership { id, section, slot });
            }
        }
    }

    /// Takes it out of all rooms but these. It gets what was pushed to them before.
    pub(super) fn retain(&mut self, rooms: &BTreeSet<Id>) {
        self.connection.take_waiting();
        let mut all = self.worker.rooms.borrow_mut();
        self.connection.rooms.borrow_mut().retain(|Membership { id, section, slot }| {
            let stays = rooms.contains(id);
            if !stays {
                all.leave(section, *slot);
            }
            stays
        });
    }

    /// The rooms it is in on this worker.
    pub(super) fn rooms(&self) -> BTreeSet<Id> {
        self.connection.rooms.borrow().iter().map(|membership| membership.id.clone()).collect()
    }

    /// The address of the only room of a goim connection.
    pub(super) fn only_room(&self) -> Option<Address> {
        let rooms = self.connection.rooms.borrow();
        rooms.first().map(|membership| membership.section.room().clone())
    }

    fn room(&self, id: &Id) -> Option<Address> {
        self.profile.as_ref().map(|profile| profile.room(id))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.retain(&BTreeSet::new());
        self.connection.retire();
        let (slot, conn) = (self.connection.slot.get(), self.connection.conn());
        self.worker.connections.borrow_mut().remove(slot, conn);
    }
}
