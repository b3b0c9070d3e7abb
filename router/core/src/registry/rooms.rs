//! Rooms of a connection: the versioned set on its primary route, and the index and counts it feeds.

use orrery_model::command::{Outcome, Refusal, Reply, SetRooms};
use orrery_model::limits::ROOMS_PER_CONNECTION_MAX;
use orrery_model::{Address, Id, Seq};

use super::comets::Life;
use super::slot_state::Membership;
use super::stored_route::StoredRoute;
use super::{Registry, check_routable};

impl Registry {
    pub(super) fn set_rooms(&mut self, set: &SetRooms) -> Reply {
        check_routable(&set.address)?;
        if set.rooms.len() > ROOMS_PER_CONNECTION_MAX {
            return Err(Refusal::Invalid("too many rooms"));
        }
        let life = self.admit(&set.address, &set.comet)?;
        let routes = self.routes_of(&set.address);
        let index = routes.iter().position(|route| route.life == life && route.seq == set.seq);
        let index = index.ok_or(Refusal::NotBound)?;
        let route = &routes[index];
        if route.primary.is_some() {
            return Err(Refusal::Invalid("rooms belong to the primary address"));
        }
        if set.version <= route.rooms_version {
            return Ok(Outcome::Stale);
        }

        let before = route.clone();
        let address = self.held(&set.address);
        let left: Vec<Id> =
            before.rooms().iter().filter(|room| !set.rooms.contains(*room)).cloned().collect();
        self.leave_rooms(&address, &before, &left);
        let rooms = set
            .rooms
            .iter()
            .map(|room| match before.rooms().binary_search(room) {
                Ok(held) => before.rooms()[held].clone(),
                Err(_) => self.join_room(&address, set.seq, life, room),
            })
            .collect();

        let slot = self.slots.get_mut(address.slot()).expect("a write was admitted to its slot");
        let routes = slot.routes.get_mut(&address).expect("the route was found above");
        routes[index].put_rooms(rooms);
        routes[index].rooms_version = set.version;
        Ok(Outcome::Done)
    }

    /// Makes a connection a member of a room and returns the room's id as it is already held.
    pub(super) fn join_room(&mut self, address: &Address, seq: Seq, life: Life, room: &Id) -> Id {
        let room = self.counts.add(room_of(address, room), life).id;
        let slot = self.slots.get_mut(address.slot()).expect("a write was admitted to its slot");
        slot.members.insert(Membership { room: room.clone(), address: address.clone(), seq });
        room
    }

    /// Ends a connection's membership of these rooms, in which it is.
    pub(super) fn leave_rooms(&mut self, address: &Address, route: &StoredRoute, rooms: &[Id]) {
        if rooms.is_empty() {
            return;
        }
        let slot = self.slots.get_mut(address.slot()).expect("the route was found in an open slot");
        for room in rooms {
            self.counts.remove(&room_of(address, room), route.life);
            slot.members.remove(&Membership {
                room: room.clone(),
                address: address.clone(),
                seq: route.seq,
            });
        }
    }
}

/// The room's address: rooms are in the namespace of the connection's primary address.
fn room_of(address: &Address, room: &Id) -> Address {
    let mut room = Address::room(room.clone());
    room.namespace.clone_from(&address.namespace);
    room
}
