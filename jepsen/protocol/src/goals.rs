//! Goals: what must be reachable, so that what holds everywhere means something.

use stateright::Property;

use crate::address::Address;
use crate::bounds::{CometId, ConnectionId, Life};
use crate::connection::Stage;
use crate::setting::Protocol;
use crate::world::World;

pub(crate) fn all(protocol: &Protocol) -> Vec<Property<Protocol>> {
    let mut all = vec![
        Property::sometimes("a bind is acknowledged", |_, it: &World| any_bound(it)),
        Property::sometimes("a connection is evicted", |_, it: &World| {
            ConnectionId::all().any(|connection| it.may_be_replaced(connection))
        }),
        Property::sometimes("a bind is refused", |_, it: &World| any_refused(it)),
        Property::sometimes("a bind is answered after its route is gone", answered_too_late),
        Property::sometimes("an acknowledged bind is fenced", acknowledged_is_fenced),
        Property::sometimes("shards disagree on who is fenced", |_, it: &World| {
            let fence =
                |address: Address| CometId::all().map(move |id| it.shards[address].fence(id));
            fence(Address::User).ne(fence(Address::Key))
        }),
        Property::sometimes("a connection is bound again with its rank", |_, it: &World| {
            it.is_quiet()
                && it.shards[Address::User].routes().any(|(.., route)| route.rank.is_some())
        }),
        Property::sometimes(
            "all comets were fenced and somebody is bound",
            |protocol, it: &World| {
                let fenced = CometId::all().filter(|id| protocol.may_fence(*id)).count();
                it.is_quiet() && it.control.position() == fenced && any_bound(it)
            },
        ),
    ];
    // Where worlds that behave alike are one, what is late and has no effect is forgotten.
    if !protocol.forgets {
        all.extend([
            Property::sometimes("a late bind meets a mark", |_, it: &World| {
                late_bind(it, |it, connection, address| {
                    let shard = &it.shards[address];
                    shard.is_marked(connection)
                        && connection.conn() >= shard.settled(connection.comet())
                })
            }),
            Property::sometimes("a late bind is settled", |_, it: &World| {
                late_bind(it, |it, connection, address| {
                    connection.conn() < it.shards[address].settled(connection.comet())
                })
            }),
            Property::sometimes("a late bind is fenced", |_, it: &World| {
                late_bind(it, |it, connection, address| {
                    let bind = it.copies.get(connection, Life::FIRST, address).bind;
                    bind.is_some() && it.shards[address].fence(connection.comet()) > Life::FIRST
                })
            }),
        ]);
    }
    all
}

pub(crate) fn any_bound(world: &World) -> bool {
    ConnectionId::all().any(|it| matches!(world.connection(it).stage, Stage::Bound(_)))
}

fn any_refused(world: &World) -> bool {
    let refused = |stage| matches!(stage, Stage::Binding { refused: true, .. });
    ConnectionId::all().any(|it| refused(world.connection(it).stage))
}

/// Whether a copy may still arrive of a bind whose connection has gone and said goodbye, and meets this.
fn late_bind(world: &World, meets: impl Fn(&World, ConnectionId, Address) -> bool) -> bool {
    ConnectionId::all().any(|connection| {
        let gone = matches!(world.connection(connection).stage, Stage::Gone(Some(_)));
        let sent = |address: Address| {
            let copied = |life| world.copies.get(connection, life, address);
            Life::all().any(|life| copied(life).bind.is_some())
        };
        gone && Address::ALL.into_iter().any(|it| sent(it) && meets(world, connection, it))
    })
}

fn answered_too_late(_: &Protocol, world: &World) -> bool {
    ConnectionId::all().any(|connection| match world.connection(connection).stage {
        Stage::Binding { address, granted: Some(_), .. } => {
            world.shards[address].route(connection, world.life(connection)).is_none()
        }
        _ => false,
    })
}

fn acknowledged_is_fenced(_: &Protocol, world: &World) -> bool {
    ConnectionId::all().any(|connection| {
        let fence = |address: Address| world.shards[address].fence(connection.comet());
        let bound = matches!(world.connection(connection).stage, Stage::Bound(_));
        bound && Address::ALL.into_iter().any(|it| fence(it) > world.life(connection))
    })
}
