//! Connection: one as its comet knows it, with the binds of its addresses.

use std::collections::BTreeSet;

use orrery_model::command::{Bind, RouteName};
use orrery_model::{CometRef, Conn, Details, Policy, Primary, Seq};

use crate::workload::words;

/// One connection of a comet.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    pub(super) conn: Conn,
    /// Its primary address.
    pub(super) user: String,
    /// Its secondary address.
    pub(super) second: Option<String>,
    /// Who may stay at its primary address.
    pub(super) policy: Policy,
    pub(super) platform: &'static str,
    /// The seq that its primary address gave it first, in whatever life.
    pub(super) first: Option<Seq>,
    /// The same as it was when this life began.
    rank: Option<Seq>,
    /// Its addresses for which a bind was begun in this life, the primary one first.
    pub(super) ties: Vec<Tie>,
    /// Its rooms, and the comet's version of them.
    pub(super) rooms: BTreeSet<String>,
    pub(super) version: u64,
}

/// A connection's place at one address.
#[derive(Debug, Clone)]
pub(super) struct Tie {
    /// As it was asked for last.
    pub(super) bind: Bind,
    /// Once it is known.
    pub(super) seq: Option<Seq>,
}

impl Tie {
    pub(super) fn key(&self) -> String {
        words::key_of(&self.bind.address)
    }

    /// What an unbind may call it, its comet's number last.
    pub(super) fn names(&self) -> Vec<RouteName> {
        let seq = self.seq.map(RouteName::Seq);
        seq.into_iter().chain([RouteName::Conn(self.bind.conn)]).collect()
    }
}

impl Connection {
    /// One that is bound nowhere.
    pub(super) fn new(
        conn: Conn,
        user: String,
        second: Option<String>,
        policy: Policy,
        platform: &'static str,
    ) -> Self {
        Self {
            conn,
            user,
            second,
            policy,
            platform,
            first: None,
            rank: None,
            ties: Vec::new(),
            rooms: BTreeSet::new(),
            version: 0,
        }
    }

    /// The same in a new life, in which it is bound nowhere. Its rooms are set anew there.
    pub(super) fn again(mut self) -> Self {
        self.rank = self.first;
        self.ties.clear();
        self.rooms.clear();
        self.version = 0;
        self
    }

    /// Its seq at its primary address.
    pub(super) fn seq(&self) -> Option<Seq> {
        self.ties.first().and_then(|tie| tie.seq)
    }

    /// The bind of its next address that is not known to be bound, if there is one.
    ///
    /// As comets do it, the primary address comes first. Its first seq ranks the connection there, and on the
    /// secondary one unless the primary's policy keeps the oldest.
    pub(super) fn next_bind(&self, comet: &CometRef, settled: Conn) -> Option<Bind> {
        let details = Details { platform: self.platform.to_owned(), ..Details::default() };
        let bind = |key: &str, details, policy, rank| Bind {
            address: words::address(key),
            comet: comet.clone(),
            conn: self.conn,
            details,
            policy,
            settled,
            rank,
        };
        let Some(seq) = self.seq() else {
            return Some(bind(&self.user, details, self.policy, self.rank));
        };
        let second = self.second.as_ref()?;
        if self.ties.get(1).is_some_and(|tie| tie.seq.is_some()) {
            return None;
        }
        let primary = Some(Primary { address: words::address(&self.user), seq });
        let rank = self.rank.filter(|_| !self.policy.keeps_oldest());
        Some(bind(second, Details { primary, ..details }, Policy::ONE_NEWEST, rank))
    }

    /// The bind is asked for: from here on the registry may know it.
    pub(super) fn asks(&mut self, bind: &Bind) {
        match self.ties.iter_mut().find(|tie| tie.bind.address == bind.address) {
            Some(tie) => tie.bind = bind.clone(),
            None => self.ties.push(Tie { bind: bind.clone(), seq: None }),
        }
    }

    /// The bind asked for last is known to have taken effect.
    pub(super) fn bound(&mut self, seq: Seq) {
        if let Some(tie) = self.ties.last_mut() {
            tie.seq = Some(seq);
        }
        self.first = self.first.or(self.seq());
    }

    /// Whether it is bound at this address under another seq than those, or not among them.
    pub(super) fn is_missing(&self, key: &str, shown: &BTreeSet<Seq>) -> bool {
        let tie = self.ties.iter().find(|tie| tie.key() == key);
        tie.and_then(|tie| tie.seq).is_some_and(|seq| !shown.contains(&seq))
    }
}

#[cfg(test)]
mod tests {
    use orrery_model::{Id, Incarnation, Keep, Scope};

    use super::*;

    fn comet(incarnation: u64) -> CometRef {
        CometRef { id: Id::new("c").unwrap(), incarnation: Incarnation(incarnation) }
    }

    fn connection(policy: Policy) -> Connection {
        Connection::new(Conn(7), "user-1".to_owned(), Some("key-1".to_owned()), policy, "web")
    }

    /// Binds all of it, each address with the next seq, and returns the binds.
    fn bind(one: &mut Connection, comet: &CometRef, mut seq: u64) -> Vec<Bind> {
        let mut binds = Vec::new();
        while let Some(bind) = one.next_bind(comet, Conn(7)) {
            one.asks(&bind);
            one.bound(Seq(seq));
            seq += 1;
            binds.push(bind);
        }
        binds
    }

    #[test]
    fn the_secondary_address_names_the_primary_and_has_the_policy_of_keys() {
        let mut one = connection(Policy::default());
        let binds = bind(&mut one, &comet(1), 10);
        assert_eq!(binds.len(), 2);
        assert_eq!(binds[0].details.primary, None);
        let primary = Primary { address: words::address("user-1"), seq: Seq(10) };
        assert_eq!(binds[1].details.primary, Some(primary));
        assert_eq!(binds[1].policy, Policy::ONE_NEWEST);
        assert_eq!((binds[0].rank, binds[1].rank), (None, None));
    }

    #[test]
    fn in_each_later_life_its_first_seq_ranks_it() {
        let mut one = connection(Policy::default());
        bind(&mut one, &comet(1), 10);
        for (life, seq) in [(2, 20), (3, 30)] {
            one = one.again();
            let binds = bind(&mut one, &comet(life), seq);
            assert_eq!(binds.iter().map(|bind| bind.rank).collect::<Vec<_>>(), [Some(Seq(10)); 2]);
        }
    }

    #[test]
    fn where_the_oldest_wins_the_secondary_address_has_no_rank() {
        let oldest = Policy { scope: Scope::PerAddress { n: 1 }, keep: Keep::Oldest };
        let mut one = connection(oldest);
        bind(&mut one, &comet(1), 10);
        one = one.again();
        let binds = bind(&mut one, &comet(2), 20);
        assert_eq!((binds[0].rank, binds[1].rank), (Some(Seq(10)), None));
    }

    #[test]
    fn a_bind_of_unknown_outcome_is_asked_again_as_it_was() {
        let mut one = connection(Policy::default());
        let first = one.next_bind(&comet(1), Conn(7)).unwrap();
        one.asks(&first);
        assert_eq!(one.next_bind(&comet(1), Conn(7)), Some(first.clone()));
        one.asks(&first);
        assert_eq!(one.ties.len(), 1);
    }
}
