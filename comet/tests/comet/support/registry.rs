//! Registry: one small enough to read at a glance. It insists on what a correct comet keeps.

use orrery_model::command::{
    Bind, Bound, Command, ListRoom, Loser, Outcome, Refusal, Reply, RouteName, SetRooms, Unbind,
};
use orrery_model::{Address, CometRef, Conn, Details, Incarnation, Kind, Seq, Version};

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
    pub(crate) routes: Vec<Route>,
    listed: Vec<(Address, Version)>,
    seq: u64,
    pub(crate) incarnation: u64,
    /// The lowest incarnation still allowed.
    fence: u64,
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
        let same = |route: &&Route| {
            (&route.address, route.conn, route.incarnation) == (&address, conn.0, incarnation)
        };
        if let Some(route) = self.routes.iter().find(same) {
            return Outcome::Bound(Bound { seq: Seq(route.seq), losers: vec![] });
        }
        let mut losers = Vec::new();
        if address.kind == Kind::Key {
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
