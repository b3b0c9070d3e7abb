//! Members: a room's members among the connections whose primary address is in this shard.

use orrery_model::limits::PAGE_SIZE_MAX;
use orrery_model::{Address, Route, Seq, Slot};

use super::Registry;
use super::slot_state::{Membership, SlotState};
use super::stored_route::StoredRoute;

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
    /// The members, in order of (slot, address, seq).
    pub members: Vec<Member>,
    /// Whether members follow after the last of these.
    pub more: bool,
}

impl Registry {
    /// A page of a room's members in this shard, those up to and including `after` left out. The order
    /// is that of (slot, address, seq), so a walk meets each member that stays exactly once. A `limit`
    /// of 0, or above [`PAGE_SIZE_MAX`], is that maximum.
    pub fn members(
        &self,
        room: &Address,
        after: Option<(&Address, Seq)>,
        limit: usize,
    ) -> MembersPage {
        let limit = if limit == 0 { PAGE_SIZE_MAX } else { limit.min(PAGE_SIZE_MAX) };
        let mut page = MembersPage::default();
        if self.count(room) == 0 {
            return page;
        }
        let first = after.map_or_else(first_slot, |(address, _)| address.slot());
        for (slot, state) in self.slots.from(first) {
            let after = after.filter(|_| slot == first);
            for membership in state.members_of(room, after) {
                let route = route_of(state, membership);
                if !self.comets.is_visible(route.life) {
                    continue;
                }
                if page.members.len() == limit {
                    page.more = true;
                    return page;
                }
                let route = route.to_route(&self.comets);
                page.members.push(Member { address: membership.address.clone(), route });
            }
        }
        page
    }

    /// How many members a room has in this shard.
    pub fn count(&self, room: &Address) -> u64 {
        self.counts.of(room, |life| self.comets.is_visible(life))
    }
}

fn route_of<'a>(state: &'a SlotState, membership: &Membership) -> &'a StoredRoute {
    let routes = state.routes_of(&membership.address).iter();
    let mut found = routes.filter(|route| route.seq == membership.seq);
    found.next().expect("a membership is removed with its route")
}

fn first_slot() -> Slot {
    Slot::all().next().expect("there are slots")
}
