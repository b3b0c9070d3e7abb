//! Shard: the state machine that owns one address.

mod command;
mod route;

use crate::address::Address;
use crate::bounds::{COMETS, CONNECTIONS, CometId, ConnectionId, LIVES, Life, Seq};
use crate::mutation::Mutation;
use crate::policy::Policy;

pub use self::route::{Granted, Route};

/// Why a command changed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The connection was removed, or is settled.
    Gone,
    /// The comet's life has ended.
    Fenced,
    /// The policy keeps who is there.
    Outranked,
}

/// By what rules a shard goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) address: Address,
    pub(crate) policy: Policy,
    pub(crate) refusal_is_final: bool,
    pub(crate) mutation: Option<Mutation>,
}

/// One shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    routes: [[Option<Route>; LIVES]; CONNECTIONS],
    next_seq: Seq,
    /// The largest seq ever given. Only the properties read it.
    pub(crate) highest: Seq,
    fences: [Life; COMETS],
    settled: [u8; COMETS],
    marks: [bool; CONNECTIONS],
    /// Who gave way to another in the life at its fence. Only the properties read it, and whoever tells
    /// the loser.
    evicted: [bool; CONNECTIONS],
    cursor: u8,
}

impl Shard {
    /// An empty shard that knows of every comet's first life.
    pub(crate) fn new() -> Self {
        Self {
            routes: [[None; LIVES]; CONNECTIONS],
            next_seq: Seq(1),
            highest: Seq(0),
            fences: [Life::FIRST; COMETS],
            settled: [0; COMETS],
            marks: [false; CONNECTIONS],
            evicted: [false; CONNECTIONS],
            cursor: 0,
        }
    }

    /// The first life of a comet still allowed.
    pub fn fence(&self, comet: CometId) -> Life {
        self.fences[usize::from(comet.0)]
    }

    /// Every conn of the comet below is decided.
    pub fn settled(&self, comet: CometId) -> u8 {
        self.settled[usize::from(comet.0)]
    }

    /// The position of the last fence event carried out.
    pub fn cursor(&self) -> u8 {
        self.cursor
    }

    /// Whether it is remembered that the connection was removed or refused.
    pub fn is_marked(&self, connection: ConnectionId) -> bool {
        self.marks[usize::from(connection.0)]
    }

    /// Whether the connection gave way to another in the present life of its comet.
    pub fn is_evicted(&self, connection: ConnectionId) -> bool {
        self.evicted[usize::from(connection.0)]
    }

    /// The route of a connection in a life of its comet.
    pub fn route(&self, connection: ConnectionId, life: Life) -> Option<Route> {
        self.routes[usize::from(connection.0)][life.place()]
    }

    /// All routes, with whose they are.
    pub fn routes(&self) -> impl Iterator<Item = (ConnectionId, Life, Route)> {
        (0..CONNECTIONS * LIVES).filter_map(|place| {
            let (connection, life) = (place / LIVES, place % LIVES);
            let route = self.routes[connection][life]?;
            Some((ConnectionId(connection as u8), Life(life as u8 + 1), route))
        })
    }

    fn raise(&mut self, comet: CometId, fence: Life) {
        if fence <= self.fence(comet) {
            return;
        }
        self.fences[usize::from(comet.0)] = fence;
        self.settled[usize::from(comet.0)] = 0;
        for connection in comet.connections() {
            Life::all().filter(|life| *life < fence).for_each(|life| self.remove(connection, life));
            self.marks[usize::from(connection.0)] = false;
            self.evicted[usize::from(connection.0)] = false;
        }
    }

    fn mark(&mut self, connection: ConnectionId) {
        if connection.conn() >= self.settled(connection.comet()) {
            self.marks[usize::from(connection.0)] = true;
        }
    }

    fn remove(&mut self, connection: ConnectionId, life: Life) {
        *self.route_mut(connection, life) = None;
    }

    fn route_mut(&mut self, connection: ConnectionId, life: Life) -> &mut Option<Route> {
        &mut self.routes[usize::from(connection.0)][life.place()]
    }

    /// Forgets the seq counter, as a new leader would that counts what it sees.
    pub(crate) fn recount(&mut self) {
        let highest = self.routes().map(|(.., route)| route.seq).max();
        self.next_seq = Seq(highest.map_or(1, |seq| seq.0 + 1));
    }

    pub(crate) fn routes_mut(&mut self) -> impl Iterator<Item = &mut Route> {
        self.routes.iter_mut().flatten().flatten()
    }

    pub(crate) fn forget_mark(&mut self, connection: ConnectionId) {
        self.marks[usize::from(connection.0)] = false;
    }

    pub(crate) fn forget_evicted(&mut self, connection: ConnectionId) {
        self.evicted[usize::from(connection.0)] = false;
    }

    pub(crate) fn know_fence(&mut self, comet: CometId, life: Life) {
        self.raise(comet, life);
    }

    pub(crate) fn move_cursor(&mut self) {
        self.cursor += 1;
    }

    pub(crate) fn lower_settled(&mut self, comet: CometId, settled: u8) {
        self.settled[usize::from(comet.0)] = settled;
    }

    pub(crate) fn continue_after(&mut self, highest: Seq) {
        (self.highest, self.next_seq) = (highest, Seq(highest.0 + 1));
    }
}
