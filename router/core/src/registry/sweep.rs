//! Sweep: removes, a slice at a time, the bodies of what fences have made invisible.
//!
//! Nothing observable depends on how far it has come: it frees memory, and that is all.

use std::collections::BTreeMap;
use std::ops::Bound;

use orrery_model::limits::SLOTS;
use orrery_model::{Address, Slot};

use super::Registry;
use crate::limits::SWEEP_ADDRESSES_PER_BATCH;

/// The two maps of a slot, swept one after the other.
const STAGES: usize = 2 * SLOTS;

/// How much is to be swept, and where the next slice goes on. The scan runs in a circle, so that a fence
/// raised meanwhile needs no second one.
#[derive(Debug, Clone, Default)]
pub(super) struct Sweep {
    /// Invisible routes and listings still held.
    unswept: u64,
    /// Slot number times two, plus one for its listings.
    stage: usize,
    /// The last address looked at in this stage.
    after: Option<Address>,
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
        let mut budget = SWEEP_ADDRESSES_PER_BATCH;
        // A circle of stages and one more, the first one being finished from its start.
        for _ in 0..=STAGES {
            if budget == 0 || !self.sweep.is_due() {
                return;
            }
            let number = u32::try_from(self.sweep.stage / 2).expect("a stage is below 2 x slots");
            let slot = Slot::new(number).expect("a stage is below 2 x slots");
            budget -= match self.sweep.stage % 2 {
                0 => self.sweep_routes(slot, budget),
                _ => self.sweep_listings(slot, budget),
            };
        }
    }

    /// Sweeps routes of up to `budget` addresses of a slot; returns how many it looked at.
    fn sweep_routes(&mut self, slot: Slot, budget: usize) -> usize {
        let Some(state) = self.slots.get(slot) else { return self.next_stage() };
        let page = Page::of(&state.routes, self.sweep.after.as_ref(), budget, |routes| {
            routes.iter().any(|route| !self.comets.is_visible(route.life))
        });
        page.dead.iter().for_each(|address| self.sweep_routes_of(address));
        self.end_page(page.last, page.looked_at, budget)
    }

    /// Sweeps listings of up to `budget` rooms of a slot; returns how many it looked at.
    fn sweep_listings(&mut self, slot: Slot, budget: usize) -> usize {
        let Some(state) = self.slots.get(slot) else { return self.next_stage() };
        let page = Page::of(&state.listings, self.sweep.after.as_ref(), budget, |listings| {
            listings.iter().any(|listing| !self.comets.is_visible(listing.life))
        });
        page.dead.iter().for_each(|room| self.sweep_listings_of(room));
        self.end_page(page.last, page.looked_at, budget)
    }

    fn end_page(&mut self, last: Option<Address>, looked_at: usize, budget: usize) -> usize {
        self.sweep.after = last;
        if looked_at < budget {
            self.next_stage();
        }
        looked_at
    }

    fn next_stage(&mut self) -> usize {
        self.sweep.after = None;
        self.sweep.stage = (self.sweep.stage + 1) % STAGES;
        0
    }

    /// Removes the invisible routes of one address.
    pub(super) fn sweep_routes_of(&mut self, address: &Address) {
        if !self.sweep.is_due() {
            return;
        }
        for index in (0..self.routes_of(address).len()).rev() {
            if !self.comets.is_visible(self.routes_of(address)[index].life) {
                self.remove_route(address, index);
            }
        }
    }

    /// Removes the invisible listings of one room.
    pub(super) fn sweep_listings_of(&mut self, room: &Address) {
        if !self.sweep.is_due() {
            return;
        }
        for index in (0..self.listings_of(room).len()).rev() {
            if !self.comets.is_visible(self.listings_of(room)[index].life) {
                self.remove_listing(room, index);
            }
        }
    }
}

/// A page of one map: which of its addresses hold something invisible.
struct Page {
    dead: Vec<Address>,
    last: Option<Address>,
    looked_at: usize,
}

impl Page {
    fn of<V>(
        map: &BTreeMap<Address, V>,
        after: Option<&Address>,
        budget: usize,
        is_dead: impl Fn(&V) -> bool,
    ) -> Self {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = Self { dead: Vec::new(), last: None, looked_at: 0 };
        for (address, value) in map.range::<Address, _>((start, Bound::Unbounded)).take(budget) {
            if is_dead(value) {
                page.dead.push(address.clone());
            }
            page.last = Some(address.clone());
            page.looked_at += 1;
        }
        page
    }
}
