//! Listing: which comets hold members of a room, kept in the room's own shard.

use orrery_model::command::{ListRoom, Outcome, Refusal, Reply};
use orrery_model::{Address, CometId, Kind, Version};

use super::Registry;
use super::comets::{Comets, Life};
use super::slot_state::{Listing, Standing};

impl Registry {
    /// Lists a comet for a room, or takes it off; a version that is not newer changes nothing.
    pub(super) fn list_room(&mut self, list: &ListRoom, listed: bool) -> Reply {
        if list.room.kind != Kind::Room {
            return Err(Refusal::Invalid("only a room has a listing"));
        }
        let life = self.admit(&list.room, &list.comet)?;
        self.sweep_listings_of(&list.room);
        let listings = self.listings_of(&list.room);
        if let Ok(index) = find(listings, &self.comets, &list.comet.id) {
            if list.version <= listings[index].version {
                return Ok(Outcome::Stale);
            }
            self.remove_listing(&list.room, index);
        }
        self.add_listing(&list.room, life, list.version, listed);
        self.forget_excess_tombstones(life);
        Ok(Outcome::Done)
    }

    /// Adds the listing of a comet that has none in this room. The slot must be open.
    pub(super) fn add_listing(
        &mut self,
        room: &Address,
        life: Life,
        version: Version,
        listed: bool,
    ) {
        let index = find(self.listings_of(room), &self.comets, &self.comets.get(life.comet).id);
        let index = index.expect_err("the comet's earlier listing was removed");
        let comet = self.comets.get_mut(life.comet);
        comet.listings += 1;
        let standing = match listed {
            true => Standing::Listed,
            false => Standing::Tombstone(comet.tombstones.push(room.clone())),
        };
        let slot = self.slots.get_mut(room.slot()).expect("a write was admitted to its slot");
        let listings = slot.listings.entry(room.clone()).or_default();
        listings.reserve_exact(1);
        listings.insert(index, Listing { life, version, standing });
    }

    /// Takes a listing out of the shard, with what was counted for it.
    pub(super) fn remove_listing(&mut self, room: &Address, index: usize) {
        let slot = self.slots.get_mut(room.slot()).expect("the listing was found in an open slot");
        let listing = slot.take_listing(room, index);
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
            let id = &self.comets.get(life.comet).id;
            let index = find(self.listings_of(&room), &self.comets, id);
            self.remove_listing(&room, index.expect("a tombstone has its listing"));
        }
    }

    /// The listings held for a room; those not visible among them only where a sweep is under way.
    pub(super) fn listings_of(&self, room: &Address) -> &[Listing] {
        self.slots.get(room.slot()).map_or(&[], |slot| slot.listings_of(room))
    }
}

/// Where the comet's listing is, or where it would have to be.
fn find(listings: &[Listing], comets: &Comets, id: &CometId) -> Result<usize, usize> {
    listings.binary_search_by(|listing| comets.get(listing.life.comet).id.cmp(id))
}
