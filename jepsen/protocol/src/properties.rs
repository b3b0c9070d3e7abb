//! Properties: what must hold in every state.

use stateright::Property;

use crate::address::Address;
use crate::bounds::{CometId, ConnectionId, Life};
use crate::breach::Breach;
use crate::connection::Stage;
use crate::goals::{self, any_bound};
use crate::policy::Policy;
use crate::setting::Protocol;
use crate::shard::Route;
use crate::world::World;

pub(crate) fn all(protocol: &Protocol) -> Vec<Property<Protocol>> {
    let mut all = vec![
        Property::always("a seq is given once", |_, it: &World| {
            it.breach != Some(Breach::SeqReused)
        }),
        Property::always("a fenced life never writes", |_, it: &World| {
            it.breach != Some(Breach::FencedWrite)
        }),
        Property::always("a connection is as old as its first bind", |_, it: &World| {
            it.breach != Some(Breach::AgeIgnored)
        }),
        Property::always(
            "nothing is visible past the event that fences it",
            nothing_past_its_fence,
        ),
        Property::always("a comet has one life in a shard", one_life),
        Property::always("an acknowledged bind stays", acknowledged_stays),
        Property::always("what was unbound never comes back", unbound_stays_away),
        Property::always("a policy leaves one winner", one_winner),
        Property::always("a quiet registry is what the comets hold", quiet_is_exact),
        Property::always("a quiet secondary address agrees with the primary", quiet_agrees),
        Property::always("not everybody loses", not_everybody_loses),
    ];
    if !protocol.forgets && protocol.mutation.is_none() {
        let is_alike = |protocol: &Protocol, it: &World| protocol.may_forget(it);
        all.push(Property::always("forgetting changes nothing", is_alike));
    }
    all.extend(goals::all(protocol));
    all
}

fn nothing_past_its_fence(_: &Protocol, world: &World) -> bool {
    Address::ALL.into_iter().all(|address| {
        let shard = &world.shards[address];
        (0..shard.cursor()).all(|position| {
            let event = world.control.event_after(position).expect("a cursor is never ahead");
            let ended = |it: &(ConnectionId, Life, Route)| {
                it.0.comet() == event.comet && it.1 < event.fence
            };
            !shard.routes().any(|route| ended(&route))
        })
    })
}

fn one_life(_: &Protocol, world: &World) -> bool {
    Address::ALL.into_iter().all(|address| {
        CometId::all().all(|comet| {
            let mut lives =
                world.shards[address].routes().filter(|it| it.0.comet() == comet).map(|it| it.1);
            let first = lives.next();
            lives.all(|life| Some(life) == first)
        })
    })
}

fn acknowledged_stays(_: &Protocol, world: &World) -> bool {
    ConnectionId::all().all(|connection| {
        let life = world.life(connection);
        Address::ALL.into_iter().all(|address| {
            let shard = &world.shards[address];
            let Some(seq) = world.connection(connection).stage.acknowledged(address) else {
                return true;
            };
            let held = shard.route(connection, life).is_some_and(|route| route.seq == seq);
            held || shard.fence(connection.comet()) > life || shard.is_evicted(connection)
        })
    })
}

fn unbound_stays_away(_: &Protocol, world: &World) -> bool {
    ConnectionId::all().all(|connection| match world.connection(connection).stage {
        Stage::Gone(Some(life)) => Address::ALL
            .into_iter()
            .all(|address| world.shards[address].route(connection, life).is_none()),
        Stage::Leaving { answered, .. } => Address::ALL.into_iter().all(|address| {
            let life = world.life(connection);
            !answered[address] || world.shards[address].route(connection, life).is_none()
        }),
        _ => true,
    })
}

fn one_winner(model: &Protocol, world: &World) -> bool {
    Address::ALL
        .into_iter()
        .all(|address| !model.policy.is_one(address) || world.shards[address].routes().count() <= 1)
}

fn quiet_is_exact(_: &Protocol, world: &World) -> bool {
    !world.is_quiet()
        || Address::ALL.into_iter().all(|address| {
            world.shards[address].routes().all(|(connection, life, route)| {
                let acknowledged = world.connection(connection).stage.acknowledged(address);
                life == world.life(connection) && acknowledged == Some(route.seq)
            })
        })
}

fn quiet_agrees(model: &Protocol, world: &World) -> bool {
    if !world.is_quiet() {
        return true;
    }
    let holder = |address: Address| world.shards[address].routes().map(|it| it.0).next();
    match model.policy {
        Policy::All => holder(Address::User).is_none() == holder(Address::Key).is_none(),
        Policy::Newest | Policy::Oldest => holder(Address::User) == holder(Address::Key),
    }
}

fn not_everybody_loses(protocol: &Protocol, world: &World) -> bool {
    let begun = |c: ConnectionId| world.connection(c).stage != Stage::Idle;
    protocol.leaves || !world.is_quiet() || !ConnectionId::all().any(begun) || any_bound(world)
}
