//! Marks: which of one comet's decided connections a delayed bind could still try to raise, and what was
//! answered when they were decided.

use std::collections::BTreeMap;

use orrery_model::{Address, Conn, Seq};

/// What became of a connection that is gone, or was not let in, while its conn is not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// An unbind removed its route, which had this seq; a repeat of the unbind is answered alike.
    Unbound(Seq),
    /// It was evicted, or an unbind came before any bind did, or its address had no room for it.
    Absent,
    /// The policy refused its bind; a repeat of the bind is answered alike.
    Outranked,
}

/// The marks of one comet in its current life.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    by_conn: BTreeMap<(Conn, Address), Mark>,
    /// The conn behind each seq of [`Mark::Unbound`], for unbinds that name a seq.
    conns: BTreeMap<Seq, Conn>,
}

impl Marks {
    pub(super) fn len(&self) -> usize {
        self.by_conn.len()
    }

    pub(super) fn get(&self, conn: Conn, address: &Address) -> Option<Mark> {
        self.by_conn.get(&(conn, address.clone())).copied()
    }

    /// Whether an unbind removed the route with this seq from this address.
    pub(super) fn unbound(&self, seq: Seq, address: &Address) -> bool {
        let conn = self.conns.get(&seq);
        conn.is_some_and(|conn| self.get(*conn, address) == Some(Mark::Unbound(seq)))
    }

    pub(super) fn insert(&mut self, conn: Conn, address: Address, mark: Mark) {
        if let Mark::Unbound(seq) = mark {
            self.conns.insert(seq, conn);
        }
        self.by_conn.insert((conn, address), mark);
    }

    /// Forgets every mark of a conn below `settled`.
    pub(super) fn settle(&mut self, settled: Conn) {
        while let Some(first) = self.by_conn.first_entry() {
            if first.key().0 >= settled {
                break;
            }
            if let Mark::Unbound(seq) = first.remove() {
                self.conns.remove(&seq);
            }
        }
    }

    /// All marks in order of (conn, address).
    pub(super) fn iter(&self) -> impl Iterator<Item = (Conn, &Address, Mark)> {
        self.by_conn.iter().map(|((conn, address), mark)| (*conn, address, *mark))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_model::Id;

    fn address(id: &str) -> Address {
        Address::user(Id::new(id).unwrap())
    }

    #[test]
    fn settling_forgets_exactly_the_conns_below() {
        let mut marks = Marks::default();
        marks.insert(Conn(1), address("a"), Mark::Unbound(Seq(10)));
        marks.insert(Conn(2), address("a"), Mark::Absent);
        marks.insert(Conn(2), address("b"), Mark::Outranked);
        marks.insert(Conn(3), address("a"), Mark::Unbound(Seq(12)));
        marks.insert(Conn(3), address("b"), Mark::Outranked);
        marks.settle(Conn(3));
        assert_eq!(marks.len(), 2);
        assert_eq!(marks.get(Conn(3), &address("b")), Some(Mark::Outranked));
        assert!(!marks.unbound(Seq(10), &address("a")));
        assert!(marks.unbound(Seq(12), &address("a")));
        assert!(!marks.unbound(Seq(12), &address("b")));
        assert!(marks.conns.len() == 1);
    }
}
