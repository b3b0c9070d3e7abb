//! The naive shard: the registry's rules in their plainest form, for comparison. Lists instead of
//! indices, and whatever a fence ends is deleted on the spot.

use std::collections::{BTreeMap, BTreeSet};

use orrery_model::command::*;
use orrery_model::{
    Address, CometId, CometRef, Conn, Details, Incarnation, Keep, Kind, Scope, Seq, Slot, Version,
};

#[derive(Clone)]
pub(crate) struct NaiveRoute {
    pub(crate) address: Address,
    pub(crate) comet: CometRef,
    pub(crate) conn: Conn,
    pub(crate) seq: Seq,
    pub(crate) details: Details,
    rank: Option<Seq>,
    losers: Vec<Loser>,
}

#[derive(Clone)]
pub(crate) struct NaiveMark {
    address: Address,
    comet: CometRef,
    conn: Conn,
    unbound: Option<Seq>,
    outranked: bool,
}

#[derive(Default)]
pub(crate) struct Naive {
    slots: BTreeSet<Slot>,
    epoch: u64,
    cursor: u64,
    seqs_given: u64,
    pub(crate) routes: Vec<NaiveRoute>,
    pub(crate) marks: Vec<NaiveMark>,
    pub(crate) listings: Vec<(Address, CometRef, Version, bool)>,
    fences: BTreeMap<CometId, Incarnation>,
    floor: Incarnation,
    settled: BTreeMap<CometRef, Conn>,
}

impl Naive {
    pub(crate) fn apply(&mut self, command: &Command) -> Reply {
        match command {
            Command::Bind(bind) => self.bind(bind),
            Command::Unbind(unbind) => self.unbind(unbind),
            Command::SetRooms(set) => self.set_rooms(set),
            Command::BindRoom(list) => self.list_room(list, true),
            Command::UnbindRoom(list) => self.list_room(list, false),
            Command::ExpireComet(expire) => {
                if expire.position > self.cursor + 1 {
                    return Err(Refusal::Invalid("a fence event before this one is missing"));
                }
                if expire.position == self.cursor + 1 {
                    self.cursor += 1;
                    self.fence(&expire.comet, expire.fence);
                }
                Ok(Outcome::Done)
            }
            Command::Open(open) => {
                self.slots.extend(&open.slots);
                self.epoch = self.epoch.max(open.epoch);
                self.seqs_given = self.seqs_given.max(open.next_seq.0.saturating_sub(1));
                self.floor = self.floor.max(open.floor);
                let comets = self.routes.iter().map(|route| &route.comet);
                let comets = comets.chain(self.marks.iter().map(|mark| &mark.comet));
                let comets = comets.chain(self.listings.iter().map(|(_, comet, ..)| comet));
                let comets: BTreeSet<_> = comets.map(|comet| comet.id.clone()).collect();
                comets.iter().for_each(|comet| self.end_below(comet, open.floor));
                Ok(Outcome::Done)
            }
        }
    }

    pub(crate) fn owns(&self, address: &Address) -> bool {
        self.slots.contains(&address.slot())
    }

    pub(crate) fn routes_of(&self, address: &Address) -> Vec<&NaiveRoute> {
        self.routes.iter().filter(|route| route.address == *address).collect()
    }

    pub(crate) fn members_of(&self, room: &Address) -> Vec<&NaiveRoute> {
        let in_room = |route: &&NaiveRoute| {
            route.address.namespace == room.namespace && route.details.rooms.contains(&room.id)
        };
        self.routes.iter().filter(in_room).collect()
    }

    fn fence_of(&self, comet: &CometId) -> Incarnation {
        let fence = self.fences.get(comet).copied().unwrap_or(Incarnation(1));
        fence.max(self.floor)
    }

    fn fence(&mut self, comet: &CometId, fence: Incarnation) {
        if fence <= self.fence_of(comet) {
            return;
        }
        self.fences.insert(comet.clone(), fence);
        self.end_below(comet, fence);
    }

    fn end_below(&mut self, comet: &CometId, fence: Incarnation) {
        let lives = |of: &CometRef| of.id != *comet || of.incarnation >= fence;
        self.routes.retain(|route| lives(&route.comet));
        self.marks.retain(|mark| lives(&mark.comet));
        self.listings.retain(|(_, of, _, _)| lives(of));
    }

