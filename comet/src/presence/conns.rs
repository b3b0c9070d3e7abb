//! Conns: which connection numbers live, and below which all of them are decided.

use std::collections::BTreeSet;

use orrery_model::Conn;

use crate::limits::WORKER_BITS;

/// Hands out connection numbers and knows which are not decided: those for which a bind of this
/// incarnation may still take effect.
///
/// Numbers grow with each connection and never come back while the process lives, so they are unique
/// in each of its incarnations; their lowest bits name the worker.
#[derive(Debug)]
pub(crate) struct Conns {
    next: u64,
    living: BTreeSet<Conn>,
    undecided: BTreeSet<Conn>,
}

impl Conns {
    pub(crate) fn new() -> Self {
        Self { next: 1, living: BTreeSet::new(), undecided: BTreeSet::new() }
    }

    /// Numbers a new connection of a worker; it is undecided.
    pub(crate) fn begin(&mut self, worker: usize) -> Conn {
        let conn = Conn((self.next << WORKER_BITS) | worker as u64);
        self.next += 1;
        self.living.insert(conn);
        self.undecided.insert(conn);
        conn
    }

    /// Each bind of the connection in this incarnation has its answer.
    pub(crate) fn decide(&mut self, conn: Conn) {
        self.undecided.remove(&conn);
    }

    /// Nothing of the connection is left in the registry, nor can come back.
    pub(crate) fn end(&mut self, conn: Conn) {
        self.living.remove(&conn);
        self.undecided.remove(&conn);
    }

    /// Every conn below this one is decided.
    ///
    /// It is one number for all shards, since a comet does not know which of them it speaks to. So one bind
    /// whose outcome a shard leaves unknown holds it back in every shard (the goodbye of a connection that was
    /// decided does not), and each address that a later connection leaves costs its shard a mark until then:
    /// at most `MARKS_PER_COMET_MAX`, where the shard answers binds of this comet with
    /// [`Refusal::Unsettled`]. They are repeated, and end with their device's patience or with the outage.
    ///
    /// [`Refusal::Unsettled`]: orrery_model::command::Refusal::Unsettled
    pub(crate) fn settled(&self) -> Conn {
        self.undecided.first().copied().unwrap_or(self.next())
    }

    /// A new incarnation begins: what lives has to be bound again, so all of it is undecided.
    pub(crate) fn restart(&mut self) -> Vec<Conn> {
        self.undecided = self.living.clone();
        self.living.iter().copied().collect()
    }

    /// Below this one every number has been given, or never will be.
    pub(crate) fn next(&self) -> Conn {
        Conn(self.next << WORKER_BITS)
    }

    /// Whether the connection lives, in whatever state, or still has a goodbye to say.
    pub(crate) fn knows(&self, conn: Conn) -> bool {
        self.living.contains(&conn)
    }

    /// How many connections live or still have a goodbye to say.
    pub(crate) fn living(&self) -> usize {
        self.living.len()
    }
}

/// The worker that holds a connection.
pub(crate) fn worker_of(conn: Conn) -> usize {
    (conn.0 & ((1 << WORKER_BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settled_stays_at_the_lowest_undecided_conn() {
        let mut conns = Conns::new();
        let (a, b, c) = (conns.begin(0), conns.begin(1), conns.begin(0));
        assert_eq!(conns.settled(), a);
        conns.decide(b);
        assert_eq!(conns.settled(), a);
        conns.decide(a);
        assert_eq!(conns.settled(), c);
        conns.end(c);
        assert!(conns.settled() > c);
        assert_eq!(conns.settled(), conns.begin(0), "the next conn is never below settled");
    }

    #[test]
    fn a_new_incarnation_makes_the_living_undecided_again() {
        let mut conns = Conns::new();
        let (a, b) = (conns.begin(0), conns.begin(0));
        conns.decide(a);
        conns.decide(b);
        conns.end(a);
        assert_eq!(conns.restart(), vec![b]);
        assert_eq!(conns.settled(), b);
    }

    #[test]
    fn a_conn_names_its_worker() {
        let mut conns = Conns::new();
        assert_eq!(worker_of(conns.begin(0)), 0);
        assert_eq!(worker_of(conns.begin(255)), 255);
    }
}
