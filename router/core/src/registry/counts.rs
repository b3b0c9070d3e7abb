//! Counts: how many of this shard's members each room has, by the life of the comet that holds them, so
//! that a fence lowers every count at once without touching any member.

use std::cmp::Ordering;
use std::sync::Arc;

use orrery_model::Id;

use super::comets::Life;
use super::pages::{Element, Pages};
use super::slot_state::RoomHash;
use crate::limits::COUNT_PARTS;

/// Members that one life of a comet holds of one room.
#[derive(Debug, Clone)]
struct Count {
    hash: RoomHash,
    namespace: Option<Id>,
    room: Id,
    life: Life,
    members: u64,
}

/// A room, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoomRef<'a> {
    /// Empty for the default one.
    pub(super) namespace: &'a str,
    pub(super) id: &'a Id,
}

/// One part: rooms whose hash falls to it, in order of (hash, life, room).
type Part = Pages<Count>;

/// The counts of all rooms.
#[derive(Debug, Clone)]
pub(super) struct Counts {
    parts: Vec<Arc<Part>>,
}

impl Default for Counts {
    fn default() -> Self {
        let empty = Arc::new(Part::default());
        Self { parts: vec![empty; COUNT_PARTS] }
    }
}

impl Element for Count {
    fn coarse(&self) -> u32 {
        self.hash.coarse()
    }
}

impl Count {
    fn is_of(&self, room: RoomRef<'_>) -> bool {
        let namespace = self.namespace.as_ref().map_or("", Id::as_str);
        self.room == *room.id && namespace == room.namespace
    }

    /// Texts come last: where hashes differ, or lives, nobody need read them.
    fn cmp(&self, hash: RoomHash, room: RoomRef<'_>, life: Life) -> Ordering {
        let namespace = || self.namespace.as_ref().map_or("", Id::as_str);
        (self.hash, self.life)
            .cmp(&(hash, life))
            .then_with(|| (namespace(), &self.room).cmp(&(room.namespace, room.id)))
    }
}

impl Counts {
    /// Counts one more member and returns the room's id as it is already held, so that members share
    /// its text.
    pub(super) fn add(&mut self, namespace: Option<&Id>, id: &Id, life: Life) -> Id {
        let room = RoomRef { namespace: namespace.map_or("", Id::as_str), id };
        let hash = RoomHash::of(id);
        let part = self.part_mut(hash);
        let place = match part.find(hash.coarse(), |count| count.cmp(hash, room, life)) {
            Ok(place) => {
                let count = part.get_mut(place);
                count.members += 1;
                return count.room.clone();
            }
            Err(place) => place,
        };
        let held = part.around(place).find(|count| count.is_of(room));
        let id = held.map_or(id, |count| &count.room).clone();
        let (namespace, room) = (namespace.cloned(), id.clone());
        part.insert(place, Count { hash, namespace, room, life, members: 1 });
        id
    }

    /// Counts one member less.
    pub(super) fn remove(&mut self, room: RoomRef<'_>, life: Life) {
        let hash = RoomHash::of(room.id);
        let part = self.part_mut(hash);
        let place = part.find(hash.coarse(), |count| count.cmp(hash, room, life));
        let place = place.expect("a member was counted when it came");
        let count = part.get_mut(place);
        count.members -= 1;
        if count.members == 0 {
            part.remove(place);
        }
    }

    /// Members of a room whose life passes `visible`.
    pub(super) fn of(&self, room: RoomRef<'_>, visible: impl Fn(Life) -> bool) -> u64 {
        let hash = RoomHash::of(room.id);
        let part = &self.parts[hash.part(COUNT_PARTS)];
        let counts = part.from(part.start(hash.coarse(), |count| count.hash.cmp(&hash)));
        let counts = counts.take_while(|count| count.hash == hash);
        let counts = counts.filter(|count| count.is_of(room) && visible(count.life));
        counts.map(|count| count.members).sum()
    }

    fn part_mut(&mut self, hash: RoomHash) -> &mut Part {
        Arc::make_mut(&mut self.parts[hash.part(COUNT_PARTS)])
    }
}
