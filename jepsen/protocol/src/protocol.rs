//! Protocol: the model as the checker takes it.

use stateright::{Model, Property};

use crate::address::Address;
use crate::bounds::{CometId, ConnectionId, Life};
use crate::connection::Stage;
use crate::copies::{Copied, Copies};
use crate::mutation::Mutation;
use crate::properties;
use crate::setting::{Protocol, Settling};
use crate::step::Step;
use crate::world::World;

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::new();
        ConnectionId::all().filter(|it| self.begins(*it)).for_each(|it| world.begin(it));
        vec![world]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.breach.is_some() {
            return;
        }
        ConnectionId::all().for_each(|connection| self.steps_of(world, connection, steps));
        for (connection, life, address) in Copies::places() {
            let Copied { bind, unbind } = world.copies.get(connection, life, address);
            steps.extend(bind.map(|_| Step::Bind(connection, life, address)));
            steps.extend(unbind.map(|_| Step::Unbind(connection, life, address)));
        }
        for comet in CometId::all() {
            if self.settling == Settling::AtAnyMoment {
                self.settlings(world, comet, steps);
            }
            if self.may_fence(comet) && world.comet(comet).life < Life::LAST {
                steps.push(match world.control.living(comet) {
                    Some(_) => Step::Expire(comet),
                    None => Step::Attach(comet),
                });
            }
        }
        for address in Address::ALL {
            let event = world.control.event_after(world.shards[address].cursor());
            steps.extend(event.map(|_| Step::Fence(address)));
            if self.is(Mutation::SeqCounterLost) {
                steps.push(Step::Lead(address));
            }
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = self.after(before, step);
        if self.forgets {
            world.forget(self);
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all(self)
    }
}

impl Protocol {
    /// What a step makes of a world.
    pub(crate) fn after(&self, before: &World, step: Step) -> World {
        let mut world = *before;
        match step {
            Step::Bind(connection, life, address) => {
                self.bind(&mut world, connection, life, address);
            }
            Step::Unbind(connection, life, address) => {
                self.unbind(&mut world, connection, life, address);
            }
            Step::Settle(comet, life, settled, address) => {
                self.settle(&mut world, comet, life, settled, address);
            }
            Step::Granted(connection) => self.hear_granted(&mut world, connection),
            Step::Refused(connection) | Step::Replaced(connection) | Step::Leave(connection) => {
                world.say_goodbye(connection);
            }
            Step::Expire(comet) => world.control.expire(comet),
            Step::Attach(comet) => self.attach(&mut world, comet),
            Step::Fence(address) => {
                let shard = &mut world.shards[address];
                if let Some(event) = before.control.event_after(shard.cursor()) {
                    shard.expire(event, self.rules(address));
                }
            }
            Step::Lead(address) => world.shards[address].recount(),
        }
        world
    }

    fn steps_of(&self, world: &World, connection: ConnectionId, steps: &mut Vec<Step>) {
        let stage = world.connection(connection).stage;
        if let Stage::Binding { granted, refused, .. } = stage {
            steps.extend(granted.map(|_| Step::Granted(connection)));
            steps.extend(refused.then_some(Step::Refused(connection)));
        }
        if self.leaves && stage.stays() {
            steps.push(Step::Leave(connection));
        }
        if world.may_be_replaced(connection) {
            steps.push(Step::Replaced(connection));
        }
    }

    /// What shards may learn of a comet's settled connections.
    fn settlings(&self, world: &World, comet: CometId, steps: &mut Vec<Step>) {
        for life in Life::all().filter(|life| *life <= world.comet(comet).life) {
            let held = world.settled(comet, life, self.is(Mutation::SettledTooEarly));
            for address in Address::ALL {
                let shard = &world.shards[address];
                let fence = shard.fence(comet);
                let first = if fence == life { shard.settled(comet) + 1 } else { 1 };
                if fence <= life {
                    let values = first..=held;
                    steps.extend(values.map(|value| Step::Settle(comet, life, value, address)));
                }
            }
        }
    }
}
