//! Breach: a promise broken by a single step, which the state after it would not show.

use crate::address::Address;
use crate::bounds::{ConnectionId, Seq};
use crate::copies::Bind;
use crate::policy::Policy;
use crate::shard::{Granted, Refusal, Route, Rules, Shard};

/// What a step did that none may do. Nothing happens after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Breach {
    /// A seq was given that is not above all that were given at that address.
    SeqReused,
    /// A life that had ended for the shard changed something there.
    FencedWrite,
    /// A connection took the place of a younger one, or was refused though it is the youngest.
    AgeIgnored,
}

/// Whether a bind took the place of a connection that came later, or was refused although nobody there came
/// later. Where the oldest wins, this is nobody's promise: what counts is who was there.
pub(crate) fn is_age_ignored(
    before: &Shard,
    after: &Shard,
    connection: ConnectionId,
    bind: Bind,
    reply: Result<Granted, Refusal>,
    rules: Rules,
) -> bool {
    if rules.policy == Policy::Oldest {
        return false;
    }
    let age_of = |route: &Route| match rules.address {
        Address::User => route.age.unwrap_or(route.seq),
        Address::Key => route.age.expect("it is bound at the user first"),
    };
    let newcomer = bind.age.unwrap_or(Seq(u8::MAX));
    let mut others = before.routes().filter(|(other, ..)| *other != connection);
    match reply {
        Ok(_) => others.any(|(other, life, route)| {
            let was_evicted = after.route(other, life).is_none() && after.is_evicted(other);
            was_evicted && age_of(&route) > newcomer
        }),
        Err(Refusal::Outranked) => others.all(|(.., route)| age_of(&route) < newcomer),
        Err(Refusal::Gone | Refusal::Fenced) => false,
    }
}
