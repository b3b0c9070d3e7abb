//! Memberships: the rooms that connections were said to be in, and from where on they certainly are.

use std::collections::{BTreeMap, BTreeSet};

use crate::checker::rooms::Versions;
use crate::history::{History, Op, Operation, SetRooms};

/// (key, seq): a connection.
type Name<'a> = (&'a str, u64);

/// What was said of one connection.
struct Said<'a> {
    comet: (&'a str, u64),
    /// Room → whether each version of the set has it.
    rooms: BTreeMap<&'a str, Versions>,
}

/// All connections of which it was said in which rooms they are.
pub(super) struct Memberships<'a>(BTreeMap<Name<'a>, Said<'a>>);

impl<'a> Memberships<'a> {
    pub(super) fn new(history: &History<'a>) -> Self {
        let mut sets: BTreeMap<Name<'a>, Vec<(&Operation<'a>, &'a SetRooms)>> = BTreeMap::new();
        for operation in &history.operations {
            if let (Op::SetRooms(set), Some(key)) = (operation.op(), operation.key()) {
                sets.entry((key, set.seq)).or_default().push((operation, set));
            }
        }
        let said = |(name, sets): (Name<'a>, Vec<(&Operation<'a>, &'a SetRooms)>)| {
            let comet = sets.first().map(|(_, set)| (set.comet.as_str(), set.incarnation))?;
            let all: BTreeSet<&str> =
                sets.iter().flat_map(|(_, set)| &set.rooms).map(String::as_str).collect();
            let versions = |room: &'a str| {
                let mut versions = Versions::default();
                for (operation, set) in &sets {
                    let is_in = set.rooms.iter().any(|name| name == room);
                    versions.take(operation, set.version, is_in);
                }
                versions.close();
                (room, versions)
            };
            Some((name, Said { comet, rooms: all.into_iter().map(versions).collect() }))
        };
        Self(sets.into_iter().filter_map(said).collect())
    }

    /// The comet, in which of its lives, that speaks for a connection.
    pub(super) fn comet(&self, name: Name<'_>) -> Option<(&'a str, u64)> {
        self.0.get(&name).map(|said| said.comet)
    }

    /// All rooms that a connection may ever have been in.
    pub(super) fn rooms<'s>(&'s self, name: Name<'s>) -> impl Iterator<Item = &'a str> + 's {
        self.0.get(&name).into_iter().flat_map(|said| said.rooms.keys().copied())
    }

    /// The event that says that a connection is in a room at an index, if it is there for sure, as long as its route
    /// is; for an answer told by an event.
    pub(super) fn since(
        &self,
        name: Name<'_>,
        room: &str,
        index: u64,
        told_by: u64,
    ) -> Option<u64> {
        self.0.get(&name)?.rooms.get(room)?.certain(index, told_by)
    }
}
