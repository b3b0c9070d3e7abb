//! Counts: how many of this shard's members each room has, by the life of the comet that holds them, so
//! that a fence lowers every count at once without touching any member.

use std::collections::BTreeMap;
use std::sync::Arc;

use orrery_model::Address;

use super::comets::Life;
use crate::limits::COUNT_PARTS;

#[derive(Debug, Clone, Copy)]
struct Count {
    life: Life,
    members: u64,
}

/// One part: rooms whose slot falls to it. Each room's counts are in order of their lives.
type Part = BTreeMap<Address, Vec<Count>>;

/// The counts of all rooms.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    parts: Vec<Arc<Part>>,
}

impl Default for Counts {
    fn default() -> Self {
        let empty = Arc::new(Part::new());
        Self { parts: vec![empty; COUNT_PARTS] }
    }
}

impl Counts {
    /// Counts one more member and returns the room's address as it is already held, so that members can
    /// share its text.
    pub(super) fn add(&mut self, room: Address, life: Life) -> Address {
        let part = Arc::make_mut(&mut self.parts[part_of(&room)]);
        let shared = part.get_key_value(&room).map_or(room, |(held, _)| held.clone());
        let counts = part.entry(shared.clone()).or_default();
        match counts.binary_search_by_key(&life, |count| count.life) {
            Ok(index) => counts[index].members += 1,
            Err(index) => {
                counts.reserve_exact(1);
                counts.insert(index, Count { life, members: 1 });
            }
        }
        shared
    }

    /// Counts one member less.
    pub(super) fn remove(&mut self, room: &Address, life: Life) {
        let part = Arc::make_mut(&mut self.parts[part_of(room)]);
        let counts = part.get_mut(room).expect("a member was counted when it came");
        let index = counts
            .binary_search_by_key(&life, |count| count.life)
            .expect("a member was counted under its comet's life");
        counts[index].members -= 1;
        if counts[index].members == 0 {
            counts.remove(index);
        }
        if counts.is_empty() {
            part.remove(room);
        }
    }

    /// Members of a room whose life passes `visible`.
    pub(super) fn of(&self, room: &Address, visible: impl Fn(Life) -> bool) -> u64 {
        let counts = self.parts[part_of(room)].get(room).map_or(&[][..], Vec::as_slice);
        counts.iter().filter(|count| visible(count.life)).map(|count| count.members).sum()
    }
}

fn part_of(room: &Address) -> usize {
    usize::from(room.slot().number()) & (COUNT_PARTS - 1)
}
