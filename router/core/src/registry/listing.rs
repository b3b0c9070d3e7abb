//! Listing: which comets hold members of a room, kept in the room's own shard.

use orrery_model::command::{ListRoom, Outcome, Refusal, Reply};
use orrery_model::{Address, Kind, Slot, Version};

use super::Registry;
use super::comets::Life;
use super::pages::Place;
use super::slot_state::{Listing, SlotState, Standing};

impl Registry {
    /// Lists a comet for a room, or takes it off; a version that is not newer changes nothing.
    pub(super) fn list_room(&mut self, list: &ListRoom, listed: bool) -> Reply {
        if list.room.kind != Kind::Room {
            return Err(Refusal::Invalid("only a room has a listing"));
        }
        let (slot, life) = self.admit(&list.room, &list.comet)?;
        let state = self.slots.get(slot).expect("a write was admitted to its slot");
        if let Ok(place) = state.find_listing(&self.comets, &list.room, &list.comet.id) {
            let held = state.listings.get(place);
            // A version of an ended life says nothing about this one.
            if held.life == life && list.version <= held.version {
                return Ok(Outcome::Stale);
            }
            self.remove_listing(slot, place);
        }
        self.add_listing(slot, &list.room, life, list.version, listed);
        self.forget_excess_tombstones(life);
        Ok(Outcome::Done)
    }

    /// Adds the listing of a comet that has none in this room. The slot must be open.
    pub(super) fn add_listing(
        &mut self,
        slot: Slot,
        room: &Address,
        life: Life,
        version: Version,
        listed: bool,
    ) {
        let state = self.slots.get_mut(slot).expect("a write was admitted to its slot");
        let room = held(state, room);
        let place = state.find_listing(&self.comets, &room, &self.comets.get(life.comet).id);
        let place = place.expect_err("the comet's earlier listing was removed");
        let comet = self.comets.get_mut(life.comet);
        comet.listings += 1;
        let standing = match listed {
            true => Standing::Listed,
            false => Standing::Tombstone(comet.tombstones.push(room.clone())),
        };
        state.listings.insert(place, Listing { room, life, version, standing });
    }

    /// Takes a listing out of the shard, with what was counted for it.
    pub(super) fn remove_listing(&mut self, slot: Slot, place: Place) {
        let slot = self.slots.get_mut(slot).expect("the listing was found in an open slot");
        let listing = slot.listings.remove(place);
        if !self.comets.is_visible(listing.life) {
            self.sweep.done(1);
            return;
        }
        let comet = self.comets.get_mut(listing.life.comet);
        comet.listings -= 1;
        if let Standing::Tombstone(order) = listing.standing {
            comet.tombstones.remove(order);
        }
    }

    fn forget_excess_tombstones(&mut self, life: Life) {
        while let Some(room) = self.comets.get_mut(life.comet).tombstones.pop_excess() {
            let state = self.slots.get(room.slot()).expect("a tombstone's slot is open");
            let id = &self.comets.get(life.comet).id;
            let place = state.find_listing(&self.comets, &room, id);
            self.remove_listing(room.slot(), place.expect("a tombstone has its listing"));
        }
    }
}

/// The room's address as its listings already hold it, so that all of them share one text.
fn held(state: &SlotState, room: &Address) -> Address {
    let first = state.listings_of(room).next();
    first.map_or(room, |listing| &listing.room).clone()
}
