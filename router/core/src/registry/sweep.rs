//! Sweep: removes, a slice at a time, the bodies of what fences have made invisible.
//!
//! Nothing observable depends on how far it has come: it frees memory, and that is all.

use orrery_model::limits::SLOTS;
use orrery_model::{Address, CometId, Seq, Slot};

use super::Registry;
use super::comets::Life;
use super::pages::Place;
use super::route_texts::RouteKey;
use crate::limits::SWEEP_BODIES_PER_BATCH;

/// The two lists of a slot, swept one after the other.
const STAGES: usize = 2 * SLOTS;

/// How much is to be swept, and where the next slice goes on. The scan runs in a circle, so that a fence
/// raised meanwhile needs no second one.
#[derive(Debug, Clone, Default)]
pub(super) struct Sweep {
    /// Invisible routes and listings still held.
    unswept: u64,
    /// Slot number times two, plus one for its listings.
    stage: usize,
    /// The last route looked at in this stage.
    after_route: Option<(Address, Seq)>,
    /// The last listing looked at in this stage.
    after_listing: Option<(Address, CometId)>,
}

impl Sweep {
    pub(super) fn is_due(&self) -> bool {
        self.unswept > 0
    }

    pub(super) fn unswept(&self) -> u64 {
        self.unswept
    }

    /// A fence has made this many more routes and listings invisible.
    pub(super) fn add(&mut self, bodies: u64) {
        self.unswept += bodies;
    }

    /// This many of them were removed.
    pub(super) fn done(&mut self, bodies: u64) {
        self.unswept -= bodies;
    }
}

impl Registry {
    /// Sweeps the next slice, if anything waits for it.
    pub(super) fn sweep_slice(&mut self) {
        let mut budget = SWEEP_BODIES_PER_BATCH;
        // A circle of stages and one more, the first one being finished from its start.
        for _ in 0..=STAGES {
            if budget == 0 || !self.sweep.is_due() {
                return;
            }
            let number = u32::try_from(self.sweep.stage / 2).expect("a stage is below 2 x slots");
            let slot = Slot::new(number).expect("a stage is below 2 x slots");
            let looked_at = match self.sweep.stage % 2 {
                0 => self.sweep_routes(slot, budget),
                _ => self.sweep_listings(slot, budget),
            };
            if looked_at < budget {
                self.sweep.stage = (self.sweep.stage + 1) % STAGES;
                (self.sweep.after_route, self.sweep.after_listing) = (None, None);
            }
            budget -= looked_at;
        }
    }

    /// Sweeps up to `budget` routes of a slot; returns how many it looked at.
    fn sweep_routes(&mut self, slot: Slot, budget: usize) -> usize {
        let Some(state) = self.slots.get(slot) else { return 0 };
        let start = self.sweep.after_route.as_ref().map_or(Place::START, |(address, seq)| {
            state.after_route(RouteKey { address: address.into(), seq: *seq })
        });
        let slice: Vec<_> = state.routes.from(start).take(budget).collect();
        let looked_at = slice.len();
        self.sweep.after_route = slice.last().map(|last| (last.address(), last.seq));
        let dead = slice.into_iter().filter(|route| !self.comets.is_visible(route.life()));
        let dead: Vec<_> = dead.cloned().collect();
        for route in dead {
            self.remove_route(slot, route.key());
        }
        looked_at
    }

    /// Sweeps up to `budget` listings of a slot; returns how many it looked at.
    fn sweep_listings(&mut self, slot: Slot, budget: usize) -> usize {
        let Some(state) = self.slots.get(slot) else { return 0 };
        let (comets, after) = (&self.comets, self.sweep.after_listing.as_ref());
        let start =
            after.map_or(Place::START, |(room, comet)| state.after_listing(comets, room, comet));
        let slice: Vec<_> = state.listings.from(start).take(budget).collect();
        let looked_at = slice.len();
        let name = |life: Life| comets.get(life.comet).id.clone();
        let last = slice.last().map(|last| (last.room.clone(), name(last.life)));
        let dead = slice.into_iter().filter(|listing| !comets.is_visible(listing.life));
        let dead: Vec<_> = dead.map(|dead| (dead.room.clone(), name(dead.life))).collect();
        self.sweep.after_listing = last;
        for (room, comet) in dead {
            let state = self.slots.get(slot).expect("it is open, for it was just read");
            let place = state.find_listing(&self.comets, &room, &comet);
            self.remove_listing(slot, place.expect("it was just seen"));
        }
        looked_at
    }
}
