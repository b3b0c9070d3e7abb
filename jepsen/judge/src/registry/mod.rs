//! Registry: what one address may answer, told anew from the design and shared with no product code.
//!
//! - (comet, incarnation, conn) names a bind. Repeated while its route lives, it answers the same; once
//!   removed, never again (`gone`).
//! - A write of a higher incarnation ends the comet's lower ones, and so may an expiry at any moment
//!   after which it has a reason; a write of an ended one is `fenced`.
//! - An unbind removes the route it names and no other.
//! - A bind takes a seq above all before it; its policy decides who gives way. Whom it refuses it has refused
//!   for good: a repeat is `outranked` again, whoever is there by then.
//! - A read shows exactly the routes that live.

mod policy;

use crate::history::Policy;
use crate::wgl::Model;

/// A connection of the address, by its place in [`Address::connections`].
pub type Connection = u32;

/// What does not change of a connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its comet, as a number.
    pub comet: u32,
    /// The comet's life.
    pub incarnation: u64,
    /// Its seq, as far as any answer shows it.
    pub seq: Option<u64>,
    /// The policy of its bind.
    pub policy: Option<Policy>,
    /// Its platform, as a number.
    pub platform: u32,
    /// Its rank.
    pub rank: Option<u64>,
    /// On a secondary address: its user, as a number, and the primary's seq.
    pub primary: Option<(u32, u64)>,
}

/// One address: the model that a search steps.
#[derive(Debug, Clone, Default)]
pub struct Address {
    /// Every connection that the history speaks of.
    pub connections: Vec<Identity>,
}

/// What is asked of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Bind this connection.
    Bind {
        /// Which.
        connection: Connection,
        /// Whether its conn may be settled, so that it is gone without ever having been there.
        settled: bool,
    },
    /// Unbind this connection.
    Unbind(Connection),
    /// Read all routes.
    Read,
    /// All lives of a comet below a fence end.
    Fence {
        /// Which comet.
        comet: u32,
        /// The lowest life that goes on.
        below: u64,
    },
}

/// What an address answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The bind's route lives, with its seq; the losers, ascending, where they are known.
    Bound {
        /// The seq.
        seq: u64,
        /// Who gave way to it.
        losers: Option<Vec<Connection>>,
    },
    /// The unbind's route is gone; whether it removed one, where that is known.
    Unbound(Option<bool>),
    /// The routes, ascending by connection, each with its seq.
    Routes(Vec<(Connection, u64)>),
    /// Refused: already removed.
    Gone,
    /// Refused: the life has ended.
    Fenced,
    /// Refused by the policy.
    Outranked,
}

/// Why a connection will not be there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Removal {
    Unbound,
    GaveWay,
    NeverThere,
    Refused,
}

/// What a sorted list holds for a key.
fn get<K: Ord, V: Copy>(list: &[(K, V)], key: &K) -> Option<V> {
    list.binary_search_by(|(held, _)| held.cmp(key)).ok().map(|place| list[place].1)
}

/// Puts a value for a key into a sorted list.
fn put<K: Ord, V>(list: &mut Vec<(K, V)>, key: K, value: V) {
    match list.binary_search_by(|(held, _)| held.cmp(&key)) {
        Ok(place) => list[place].1 = value,
        Err(place) => list.insert(place, (key, value)),
    }
}

/// The state of an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct State {
    /// In order of their births.
    routes: Vec<Connection>,
    /// Of routes whose seq no answer shows: what it is above, in order of connections.
    floors: Vec<(Connection, u64)>,
    /// In order of connections. Small vectors: a search copies and compares states all the time.
    removed: Vec<(Connection, Removal)>,
    /// (comet, the lowest life that goes on), in order of comets.
    fences: Vec<(u32, u64)>,
    last_seq: u64,
}

impl Model for Address {
    type State = State;
    type Input = Input;
    type Output = Output;

    fn initial(&self) -> State {
        State::default()
    }

    fn step(&self, state: &State, input: &Input, output: Option<&Output>) -> Option<State> {
        match input {
            Input::Bind { connection, settled } => self.bind(state, *connection, *settled, output),
            Input::Unbind(connection) => self.unbind(state, *connection, output),
            Input::Read => self.read(state, output),
            Input::Fence { comet, below } => {
                let mut after = state.clone();
                self.raise(&mut after, *comet, *below).then_some(after)
            }
        }
    }
}

impl Address {
    fn identity(&self, connection: Connection) -> &Identity {
        &self.connections[connection as usize]
    }

    fn is_fenced(&self, state: &State, identity: &Identity) -> bool {
        get(&state.fences, &identity.comet).is_some_and(|fence| identity.incarnation < fence)
    }