    fn admit(&mut self, address: &Address, comet: &CometRef) -> Result<(), Refusal> {
        if !self.owns(address) {
            return Err(Refusal::WrongShard { epoch: self.epoch });
        }
        let fence = self.fence_of(&comet.id);
        if comet.incarnation < fence {
            return Err(Refusal::Fenced { fence });
        }
        self.fence(&comet.id, comet.incarnation);
        Ok(())
    }

    fn settle(&mut self, comet: &CometRef, settled: Conn) {
        let held = self.settled.entry(comet.clone()).or_default();
        *held = (*held).max(settled);
        let held = *held;
        self.marks.retain(|mark| mark.comet != *comet || mark.conn >= held);
    }

    fn is_settled(&self, comet: &CometRef, conn: Conn) -> bool {
        self.settled.get(comet).is_some_and(|settled| conn < *settled)
    }

    fn mark_of(&self, address: &Address, comet: &CometRef, conn: Conn) -> Option<&NaiveMark> {
        self.marks.iter().find(|m| m.address == *address && m.comet == *comet && m.conn == conn)
    }

    fn bind(&mut self, bind: &Bind) -> Reply {
        if bind.address.kind == Kind::Room {
            return Err(Refusal::Invalid("a room has comets, not routes"));
        }
        if bind.rank == Some(Seq(0)) {
            return Err(Refusal::Invalid("a rank is a seq that was given"));
        }
        self.admit(&bind.address, &bind.comet)?;
        self.settle(&bind.comet, bind.settled);
        let same = |r: &&NaiveRoute| {
            r.address == bind.address && r.comet == bind.comet && r.conn == bind.conn
        };
        if let Some(route) = self.routes.iter().find(same) {
            return Ok(Outcome::Bound(Bound { seq: route.seq, losers: route.losers.clone() }));
        }
        if self.is_settled(&bind.comet, bind.conn) {
            return Err(Refusal::Gone);
        }
        if let Some(mark) = self.mark_of(&bind.address, &bind.comet, bind.conn) {
            return Err(if mark.outranked { Refusal::Outranked } else { Refusal::Gone });
        }
        if bind.details.primary.is_none() && bind.rank.is_some_and(|r| r.0 > self.seqs_given) {
            return Err(Refusal::Invalid("a rank is a seq that was given"));
        }
        let losers = match self.losers_to(bind) {
            Ok(losers) => losers,
            Err(refusal) => {
                let Bind { address, comet, conn, .. } = bind.clone();
                self.marks.push(NaiveMark { address, comet, conn, unbound: None, outranked: true });
                return Err(refusal);
            }
        };
        for loser in &losers {
            self.remove(&bind.address, loser.seq, None);
        }
        self.seqs_given += 1;
        let seq = Seq(self.seqs_given);
        self.routes.push(NaiveRoute {
            address: bind.address.clone(),
            comet: bind.comet.clone(),
            conn: bind.conn,
            seq,
            details: bind.details.clone(),
            rank: bind.rank,
            losers: losers.clone(),
        });
        Ok(Outcome::Bound(Bound { seq, losers }))
    }

    /// Who gives way to a bind, one after the other, the newcomer being one of the candidates.
    fn losers_to(&self, bind: &Bind) -> Result<Vec<Loser>, Refusal> {
        let (places, by_platform) = match bind.policy.scope {
            Scope::All => return Ok(Vec::new()),
            Scope::PerAddress { n } => (n.max(1) as usize, false),
            Scope::PerPlatform => (1, true),
        };
        let newcomer = Seq(u64::MAX);
        let mut candidates: Vec<_> = self
            .routes_of(&bind.address)
            .into_iter()
            .filter(|route| !by_platform || route.details.platform == bind.details.platform)
            .map(|route| Candidate::new(route.seq, route.rank, &route.details))
            .collect();
        candidates.push(Candidate::new(newcomer, bind.rank, &bind.details));
        let mut gone = Vec::new();
        while candidates.len() > places {
            candidates.sort_by_key(|candidate| candidate.age);
            let giving = match bind.policy.keep {
                Keep::Newest => &candidates[0],
                Keep::Oldest => &candidates[candidates.len() - 1],
            };
            let goes = match &giving.user {
                None => giving.seq,
                user => {
                    let of_user = candidates.iter().filter(|candidate| candidate.user == *user);
                    of_user.map(|candidate| (candidate.login, candidate.seq)).min().unwrap().1
                }
            };
            if goes == newcomer {
                return Err(Refusal::Outranked);
            }
            candidates.retain(|candidate| candidate.seq != goes);
            gone.push(goes);
        }
        gone.sort();
        let routes = self.routes_of(&bind.address).into_iter();
        let losing = routes.filter(|route| gone.contains(&route.seq));
        Ok(losing
            .map(|route| Loser {
                address: route.address.clone(),
                comet: route.comet.clone(),
                conn: route.conn,
                seq: route.seq,
            })
            .collect())
    }

