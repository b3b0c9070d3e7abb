//! Connections: those of one worker, by slot and by number.

use std::collections::HashMap;
use std::rc::Rc;

use orrery_model::Conn;
use slab::Slab;

use super::turn::Turn;
use crate::connection::{Connection, Wrote};

/// The connections of one worker.
#[derive(Default)]
pub(crate) struct Connections {
    slots: Slab<Rc<Connection>>,
    by_conn: HashMap<Conn, usize>,
}

/// How much is written before others have their turn, at most; that of the last connection is not cut.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Go {
    pub(crate) connections: usize,
    pub(crate) bytes: usize,
}

/// What came of writing to some.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// To how many.
    pub(crate) connections: usize,
    pub(crate) bytes: usize,
    /// Whether the kernel took not all of what was for one of them.
    pub(super) is_blocked: bool,
}

impl Connections {
    /// Adds a connection; gives its slot.
    pub(crate) fn insert(&mut self, connection: Rc<Connection>) -> usize {
        let conn = connection.conn();
        let slot = self.slots.insert(connection);
        self.by_conn.insert(conn, slot);
        slot
    }

    /// The same under another number.
    #[cfg(test)]
    pub(crate) fn insert_as(&mut self, conn: Conn, connection: Rc<Connection>) -> usize {
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

    /// Writes to those who asked.
    pub(crate) fn write(&self, turn: &Turn, go: Go) -> Written {
        let mut written = Written::default();
        for slot in std::iter::from_fn(|| turn.next()).take(go.connections) {
            // Whoever asked may be gone, and another one in its place.
            let Some(connection) = self.at(slot) else { continue };
            written.connections += 1;
            let (wrote, bytes) = connection.write();
            written.is_blocked |= wrote == Wrote::Blocked;
            written.bytes += bytes;
            if written.bytes >= go.bytes {
                break;
            }
        }
        written
    }
}
