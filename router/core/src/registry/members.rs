//! Members: a room's members among the connections whose primary address is in this shard.

use orrery_model::limits::PAGE_SIZE_MAX;
use orrery_model::{Address, Route, Seq, Slot};

use super::Registry;
use super::counts::RoomRef;
use super::pages::Place;
use super::route_texts::RouteKey;
use super::slot_state::RoomHash;

/// A connection that is in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its primary address.
    pub address: Address,
    /// Its route there.
    pub route: Route,
}

/// A page of a room's members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MembersPage {
    /// The members, in order of (slot, hash of the address, address, seq).
    pub members: Vec<Member>,
    /// Whether members follow after the last of these.
    pub more: bool,
}

impl Registry {
    /// A page of a room's members in this shard, those up to and including `after` left out. The order
    /// is the same on every replica and never changes, so a walk meets each member that stays exactly
    /// once. A `limit` of 0, or above [`PAGE_SIZE_MAX`], is that maximum.
    pub fn members(
        &self,
        room: &Address,
        after: Option<(&Address, Seq)>,
        limit: usize,
    ) -> MembersPage {
        let limit = page_limit(limit);
        let mut page = MembersPage::default();
        if self.count(room) == 0 {
            return page;
        }
        let hash = RoomHash::of(&room.id);
        let first = after.map_or_else(first_slot, |(address, _)| address.slot());
        for (slot, state) in self.slots.from(first) {
            let candidates: Vec<Seq> = state.candidates(hash).collect();
            if candidates.is_empty() {
                continue;
            }
            let start = match after {
                Some((address, seq)) if slot == first => {
                    state.after_route(RouteKey { address: address.into(), seq })
                }
                _ => Place::START,
            };
            for route in state.routes.from(start) {
                if candidates.binary_search(&route.seq).is_err()
                    || route.key().address.namespace() != room.namespace_text()
                    || route.rooms().binary_search(&room.id).is_err()
                    || !self.comets.is_visible(route.life())
                {
                    continue;
                }
                if page.members.len() == limit {
                    page.more = true;
                    return page;
                }
                let (address, route) = (route.address(), route.to_route(&self.comets));
                page.members.push(Member { address, route });
            }
        }
        page
    }

    /// How many members a room has in this shard.
    pub fn count(&self, room: &Address) -> u64 {
        let room = RoomRef { namespace: room.namespace_text(), id: &room.id };
        self.counts.of(room, |life| self.comets.is_visible(life))
    }
}

/// The length of a page for what was asked.
pub(super) fn page_limit(limit: usize) -> usize {
    if limit == 0 { PAGE_SIZE_MAX } else { limit.min(PAGE_SIZE_MAX) }
}

pub(super) fn first_slot() -> Slot {
    Slot::all().next().expect("there are slots")
}
