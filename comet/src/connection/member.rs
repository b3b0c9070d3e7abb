//! Member: a connection's places in its worker's lists. Its drop takes the connection out of them all.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use orrery_model::{Address, Id};

use super::Connection;
use crate::presence::Profile;
use crate::worker::Worker;

/// A connection among its worker's connections and rooms.
pub(super) struct Member {
    worker: Rc<Worker>,
    connection: Rc<Connection>,
    /// Its slot in the worker's list of connections.
    slot: usize,
    profile: Option<Arc<Profile>>,
    /// Its slot in each of its rooms.
    rooms: BTreeMap<Id, usize>,
}

impl Member {
    pub(super) fn new(worker: Rc<Worker>, connection: Rc<Connection>) -> Self {
        let slot = worker.connections.borrow_mut().insert(connection.clone());
        Self { worker, connection, slot, profile: None, rooms: BTreeMap::new() }
    }

    /// Says who the device is and puts it into its first rooms.
    pub(super) fn identify(&mut self, profile: Arc<Profile>) {
        let rooms = profile.rooms.clone();
        self.profile = Some(profile);
        self.join(&rooms);
    }

    /// Room pushes that arrive from now on reach it.
    pub(super) fn join(&mut self, rooms: &BTreeSet<Id>) {
        for id in rooms {
            if !self.rooms.contains_key(id)
                && let Some(room) = self.room(id)
            {
                let slot = self.worker.rooms.borrow_mut().join(room, self.connection.clone());
                self.rooms.insert(id.clone(), slot);
            }
        }
    }

    /// Takes it out of all rooms but these.
    pub(super) fn retain(&mut self, rooms: &BTreeSet<Id>) {
        let left: Vec<Id> = self.rooms.keys().filter(|id| !rooms.contains(*id)).cloned().collect();
        for id in left {
            if let (Some(room), Some(slot)) = (self.room(&id), self.rooms.remove(&id)) {
                self.worker.rooms.borrow_mut().leave(&room, slot);
            }
        }
    }

    /// The rooms it is in on this worker.
    pub(super) fn rooms(&self) -> BTreeSet<Id> {
        self.rooms.keys().cloned().collect()
    }

    /// The address of the only room of a goim connection.
    pub(super) fn only_room(&self) -> Option<Address> {
        self.rooms.keys().next().and_then(|id| self.room(id))
    }

    fn room(&self, id: &Id) -> Option<Address> {
        self.profile.as_ref().map(|profile| profile.room(id))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.retain(&BTreeSet::new());
        self.connection.retire();
        self.worker.connections.borrow_mut().remove(self.slot, self.connection.conn());
    }
}
