//! Tombstones: the rooms one comet was taken off, oldest first, so that they can be bounded.

use std::collections::BTreeMap;

use orrery_model::Address;

use crate::limits::TOMBSTONES_PER_COMET_MAX;

/// A tombstone's place in the order of one comet's tombstones. Only the order counts: the numbers start
/// anew in a restored registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TombstoneOrder(u64);

/// The tombstones of one comet in its current life.
#[derive(Debug, Clone, Default)]
pub(super) struct Tombstones {
    rooms: BTreeMap<TombstoneOrder, Address>,
    added: u64,
}

impl Tombstones {
    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Adds the newest tombstone.
    pub(super) fn push(&mut self, room: Address) -> TombstoneOrder {
        let order = TombstoneOrder(self.added);
        self.added += 1;
        self.rooms.insert(order, room);
        order
    }

    pub(super) fn remove(&mut self, order: TombstoneOrder) {
        self.rooms.remove(&order);
    }

    /// Takes the oldest one out if there are more than may be remembered.
    pub(super) fn pop_excess(&mut self) -> Option<Address> {
        if self.rooms.len() <= TOMBSTONES_PER_COMET_MAX {
            return None;
        }
        self.rooms.pop_first().map(|(_, room)| room)
    }

    /// The rooms, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Address> {
        self.rooms.values()
    }
}
