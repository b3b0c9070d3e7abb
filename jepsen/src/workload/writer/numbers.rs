//! Numbers: a comet's own numbers for its connections, and which of them are not decided.

use std::collections::BTreeSet;

use orrery_model::Conn;

/// Hands out numbers, and knows those for which a bind of this life may still take effect.
#[derive(Debug)]
pub(super) struct Numbers {
    next: Conn,
    undecided: BTreeSet<Conn>,
}

impl Numbers {
    pub(super) fn new() -> Self {
        Self { next: Conn(1), undecided: BTreeSet::new() }
    }

    /// The number of a new connection, which is undecided.
    pub(super) fn take(&mut self) -> Conn {
        let conn = self.next;
        self.next = conn.next();
        self.undecided.insert(conn);
        conn
    }

    /// A bind of the connection may be under way again.
    pub(super) fn doubt(&mut self, conn: Conn) {
        self.undecided.insert(conn);
    }

    /// No bind of the connection may still take effect.
    pub(super) fn decide(&mut self, conn: Conn) {
        self.undecided.remove(&conn);
    }

    /// A new life begins, in which these have to be bound.
    pub(super) fn restart(&mut self, living: impl Iterator<Item = Conn>) {
        self.undecided = living.collect();
    }

    /// Every number below it is decided.
    pub(super) fn settled(&self) -> Conn {
        self.undecided.first().copied().unwrap_or(self.next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_stays_below_whatever_may_still_take_effect() {
        let mut numbers = Numbers::new();
        let (a, b) = (numbers.take(), numbers.take());
        numbers.decide(b);
        assert_eq!(numbers.settled(), a);
        numbers.decide(a);
        assert!(numbers.settled() > b);
        numbers.restart([b].into_iter());
        assert_eq!(numbers.settled(), b);
        numbers.doubt(a);
        assert_eq!(numbers.settled(), a);
    }
}
