//! Policy: who gives way to a new connection.
//!
//! While a scope holds more than may stay, the oldest gives way where the newest win, and the newest where
//! the oldest do. A connection bound again is as old as its rank says. On a secondary address a whole
//! user gives way or stays, and of one user's connections the one that logged in first goes; a ranked one
//! counts as older there than all without a rank.

use super::{Address, Connection, Identity, State, get};
use crate::history::{Keep, Scope};

/// Those who give way to a newcomer, ascending; none where it must itself.
pub(super) fn losers(
    address: &Address,
    state: &State,
    newcomer: Connection,
) -> Option<Vec<Connection>> {
    let new = address.identity(newcomer);
    let Some(policy) = new.policy else { return Some(Vec::new()) };
    let places = match policy.scope {
        Scope::All => return Some(Vec::new()),
        Scope::Platform => 1,
        Scope::Address => policy.n.max(1) as usize,
    };
    // They are in the order of births, which is that of the seqs.
    let competes = |route: &&Connection| {
        policy.scope == Scope::Address || address.identity(**route).platform == new.platform
    };
    let mut staying: Vec<Connection> = state.routes.iter().filter(competes).copied().collect();
    staying.push(newcomer);
    let mut losers = Vec::new();
    while staying.len() > places {
        let age = |place: &usize| arrival(address, state, staying[*place], *place);
        let side = match policy.keep {
            Keep::Newest => (0..staying.len()).min_by_key(age),
            Keep::Oldest => (0..staying.len()).max_by_key(age),
        }?;
        let place = match address.identity(staying[side]).primary {
            None => side,
            Some((user, _)) => (0..staying.len())
                .filter(|place| {
                    let primary = address.identity(staying[*place]).primary;
                    primary.is_some_and(|(other, _)| other == user)
                })
                .min_by_key(|place| login(address.identity(staying[*place]), *place))?,
        };
        let loser = staying.remove(place);
        if loser == newcomer {
            return None;
        }
        losers.push(loser);
    }
    losers.sort_unstable();
    Some(losers)
}

/// When it came, which has this place in the order of births: ranked ones of secondary addresses first, then by
/// seq. One whose seq nobody was told is younger than all before it, also than one that comes back with the
/// rank of the last of them.
fn arrival(
    address: &Address,
    state: &State,
    connection: Connection,
    place: usize,
) -> (bool, u64, bool, usize) {
    let one = address.identity(connection);
    let (seq, above) = match (one.seq, get(&state.floors, &connection)) {
        (Some(seq), _) => (seq, false),
        (None, Some(floor)) => (floor, true),
        (None, None) => (address.floor(state), true),
    };
    match (one.rank, one.primary) {
        (Some(_), Some(_)) => (false, seq, above, place),
        (Some(rank), None) => (true, rank, false, place),
        (None, _) => (true, seq, above, place),
    }
}

/// When it logged in, among connections of its user.
fn login(identity: &Identity, place: usize) -> (u64, usize) {
    let primary = identity.primary.map_or(0, |(_, seq)| seq);
    (identity.rank.unwrap_or(primary), place)
}
