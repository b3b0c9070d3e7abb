//! Registry: one small enough to read at a glance. It insists on what a correct comet keeps.

use std::collections::HashSet;

use orrery_model::command::{
    Bind, Bound, Command, ListRoom, Loser, Outcome, Refusal, Reply, RouteName, SetRooms, Unbind,
};
use orrery_model::{Address, CometRef, Conn, Details, Incarnation, Kind, Seq, Version};
use orrery_proto::edge::{AuditRoutes, AuditedRoute, AuditedRoutes};
use orrery_proto::registry::Member;

/// A route as the scripted registry holds it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Route {
    pub(crate) address: Address,
    pub(crate) incarnation: u64,
    pub(crate) conn: u64,
    pub(crate) seq: u64,
    pub(crate) details: Details,
}

#[derive(Default)]
pub(crate) struct Registry {
    /// Those planted by hand are not [known](Self::known).
    pub(crate) routes: Vec<Route>,
    listed: Vec<(Address, Version)>,
    seq: u64,
    pub(crate) incarnation: u64,
    /// The lowest incarnation still allowed.
    fence: u64,
    /// A user has one connection, as a key has.
    pub(crate) one_per_user: bool,
    /// Addresses that ever had a route, so that a bind of one of thousands of others looks at none of theirs.
    known: HashSet<Address>,
}

impl Registry {
    /// Gives the comet its next life.
    pub(crate) fn attach(&mut self) -> u64 {
        self.incarnation = (self.incarnation + 1).max(self.fence);
        self.incarnation
    }

    /// Ends every life of the comet so far.
    pub(crate) fn end_lives(&mut self) {
        self.fence = self.incarnation + 1;
        self.routes.clear();
        self.listed.clear();
    }

    pub(crate) fn is_listed(&self, room: &Address) -> bool {
        self.listed.iter().any(|(listed, _)| listed == room)
    }

    /// Whether a connection has the route that is asked about.
    pub(crate) fn has(&self, asked: &AuditedRoute) -> bool {
        let address = Address::try_from(asked.address.clone().unwrap()).unwrap();
        self.routes.iter().any(|route| route.address == address && route.seq == asked.seq)
    }

    /// Two shards, by the parity of seqs, of which each page shows one route: what is paged is seen to be.
    pub(crate) fn page(&self, asked: &AuditRoutes) -> AuditedRoutes {
        let shard = asked.shard.max(1);
        let after = asked.after.as_ref().map_or(0, |after| after.seq);
        let incarnation = asked.comet.as_ref().unwrap().incarnation;
        let of = |route: &&Route| {
            route.incarnation == incarnation
                && route.seq % 2 + 1 == u64::from(shard)
                && route.seq > after
        };
        let route = self.routes.iter().filter(of).min_by_key(|route| route.seq);
        let member = |route: &Route| Member {
            address: Some((&route.address).into()),
            seq: route.seq,
            route: Some(orrery_proto::common::Route {
                seq: route.seq,
                comet: asked.comet.clone(),
                conn: route.conn,
                details: Some((&route.details).into()),
                bound_at_ms: 1,
            }),
        };
        let routes: Vec<Member> = route.map(member).into_iter().collect();
        match (routes.last().cloned(), shard) {
            (Some(last), _) => AuditedRoutes { routes, next_shard: shard, next: Some(last) },
            (None, 1) => AuditedRoutes { routes, next_shard: 2, next: None },
            (None, _) => AuditedRoutes { routes, next_shard: 0, next: None },
        }
    }

    pub(crate) fn apply(&mut self, command: Command) -> Reply {
        let of = match &command {
            Command::Bind(bind) => &bind.comet,
            Command::Unbind(unbind) => &unbind.comet,
            Command::SetRooms(set) => &set.comet,
            Command::BindRoom(list) | Command::UnbindRoom(list) => &list.comet,
            other => panic!("a comet does not send {other:?}"),
        };
        if of.incarnation.0 < self.fence {
            return Err(Refusal::Fenced { fence: Incarnation(self.fence) });
        }
        match command {
            Command::Bind(bind) => Ok(self.bind(bind)),
            Command::Unbind(unbind) => Ok(self.unbind(&unbind)),
            Command::SetRooms(set) => self.set_rooms(set),
            Command::BindRoom(ListRoom { room, version, .. }) => {
                self.listed.push((room, version));
                Ok(Outcome::Done)
            }
            Command::UnbindRoom(list) => {
                self.listed.retain(|(room, version)| *room != list.room || *version > list.version);
                Ok(Outcome::Done)
            }
            other => panic!("a comet does not send {other:?}"),
        }
    }

    fn bind(&mut self, bind: Bind) -> Outcome {
        let Bind { address, comet, conn, details, settled, .. } = bind;
        assert!(settled <= conn, "{conn} is bound and was said to be settled below {settled}");
        for room in &details.rooms {
            assert!(self.is_listed(&Address::room(room.clone())), "{room} is not listed");
        }
        let incarnation = comet.incarnation.0;
        if self.known.insert(address.clone()) {
            self.seq += 1;
            self.routes.push(Route { address, incarnation, conn: conn.0, seq: self.seq, details });
            return Outcome::Bound(Bound { seq: Seq(self.seq), losers: Vec::new() });
        }
        let same = |route: &&Route| {
            (&route.address, route.conn, route.incarnation) == (&address, conn.0, incarnation)
        };
        if let Some(route) = self.routes.iter().find(same) {
            return Outcome::Bound(Bound { seq: Seq(route.seq), losers: vec![] });
        }
        let mut losers = Vec::new();
        if address.kind == Kind::Key || self.one_per_user {
            losers.extend(self.routes.extract_if(.., |route| route.address == address));
        }
        self.seq += 1;
        self.routes.push(Route { address, incarnation, conn: conn.0, seq: self.seq, details });
        let losers = losers.into_iter().map(|route| loser(route, &comet)).collect();
        Outcome::Bound(Bound { seq: Seq(self.seq), losers })
    }

    fn unbind(&mut self, unbind: &Unbind) -> Outcome {
        let before = self.routes.len();
        self.routes.retain(|route| {
            let named = match unbind.route {
                RouteName::Seq(seq) => route.seq == seq.0,
                RouteName::Conn(conn) => route.conn == conn.0,
            };
            !(named && route.address == unbind.address)
        });
        Outcome::Unbound { removed: self.routes.len() < before }
    }

    fn set_rooms(&mut self, set: SetRooms) -> Reply {
        for room in &set.rooms {
            assert!(self.is_listed(&Address::room(room.clone())), "{room} is not listed");
        }
        let route = self.routes.iter_mut().find(|route| route.seq == set.seq.0);
        let Some(route) = route else { return Err(Refusal::NotBound) };
        assert!(set.version > route.details.rooms_version);
        route.details.rooms = set.rooms;
        route.details.rooms_version = set.version;
        Ok(Outcome::Done)
    }
}

fn loser(route: Route, comet: &CometRef) -> Loser {
    Loser {
        address: route.address,
        comet: CometRef { id: comet.id.clone(), incarnation: Incarnation(route.incarnation) },
        conn: Conn(route.conn),
        seq: Seq(route.seq),
    }
}
