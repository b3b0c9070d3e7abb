//! Arrival: a copy of a message reaches its shard.

use crate::address::Address;
use crate::bounds::{CometId, ConnectionId, Life};
use crate::breach::{self, Breach};
use crate::connection::Stage;
use crate::mutation::Mutation;
use crate::setting::{Protocol, Settling};
use crate::shard::{Granted, Refusal, Shard};
use crate::world::World;

impl Protocol {
    /// A copy of a bind arrives.
    pub(crate) fn bind(
        &self,
        world: &mut World,
        connection: ConnectionId,
        life: Life,
        address: Address,
    ) {
        let Some(bind) = world.copies.get(connection, life, address).bind else { return };
        let awaited = world.awaits_bind(connection, life, address);
        if awaited {
            self.settle_along(world, connection.comet(), life, address);
        }
        let before = world.shards[address];
        let shard = &mut world.shards[address];
        let reply = shard.bind(connection, life, bind, self.rules(address));
        if let (Ok(Granted { seq, .. }), Some(route)) = (reply, shard.route(connection, life))
            && before.route(connection, life) != Some(route)
        {
            if seq <= shard.highest {
                world.breach = Some(Breach::SeqReused);
            }
            shard.highest = seq.max(shard.highest);
        }
        if breach::is_age_ignored(&before, shard, connection, bind, reply, self.rules(address)) {
            world.breach = Some(Breach::AgeIgnored);
        }
        world.watch_fence(&before, address, connection.comet(), life);
        let stage = &mut world.connection_mut(connection).stage;
        if let (true, Stage::Binding { granted, refused, .. }) = (awaited, stage) {
            match reply {
                Ok(answer) => *granted = Some(answer),
                Err(Refusal::Gone | Refusal::Outranked) => *refused = true,
                // The comet learns it from the control shard.
                Err(Refusal::Fenced) => {}
            }
        }
    }

    /// A copy of an unbind arrives.
    pub(crate) fn unbind(
        &self,
        world: &mut World,
        connection: ConnectionId,
        life: Life,
        address: Address,
    ) {
        let Some(name) = world.copies.get(connection, life, address).unbind else { return };
        let awaited = world.awaits_unbind(connection, life, address);
        if awaited {
            self.settle_along(world, connection.comet(), life, address);
        }
        let before = world.shards[address];
        let reply = world.shards[address].unbind(connection, life, name, self.rules(address));
        world.watch_fence(&before, address, connection.comet(), life);
        if reply.is_ok() && awaited {
            world.hear_unbound(connection, address);
        }
    }

    /// What a comet holds settled arrives.
    pub(crate) fn settle(
        &self,
        world: &mut World,
        comet: CometId,
        life: Life,
        settled: u8,
        address: Address,
    ) {
        let before = world.shards[address];
        // Refused where its life has ended, which is all the answer there is.
        let _ = world.shards[address].settle(comet, life, settled, self.rules(address));
        world.watch_fence(&before, address, comet, life);
    }

    /// What a write says of its comet's other connections.
    fn settle_along(&self, world: &mut World, comet: CometId, life: Life, address: Address) {
        if self.settling == Settling::WithWrites {
            let too_early = self.is(Mutation::SettledTooEarly);
            let settled = world.settled(comet, life, too_early);
            self.settle(world, comet, life, settled, address);
        }
    }
}

impl World {
    /// Notes whether a life that had ended for the shard has changed it.
    fn watch_fence(&mut self, before: &Shard, address: Address, comet: CometId, life: Life) {
        if life < before.fence(comet) && *before != self.shards[address] {
            self.breach = Some(Breach::FencedWrite);
        }
    }
}