    fn remove(&mut self, address: &Address, seq: Seq, unbound: Option<Seq>) {
        let at = self.routes.iter().position(|r| r.address == *address && r.seq == seq).unwrap();
        let route = self.routes.remove(at);
        if !self.is_settled(&route.comet, route.conn) {
            let NaiveRoute { address, comet, conn, .. } = route;
            self.marks.push(NaiveMark { address, comet, conn, unbound, outranked: false });
        }
    }

    fn unbind(&mut self, unbind: &Unbind) -> Reply {
        let Unbind { address, comet, route, settled } = unbind;
        if address.kind == Kind::Room {
            return Err(Refusal::Invalid("a room has comets, not routes"));
        }
        self.admit(address, comet)?;
        self.settle(comet, *settled);
        let named = |r: &&NaiveRoute| match route {
            RouteName::Seq(seq) => r.seq == *seq,
            RouteName::Conn(conn) => r.conn == *conn,
        };
        let mut of_comet =
            self.routes.iter().filter(|r| r.address == *address && r.comet == *comet);
        if let Some(found) = of_comet.find(named) {
            let seq = found.seq;
            self.remove(address, seq, Some(seq));
            return Ok(Outcome::Unbound { removed: true });
        }
        let removed = match route {
            RouteName::Seq(seq) => self
                .marks
                .iter()
                .any(|m| m.address == *address && m.comet == *comet && m.unbound == Some(*seq)),
            RouteName::Conn(conn) => match self.mark_of(address, comet, *conn) {
                Some(mark) => mark.unbound.is_some(),
                None if self.is_settled(comet, *conn) => false,
                None => {
                    let (address, comet, conn) = (address.clone(), comet.clone(), *conn);
                    let outranked = false;
                    self.marks.push(NaiveMark { address, comet, conn, unbound: None, outranked });
                    false
                }
            },
        };
        Ok(Outcome::Unbound { removed })
    }

    fn set_rooms(&mut self, set: &SetRooms) -> Reply {
        if set.address.kind == Kind::Room {
            return Err(Refusal::Invalid("a room has comets, not routes"));
        }
        self.admit(&set.address, &set.comet)?;
        let route = self.routes.iter_mut().find(|route| {
            route.address == set.address && route.comet == set.comet && route.seq == set.seq
        });
        let route = route.ok_or(Refusal::NotBound)?;
        if route.details.primary.is_some() {
            return Err(Refusal::Invalid("rooms belong to the primary address"));
        }
        if set.version <= route.details.rooms_version {
            return Ok(Outcome::Stale);
        }
        route.details.rooms = set.rooms.clone();
        route.details.rooms_version = set.version;
        Ok(Outcome::Done)
    }

    fn list_room(&mut self, list: &ListRoom, listed: bool) -> Reply {
        if list.room.kind != Kind::Room {
            return Err(Refusal::Invalid("only a room has a listing"));
        }
        self.admit(&list.room, &list.comet)?;
        let held = self.listings.iter().position(|(r, c, ..)| *r == list.room && *c == list.comet);
        if let Some(held) = held {
            if list.version <= self.listings[held].2 {
                return Ok(Outcome::Stale);
            }
            self.listings.remove(held);
        }
        self.listings.push((list.room.clone(), list.comet.clone(), list.version, listed));
        Ok(Outcome::Done)
    }
}

/// A connection that a policy chooses among.
struct Candidate {
    seq: Seq,
    /// What the policy takes for its seq, and the seq: on a primary address its rank if it has one, on a
    /// secondary one below all others if it has one.
    age: (Seq, Seq),
    /// The primary's address, on a secondary one.
    user: Option<Address>,
    /// The seq that the primary gave it first, on a secondary address.
    login: Seq,
}

impl Candidate {
    fn new(seq: Seq, rank: Option<Seq>, details: &Details) -> Self {
        let user = details.primary.as_ref().map(|primary| primary.address.clone());
        let primary = details.primary.as_ref().map_or(Seq(0), |primary| primary.seq);
        let age = match (rank, &user) {
            (None, _) => seq,
            (Some(rank), None) => rank,
            (Some(_), Some(_)) => Seq(0),
        };
        Self { seq, age: (age, seq), user, login: rank.unwrap_or(primary) }
    }
}
