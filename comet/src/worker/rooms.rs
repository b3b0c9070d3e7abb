//! Rooms: those that have members on one worker.

use std::collections::HashMap;
use std::rc::Rc;

use orrery_model::Address;

use super::section::Section;
use crate::connection::Connection;
use crate::limits::SECTION_MEMBERS;

/// The rooms of one worker; one without members is absent.
#[derive(Default)]
pub(crate) struct Rooms {
    by_address: HashMap<Address, Sections>,
    /// How many were made so far.
    made: usize,
}

/// A room's members on this worker; there is at least one.
struct Sections {
    /// The full ones first.
    all: Vec<Rc<Section>>,
    full: usize,
    /// The number of the next one. Each room begins with another one, so that small ones have moments of their own too.
    next: usize,
}

impl Rooms {
    /// Adds a member; gives its section of the room and the slot there.
    pub(crate) fn join(
        &mut self,
        address: Address,
        connection: Rc<Connection>,
    ) -> (Rc<Section>, usize) {
        let made = &mut self.made;
        let sections = self.by_address.entry(address.clone()).or_insert_with(|| {
            *made = made.wrapping_add(1);
            Sections { all: Vec::new(), full: 0, next: *made }
        });
        sections.join(address, connection)
    }

    /// Takes a member out.
    pub(crate) fn leave(&mut self, section: &Section, slot: usize) {
        section.leave(slot);
        if let Some(sections) = self.by_address.get_mut(section.room()) {
            sections.was_left(section);
            if sections.all.is_empty() {
                self.by_address.remove(section.room());
            }
        }
    }

    /// All sections of a room.
    pub(crate) fn get(&self, address: &Address) -> &[Rc<Section>] {
        self.by_address.get(address).map_or(&[], |sections| &sections.all)
    }
}

impl Sections {
    fn join(&mut self, room: Address, connection: Rc<Connection>) -> (Rc<Section>, usize) {
        if self.full == self.all.len() {
            self.all.reserve_exact(1);
            self.all.push(Rc::new(Section::new(room, self.next)));
            self.next = self.next.wrapping_add(1);
        }
        let section = self.all[self.full].clone();
        let slot = section.join(connection);
        if section.members() == SECTION_MEMBERS {
            self.full += 1;
        }
        (section, slot)
    }

    fn was_left(&mut self, section: &Section) {
        let left = self.all.iter().position(|known| std::ptr::eq(&**known, section));
        let Some(mut left) = left else { return };
        if left < self.full {
            self.full -= 1;
            self.all.swap(left, self.full);
            left = self.full;
        }
        if section.is_empty() {
            self.all.swap_remove(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use orrery_comet_core::{Dialect, Session};
    use orrery_model::{Conn, Id};

    use super::*;
    use crate::connection::Shared;
    use crate::outbox::OutboxLimits;

    fn connection() -> Rc<Connection> {
        let shared = Shared::of(Rc::default(), OutboxLimits { frames: 8, bytes: 1024 });
        let session = Session::new(Dialect::Tcp, 0);
        Rc::new(Connection::new(Conn(256), session, shared))
    }

    #[test]
    fn a_large_room_has_full_sections_however_its_members_come_and_go() {
        let (mut rooms, connection) = (Rooms::default(), connection());
        let lobby = Address::room(Id::new("lobby").unwrap());
        let join = |rooms: &mut Rooms| rooms.join(lobby.clone(), connection.clone());
        let members = |rooms: &Rooms| -> Vec<_> {
            rooms.get(&lobby).iter().map(|section| section.members()).collect()
        };
        let mut places: Vec<_> = (0..4 * SECTION_MEMBERS).map(|_| join(&mut rooms)).collect();
        assert_eq!(members(&rooms), [SECTION_MEMBERS; 4]);
        for _ in 0..3 {
            // Some of each, and as many come back.
            for number in (0..places.len()).rev().filter(|number| number % 3 == 0) {
                let (section, slot) = places.swap_remove(number);
                rooms.leave(&section, slot);
            }
            while places.len() < 4 * SECTION_MEMBERS {
                places.push(join(&mut rooms));
            }
            assert_eq!(members(&rooms), [SECTION_MEMBERS; 4], "no fifth one");
        }
        for (section, slot) in places {
            rooms.leave(&section, slot);
            assert!(members(&rooms).iter().all(|members| *members > 0));
        }
        assert!(rooms.by_address.is_empty());
    }

    #[test]
    fn sections_of_a_room_and_of_others_have_numbers_of_their_own() {
        let (mut rooms, connection) = (Rooms::default(), connection());
        let mut first = |name: &str| {
            let (section, _) =
                rooms.join(Address::room(Id::new(name).unwrap()), connection.clone());
            section.number()
        };
        assert_eq!(["a", "b", "c", "a"].map(&mut first), [1, 2, 3, 1]);
    }
}
