//! Slot state: what a shard holds of one open slot, as sorted lists.

use std::cmp::Ordering;

use orrery_model::{Address, CometId, Id, Seq, Version};
use twox_hash::XxHash64;

use super::comets::{Comets, Life};
use super::pages::{Element, Pages, Place};
use super::route_texts::{AddressRef, RouteKey};
use super::stored_route::StoredRoute;
use super::tombstones::TombstoneOrder;

/// Seed of the hash of rooms. It never leaves the replica.
const ROOM_SEED: u64 = 0x6f72_7265_7279_0005;

/// That a connection of this slot is in a room. Rooms stand here by their hashes: whoever looks for
/// members checks the routes it is led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Membership {
    pub(super) room: RoomHash,
    pub(super) seq: Seq,
}

/// Hash of a room's id, whatever its namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoomHash(u64);

/// A comet in a room's listing.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    pub(super) room: Address,
    pub(super) life: Life,
    pub(super) version: Version,
    pub(super) standing: Standing,
}

/// Whether the comet is on the listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Listed,
    /// Taken off; the version stays, so that an older one changes nothing.
    Tombstone(TombstoneOrder),
}

/// One open slot. Routes and listings of fenced lives stay in it, unseen, until they are swept.
#[derive(Debug, Clone, Default)]
pub(super) struct SlotState {
    /// Routes of users and keys in order of (hash of the address, address, seq).
    pub(super) routes: Pages<StoredRoute>,
    /// Listings of rooms in order of (room, id of the comet).
    pub(super) listings: Pages<Listing>,
    /// Memberships of the routes, in order.
    pub(super) members: Pages<Membership>,
}

impl RoomHash {
    pub(super) fn of(room: &Id) -> Self {
        Self(XxHash64::oneshot(ROOM_SEED, room.as_str().as_bytes()))
    }

    /// Its highest bits, see [`Element::coarse`].
    pub(super) fn coarse(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Its lowest bits, below a power of two.
    pub(super) fn part(self, parts: usize) -> usize {
        (self.0 & (parts as u64 - 1)) as usize
    }
}

impl Element for Membership {
    fn coarse(&self) -> u32 {
        self.room.coarse()
    }
}

impl Element for Listing {
    /// Texts have no such number.
    fn coarse(&self) -> u32 {
        0
    }
}

impl Listing {
    fn cmp(&self, comets: &Comets, room: &Address, comet: &CometId) -> Ordering {
        let id = &comets.get(self.life.comet).id;
        self.room.cmp(room).then_with(|| id.cmp(comet))
    }
}

impl SlotState {
    /// The routes of an address in order of seq.
    pub(super) fn routes_of<'a>(
        &'a self,
        address: AddressRef<'a>,
    ) -> impl Iterator<Item = &'a StoredRoute> {
        let hash = address.hash();
        let start = self.routes.start(hash.number(), |route| route.cmp_address(hash, address));
        let is_of = move |route: &&StoredRoute| route.cmp_address(hash, address).is_eq();
        self.routes.from(start).take_while(is_of)
    }

    pub(super) fn find_route(&self, key: RouteKey<'_>) -> Result<Place, Place> {
        let hash = key.address.hash();
        self.routes.find(hash.number(), |route| route.cmp(hash, key))
    }

    /// Where the routes behind this one begin, whether or not it is there.
    pub(super) fn after_route(&self, key: RouteKey<'_>) -> Place {
        let hash = key.address.hash();
        self.routes.after(hash.number(), |route| route.cmp(hash, key))
    }

    /// Adds a route whose seq its address does not have yet.
    pub(super) fn add_route(&mut self, route: StoredRoute) {
        let place = self.find_route(route.key());
        self.routes.insert(place.expect_err("a seq is given once"), route);
    }

    /// The listings of a room in order of the comets' ids.
    pub(super) fn listings_of<'a>(
        &'a self,
        room: &'a Address,
    ) -> impl Iterator<Item = &'a Listing> {
        let start = self.listings.start(0, |listing| listing.room.cmp(room));
        self.listings.from(start).take_while(move |listing| listing.room == *room)
    }

    /// Where the comet's listing in the room is, or would have to be.
    pub(super) fn find_listing(
        &self,
        comets: &Comets,
        room: &Address,
        comet: &CometId,
    ) -> Result<Place, Place> {
        self.listings.find(0, |listing| listing.cmp(comets, room, comet))
    }

    /// Where the listings behind this one begin, whether or not it is there.
    pub(super) fn after_listing(&self, comets: &Comets, room: &Address, comet: &CometId) -> Place {
        self.listings.after(0, |listing| listing.cmp(comets, room, comet))
    }

    pub(super) fn add_member(&mut self, member: Membership) {
        let place = self.members.find(member.coarse(), |held| held.cmp(&member));
        // Of two rooms with one hash the connection may be in both.
        let (Ok(place) | Err(place)) = place;
        self.members.insert(place, member);
    }

    pub(super) fn remove_member(&mut self, member: Membership) {
        let place = self.members.find(member.coarse(), |held| held.cmp(&member));
        self.members.remove(place.expect("a membership was added when its room was joined"));
    }

    /// Seqs of the connections that may be in a room, in order: all that are, and others where hashes
    /// meet.
    pub(super) fn candidates(&self, room: RoomHash) -> impl Iterator<Item = Seq> {
        let start = self.members.start(room.coarse(), |held| held.room.cmp(&room));
        let members = self.members.from(start).take_while(move |held| held.room == room);
        members.map(|member| member.seq)
    }
}
