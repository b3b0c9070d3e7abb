//! Words: the registry's types in the words of a history.

use judge::history::{Bind, Keep, Member, Policy, Primary, Refusal, Route, Scope};
use orrery_model::command::{self, Loser};
use orrery_model::{Address, CometRef, Id, policy};

/// The key under which an address is judged.
pub fn key_of(address: &Address) -> String {
    address.id.to_string()
}

/// An address by its key: `user-3` is a user, `room-1` a room, everything else a key.
pub fn address(key: &str) -> Address {
    let id = Id::new(key).expect("the harness's names are short");
    match key.split('-').next() {
        Some("user") => Address::user(id),
        Some("room") => Address::room(id),
        _ => Address::key(id),
    }
}

/// What a bind asks for.
pub fn bind(bind: &command::Bind) -> Bind {
    let primary = bind.details.primary.as_ref();
    let platform = Some(bind.details.platform.clone());
    Bind {
        comet: bind.comet.id.to_string(),
        incarnation: bind.comet.incarnation.0,
        conn: bind.conn.0,
        policy: policy(&bind.policy),
        platform: platform.filter(|platform| !platform.is_empty()),
        rank: bind.rank.map(|rank| rank.0),
        primary: primary.map(|p| Primary { key: key_of(&p.address), seq: p.seq.0 }),
        settled: Some(bind.settled.0),
        ..Bind::default()
    }
}

/// A route.
pub fn route(comet: &CometRef, conn: u64, seq: u64) -> Route {
    Route { comet: comet.id.to_string(), incarnation: comet.incarnation.0, conn, seq }
}

/// A member of a room, or a route of a comet.
pub fn member(member: &orrery_router_client::Member) -> Member {
    Member { key: key_of(&member.address), seq: member.route.seq.0 }
}

/// Who gave way.
pub fn loser(loser: &Loser) -> Route {
    route(&loser.comet, loser.conn.0, loser.seq.0)
}

/// Why the registry refused.
pub fn refusal(refusal: &command::Refusal) -> Refusal {
    match refusal {
        command::Refusal::Gone => Refusal::Gone,
        command::Refusal::Fenced { fence } => Refusal::Fenced { below: Some(fence.0) },
        command::Refusal::Outranked => Refusal::Outranked,
        command::Refusal::NotBound => Refusal::NotBound,
        other => Refusal::Other(other.to_string()),
    }
}

/// A policy.
pub fn policy(policy: &policy::Policy) -> Option<Policy> {
    let (scope, n) = match policy.scope {
        policy::Scope::All => return None,
        policy::Scope::PerAddress { n } => (Scope::Address, n),
        policy::Scope::PerPlatform => (Scope::Platform, 1),
    };
    let keep = match policy.keep {
        policy::Keep::Newest => Keep::Newest,
        policy::Keep::Oldest => Keep::Oldest,
    };
    Some(Policy { scope, n, keep })
}