    /// The next seq is above this one: above all that were given here, and all that rank somebody.
    fn floor(&self, state: &State) -> u64 {
        let primary = state.routes.iter().map(|route| self.identity(*route));
        let ranks = primary.filter(|one| one.primary.is_none()).filter_map(|one| one.rank);
        ranks.fold(state.last_seq, u64::max)
    }

    /// Raises a comet's fence and says whether that changed it.
    fn raise(&self, state: &mut State, comet: u32, below: u64) -> bool {
        if get(&state.fences, &comet).unwrap_or(0) >= below {
            return false;
        }
        put(&mut state.fences, comet, below);
        state.routes.retain(|route| {
            let route = self.identity(*route);
            route.comet != comet || route.incarnation >= below
        });
        true
    }

    fn bind(
        &self,
        state: &State,
        connection: Connection,
        settled: bool,
        output: Option<&Output>,
    ) -> Option<State> {
        let identity = self.identity(connection);
        if self.is_fenced(state, identity) {
            return (output == Some(&Output::Fenced)).then(|| state.clone());
        }
        let mut after = state.clone();
        self.raise(&mut after, identity.comet, identity.incarnation);
        let lives = after.routes.contains(&connection);
        let removal = get(&after.removed, &connection);
        let refused = removal == Some(Removal::Refused);
        match output {
            Some(Output::Gone) if !lives && (settled || removal.is_some() && !refused) => {
                if removal.is_none() || refused {
                    put(&mut after.removed, connection, Removal::NeverThere);
                }
                Some(after)
            }
            Some(Output::Bound { seq, .. }) if lives => {
                (identity.seq == Some(*seq)).then_some(after)
            }
            Some(Output::Outranked) if refused => Some(after),
            None | Some(Output::Bound { .. } | Output::Outranked)
                if !lives && removal.is_none() =>
            {
                self.decide(after, connection, output)
            }
            _ => None,
        }
    }

    /// Gives a connection its route, or refuses it for good, as its policy says; if the answer agrees.
    fn decide(
        &self,
        mut after: State,
        connection: Connection,
        output: Option<&Output>,
    ) -> Option<State> {
        let Some(losers) = policy::losers(self, &after, connection) else {
            put(&mut after.removed, connection, Removal::Refused);
            return matches!(output, None | Some(Output::Outranked)).then_some(after);
        };
        if output == Some(&Output::Outranked) {
            return None;
        }
        if let Some(Output::Bound { seq, losers: told }) = output {
            let told_otherwise = told.as_ref().is_some_and(|told| *told != losers);
            if self.identity(connection).seq != Some(*seq) || told_otherwise {
                return None;
            }
        }
        if let Some(seq) = self.identity(connection).seq {
            if seq <= after.last_seq {
                return None;
            }
            after.last_seq = seq;
        } else {
            let floor = self.floor(&after);
            put(&mut after.floors, connection, floor);
        }
        after.routes.retain(|route| !losers.contains(route));
        for loser in losers {
            put(&mut after.removed, loser, Removal::GaveWay);
        }
        after.routes.push(connection);
        Some(after)
    }

    fn unbind(
        &self,
        state: &State,
        connection: Connection,
        output: Option<&Output>,
    ) -> Option<State> {
        let identity = self.identity(connection);
        if self.is_fenced(state, identity) {
            return (output == Some(&Output::Fenced)).then(|| state.clone());
        }
        let told = match output {
            None => None,
            Some(Output::Unbound(removed)) => *removed,
            Some(_) => return None,
        };
        let mut after = state.clone();
        self.raise(&mut after, identity.comet, identity.incarnation);
        let lived = after.routes.iter().position(|route| *route == connection);
        let removal = match (lived, get(&after.removed, &connection)) {
            (Some(place), _) => {
                after.routes.remove(place);
                Removal::Unbound
            }
            (None, Some(removal)) => removal,
            (None, None) => Removal::NeverThere,
        };
        put(&mut after.removed, connection, removal);
        // What an earlier unbind removed may have been forgotten once it was settled.
        let agrees = match told {
            None => true,
            Some(true) => removal == Removal::Unbound,
            Some(false) => lived.is_none(),
        };
        agrees.then_some(after)
    }

    fn read(&self, state: &State, output: Option<&Output>) -> Option<State> {
        let Some(Output::Routes(shown)) = output else { return None };
        if shown.len() != state.routes.len() {
            return None;
        }
        let agrees = |(connection, seq): &(Connection, u64)| {
            state.routes.contains(connection) && self.identity(*connection).seq == Some(*seq)
        };
        shown.iter().all(agrees).then(|| state.clone())
    }
}
