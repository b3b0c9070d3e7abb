//! Slot state: what a shard holds of one open slot. It is copied as a whole when it is first written
//! after a snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use orrery_model::{Address, Id, Kind, Seq, Version};

use super::comets::Life;
use super::stored_route::StoredRoute;
use super::tombstones::TombstoneOrder;

/// A connection of this slot that is in a room (of its address's namespace).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Membership {
    pub(super) room: Id,
    pub(super) address: Address,
    pub(super) seq: Seq,
}

/// A comet in a room's listing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listing {
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
    /// Routes of users and keys, each address's in order of seq, none empty.
    pub(super) routes: BTreeMap<Address, Vec<StoredRoute>>,
    /// Listings of rooms, each room's in order of the comets' ids, none empty.
    pub(super) listings: BTreeMap<Address, Vec<Listing>>,
    pub(super) members: BTreeSet<Membership>,
}

impl SlotState {
    pub(super) fn routes_of(&self, address: &Address) -> &[StoredRoute] {
        self.routes.get(address).map_or(&[], Vec::as_slice)
    }

    /// Adds a route with the highest seq of its address.
    pub(super) fn push_route(&mut self, address: &Address, route: StoredRoute) {
        let routes = self.routes.entry(address.clone()).or_default();
        debug_assert!(routes.last().is_none_or(|last| last.seq < route.seq));
        // Most addresses have one route: the usual doubling would waste three times its size.
        routes.reserve_exact(1);
        routes.push(route);
    }

    /// Takes one route out, and its address if it was the last.
    pub(super) fn take_route(&mut self, address: &Address, index: usize) -> StoredRoute {
        let routes = self.routes.get_mut(address).expect("the route was found at this address");
        let route = routes.remove(index);
        if routes.is_empty() {
            self.routes.remove(address);
        }
        route
    }

    pub(super) fn listings_of(&self, room: &Address) -> &[Listing] {
        self.listings.get(room).map_or(&[], Vec::as_slice)
    }

    /// Takes one listing out, and its room if it was the last.
    pub(super) fn take_listing(&mut self, room: &Address, index: usize) -> Listing {
        let listings = self.listings.get_mut(room).expect("the listing was found in this room");
        let listing = listings.remove(index);
        if listings.is_empty() {
            self.listings.remove(room);
        }
        listing
    }

    /// Members of a room in order of (address, seq), those up to and including `after` left out.
    pub(super) fn members_of<'a>(
        &'a self,
        room: &'a Address,
        after: Option<(&Address, Seq)>,
    ) -> impl Iterator<Item = &'a Membership> {
        let start = match after {
            Some((address, seq)) => {
                let address = address.clone();
                Bound::Excluded(Membership { room: room.id.clone(), address, seq })
            }
            None => Bound::Included(Membership {
                room: room.id.clone(),
                address: first_address(room.namespace.clone()),
                seq: Seq(0),
            }),
        };
        self.members.range((start, Bound::Unbounded)).take_while(|member| {
            member.room == room.id && member.address.namespace == room.namespace
        })
    }
}

/// The address that sorts before all others of its namespace.
fn first_address(namespace: Option<Id>) -> Address {
    let id = Id::new("\0").expect("one byte is a valid id");
    Address { namespace, kind: Kind::User, id }
}
