//! Audience: whom a paced broadcast speaks of in its receipt, and how many of them still wait for their turn.

use std::collections::BTreeSet;

use orrery_model::{Conn, Id};

use super::Connections;

/// Those who were connected when it began. Who comes meanwhile may be reached as well, and takes nobody's turn.
#[derive(Debug, Default)]
pub(super) struct Audience {
    /// The last of them. The numbers of a worker's connections rise.
    last: Option<Conn>,
    /// Those that had a number by then and were not connected yet: as many as may shake hands at a time, at most.
    binding: BTreeSet<Conn>,
    waiting: u32,
}

impl Audience {
    /// Those of a namespace who are connected now.
    pub(super) fn of(connections: &Connections, namespace: Option<&Id>) -> Self {
        let mut audience = Self::default();
        for connection in connections.iter() {
            if connection.is_in(namespace) {
                audience.add(connection.conn());
            } else if !connection.is_ready() {
                audience.binding.insert(connection.conn());
            }
        }
        audience
    }

    fn add(&mut self, conn: Conn) {
        self.last = self.last.max(Some(conn));
        self.waiting = self.waiting.saturating_add(1);
    }

    /// How many had no turn yet.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting
    }

    /// A connection that it is for has its turn: how many wait less.
    pub(super) fn had_turn(&mut self, conn: Conn) -> u32 {
        let was_there = Some(conn) <= self.last && !self.binding.contains(&conn);
        let one = u32::from(was_there).min(self.waiting);
        self.waiting -= one;
        one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_while_it_is_under_way_takes_nobodys_turn() {
        let mut audience = Audience::default();
        [256, 768, 1024].map(Conn).into_iter().for_each(|conn| audience.add(conn));
        audience.binding.insert(Conn(512));
        assert_eq!(audience.had_turn(Conn(256)), 1);
        assert_eq!(audience.had_turn(Conn(512)), 0, "it was being bound");
        // In the slot of one that went.
        assert_eq!(audience.had_turn(Conn(1280)), 0, "it came later");
        assert_eq!(audience.had_turn(Conn(1024)), 1);
        assert_eq!(audience.waiting(), 1, "the one that went is never heard of");
    }
}
