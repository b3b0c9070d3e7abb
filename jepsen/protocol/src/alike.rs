//! Alike: whether a world and what forgetting makes of it behave alike.

use stateright::Model;

use crate::address::Address;
use crate::setting::Protocol;
use crate::step::Step;
use crate::world::World;

impl Protocol {
    /// Whether a world and what forgetting makes of it go on alike: each step from one leads to what the
    /// other's leads to as well, once what makes no difference is forgotten, or to no change. Moving the
    /// cursor over an event that the shard knows already is no change.
    pub(crate) fn may_forget(&self, world: &World) -> bool {
        let forget = |mut world: World| {
            world.forget(self);
            world
        };
        let short = forget(*world);
        let mut steps = Vec::new();
        self.actions(world, &mut steps);
        self.actions(&short, &mut steps);
        steps.into_iter().all(|step| {
            let full = match step {
                Step::Fence(address) => caught_up(
                    world,
                    short.shards[address].cursor(),
                    |world| self.after(world, Step::Fence(address)),
                    address,
                ),
                _ => *world,
            };
            forget(self.after(&full, step)) == forget(self.after(&short, step))
        })
    }
}

/// The world with a shard's cursor where it is once the events that it knows are passed.
fn caught_up(world: &World, cursor: u8, next: impl Fn(&World) -> World, address: Address) -> World {
    let mut world = *world;
    while world.shards[address].cursor() < cursor {
        world = next(&world);
    }
    world
}
