//! Rooms: those that have members on one worker.

use std::collections::HashMap;
use std::rc::Rc;

use orrery_model::Address;

use super::section::Section;
use crate::connection::Connection;
use crate::limits::SECTION_MEMBERS;

/// The rooms of one worker; one without members is absent.
#[derive(Default)]
pub(crate) struct Rooms(HashMap<Address, Sections>);

/// A room's members on this worker; there is at least one.
#[derive(Default)]
struct Sections {
    all: Vec<Rc<Section>>,
    /// Where a place is free, if it is not full meanwhile.
    open: usize,
}

impl Rooms {
    /// Adds a member; gives its section of the room and the slot there.
    pub(crate) fn join(
        &mut self,
        address: Address,
        connection: Rc<Connection>,
    ) -> (Rc<Section>, usize) {
        let sections = self.0.entry(address.clone()).or_default();
        let section = sections.with_place(&address);
        let slot = section.join(connection);
        (section, slot)
    }

    /// Takes a member out.
    pub(crate) fn leave(&mut self, section: &Section, slot: usize) {
        section.leave(slot);
        if let Some(sections) = self.0.get_mut(section.room()) {
            sections.was_left(section);
            if sections.all.is_empty() {
                self.0.remove(section.room());
            }
        }
    }

    /// All sections of a room.
    pub(crate) fn get(&self, address: &Address) -> &[Rc<Section>] {
        self.0.get(address).map_or(&[], |sections| &sections.all)
    }
}

impl Sections {
    fn with_place(&mut self, address: &Address) -> Rc<Section> {
        let has_place = |section: &&Rc<Section>| section.members() < SECTION_MEMBERS;
        let open = self.all.get(self.open).filter(has_place);
        if let Some(section) = open.or_else(|| self.all.last().filter(has_place)) {
            return section.clone();
        }
        let section = Rc::new(Section::new(address.clone(), self.all.len()));
        self.all.reserve_exact(1);
        self.all.push(section.clone());
        section
    }

    fn was_left(&mut self, section: &Section) {
        let left = self.all.iter().position(|known| std::ptr::eq(&**known, section));
        let Some(left) = left else { return };
        if section.is_empty() {
            self.all.swap_remove(left);
        } else {
            self.open = left;
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
    fn a_large_room_has_sections_whose_places_are_taken_again() {
        let (mut rooms, connection) = (Rooms::default(), connection());
        let lobby = Address::room(Id::new("lobby").unwrap());
        let join = |rooms: &mut Rooms| rooms.join(lobby.clone(), connection.clone());
        let members = |rooms: &Rooms| -> Vec<_> {
            rooms.get(&lobby).iter().map(|section| section.members()).collect()
        };
        let mut places: Vec<_> = (0..3 * SECTION_MEMBERS).map(|_| join(&mut rooms)).collect();
        assert_eq!(members(&rooms), [SECTION_MEMBERS; 3]);
        let (section, slot) = places.swap_remove(SECTION_MEMBERS / 2);
        rooms.leave(&section, slot);
        places.push(join(&mut rooms));
        assert_eq!(members(&rooms), [SECTION_MEMBERS; 3], "no fourth one");
        for (section, slot) in places.drain(..2 * SECTION_MEMBERS) {
            rooms.leave(&section, slot);
        }
        assert!(members(&rooms).iter().all(|members| *members > 0), "{:?}", members(&rooms));
        for (section, slot) in places {
            rooms.leave(&section, slot);
        }
        assert!(rooms.0.is_empty());
    }
}
