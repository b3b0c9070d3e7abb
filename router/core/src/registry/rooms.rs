//! Rooms of a connection: the versioned set on its primary route, and the index and counts it feeds.

use orrery_model::command::{Outcome, Refusal, Reply, SetRooms};
use orrery_model::limits::ROOMS_PER_CONNECTION_MAX;
use orrery_model::{Id, Seq, Slot};

use super::comets::Life;
use super::counts::RoomRef;
use super::route_texts::RouteKey;
use super::slot_state::{Membership, RoomHash};
use super::stored_route::StoredRoute;
use super::{Registry, check_routable};

impl Registry {
    pub(super) fn set_rooms(&mut self, set: &SetRooms) -> Reply {
        check_routable(&set.address)?;
        if set.rooms.len() > ROOMS_PER_CONNECTION_MAX {
            return Err(Refusal::Invalid("too many rooms"));
        }
        let (slot, life) = self.admit(&set.address, &set.comet)?;
        let state = self.slots.get(slot).expect("a write was admitted to its slot");
        let key = RouteKey { address: (&set.address).into(), seq: set.seq };
        let place = state.find_route(key).map_err(|_| Refusal::NotBound)?;
        let before = state.routes.get(place).clone();
        if before.life() != life {
            return Err(Refusal::NotBound);
        }
        if before.primary().is_some() {
            return Err(Refusal::Invalid("rooms belong to the primary address"));
        }
        if set.version <= before.rooms_version() {
            return Ok(Outcome::Stale);
        }

        let left = before.rooms().iter().filter(|room| !set.rooms.contains(*room));
        self.leave_rooms(slot, &before, left);
        let namespace = set.address.namespace.as_ref();
        let rooms = set
            .rooms
            .iter()
            .map(|room| match before.rooms().binary_search(room) {
                Ok(held) => before.rooms()[held].clone(),
                Err(_) => self.join_room(slot, namespace, set.seq, life, room),
            })
            .collect();

        // Routes stay where they are while only memberships change.
        let state = self.slots.get_mut(slot).expect("a write was admitted to its slot");
        state.routes.get_mut(place).put_rooms(rooms, set.version);
        Ok(Outcome::Done)
    }

    /// Makes a connection a member of a room, which is in the namespace of its address, and returns the
    /// room's id as it is already held.
    pub(super) fn join_room(
        &mut self,
        slot: Slot,
        namespace: Option<&Id>,
        seq: Seq,
        life: Life,
        room: &Id,
    ) -> Id {
        let state = self.slots.get_mut(slot).expect("a write was admitted to its slot");
        state.add_member(Membership { room: RoomHash::of(room), seq });
        self.counts.add(namespace, room, life)
    }

    /// Ends a connection's membership of these rooms, in which it is.
    pub(super) fn leave_rooms<'a>(
        &mut self,
        slot: Slot,
        route: &StoredRoute,
        rooms: impl IntoIterator<Item = &'a Id>,
    ) {
        let namespace = route.key().address.namespace();
        for id in rooms {
            let state = self.slots.get_mut(slot).expect("the route was found in an open slot");
            state.remove_member(Membership { room: RoomHash::of(id), seq: route.seq });
            self.counts.remove(RoomRef { namespace, id }, route.life());
        }
    }
}
