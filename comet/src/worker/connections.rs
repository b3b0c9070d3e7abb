//! Connections: those of one worker, by slot and by number.

use std::collections::HashMap;
use std::rc::Rc;

use orrery_model::Conn;
use slab::Slab;

use crate::connection::Connection;

/// The connections of one worker.
#[derive(Default)]
pub(crate) struct Connections {
    slots: Slab<Rc<Connection>>,
    by_conn: HashMap<Conn, usize>,
}

impl Connections {
    /// Adds a connection; gives its slot.
    pub(crate) fn insert(&mut self, connection: Rc<Connection>) -> usize {
        let conn = connection.conn();
        let slot = self.slots.insert(connection);
        self.by_conn.insert(conn, slot);
        slot
    }

    pub(crate) fn remove(&mut self, slot: usize, conn: Conn) {
        self.by_conn.remove(&conn);
        self.slots.try_remove(slot);
    }

    pub(crate) fn get(&self, conn: Conn) -> Option<&Rc<Connection>> {
        self.by_conn.get(&conn).and_then(|slot| self.slots.get(*slot))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rc<Connection>> {
        self.slots.iter().map(|(_, connection)| connection)
    }

    /// Slots in use or free: one more than the highest slot there can be.
    pub(crate) fn slots(&self) -> usize {
        self.slots.capacity()
    }

    pub(crate) fn at(&self, slot: usize) -> Option<&Rc<Connection>> {
        self.slots.get(slot)
    }
}
