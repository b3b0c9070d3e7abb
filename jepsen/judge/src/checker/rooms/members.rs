//! Members: which connections a shard shows as members of a room.

use std::collections::{BTreeMap, BTreeSet};

use super::versions::{Versions, Wrong};
use crate::facts::{Facts, Life, Lives};
use crate::history::{History, Op, Operation, SetRooms};
use crate::verdict::Violation;

/// (key, seq): a connection.
type Name<'a> = (&'a str, u64);

/// A read at an index, with the members that it shows.
type Shown<'r, 'a> = (u64, &'r Operation<'a>, BTreeSet<Name<'a>>);

/// Judges every read of a room's members in one shard.
pub(super) fn check(history: &History<'_>, facts: &Facts<'_, '_>, violations: &mut Vec<Violation>) {
    let mut reads: BTreeMap<(&str, Option<u32>), Vec<Shown<'_, '_>>> = BTreeMap::new();
    let mut sets: BTreeMap<Name<'_>, Vec<(&Operation<'_>, &SetRooms)>> = BTreeMap::new();
    for operation in &history.operations {
        let Some(key) = operation.key() else { continue };
        match operation.op() {
            Op::SetRooms(set) => sets.entry((key, set.seq)).or_default().push((operation, set)),
            Op::ReadRoom(read) if operation.is_ok() => {
                if let (Some(members), Some(index)) = (&read.members, operation.log_index()) {
                    let names = members.iter().map(|m| (m.key.as_str(), m.seq)).collect();
                    let of_room = reads.entry((key, operation.shard())).or_default();
                    of_room.push((index, operation, names));
                }
            }
            _ => {}
        }
    }
    if reads.is_empty() {
        return;
    }
    let lives = Connections::new(history, facts, sets.keys().map(|(key, _)| *key));
    for ((room, shard), mut reads) in reads {
        reads.sort_by_key(|(index, operation, _)| (*index, operation.told_by()));
        let mut members: BTreeMap<Name<'_>, Versions> = BTreeMap::new();
        for (name, sets) in &sets {
            if lives.shard(name.0) != shard
                || !sets.iter().any(|(_, set)| set.rooms.iter().any(|r| r == room))
            {
                continue;
            }
            let versions = members.entry(*name).or_default();
            for (operation, set) in sets {
                versions.take(operation, set.version, set.rooms.iter().any(|r| r == room));
            }
            versions.close();
        }
        for (index, operation, shown) in reads {
            let read = Read { room, index, operation, lives: &lives, facts };
            for name in shown.iter().filter(|name| !members.contains_key(*name)) {
                violations.push(read.wrong(name, Wrong::Phantom));
            }
            for (name, versions) in &mut members {
                if let Err(wrong) = read.judge(name, shown.contains(name), versions) {
                    violations.push(read.wrong(name, wrong));
                }
            }
        }
    }
}

/// The connections behind the names.
struct Connections<'a> {
    lives: BTreeMap<&'a str, Lives<'a>>,
    places: BTreeMap<Name<'a>, usize>,
    /// The shard of each key, as any answer of it tells: what was never answered tells none.
    shards: BTreeMap<&'a str, u32>,
}

impl<'a> Connections<'a> {
    fn new(
        history: &History<'a>,
        facts: &Facts<'_, 'a>,
        keys: impl Iterator<Item = &'a str>,
    ) -> Self {
        let mut all =
            Self { lives: BTreeMap::new(), places: BTreeMap::new(), shards: BTreeMap::new() };
        for key in keys {
            if all.lives.contains_key(key) {
                continue;
            }
            let Some(places) = facts.by_key.get(key) else { continue };
            let operations = places.iter().map(|at| history.operations[*at]);
            if let Some(shard) = operations.clone().find_map(|operation| operation.shard()) {
                all.shards.insert(key, shard);
            }
            let lives = Lives::new(operations, &facts.comets);
            for (place, life) in lives.all.iter().enumerate() {
                if let Some(seq) = life.seq {
                    all.places.insert((key, seq), place);
                }
            }
            all.lives.insert(key, lives);
        }
        all
    }

    fn shard(&self, key: &str) -> Option<u32> {
        self.shards.get(key).copied()
    }

    /// The connection, and the event from which on it may have been removed.
    fn find(&self, name: &Name<'_>) -> Option<(&Life<'a>, u64)> {
        let lives = self.lives.get(name.0)?;
        let life = &lives.all[*self.places.get(name)?];
        Some((life, lives.may_be_removed(life)))
    }
}

struct Read<'r, 'a> {
    room: &'r str,
    index: u64,
    operation: &'r Operation<'a>,
    lives: &'r Connections<'a>,
    facts: &'r Facts<'r, 'a>,
}

impl Read<'_, '_> {
    fn judge(&self, name: &Name<'_>, shown: bool, versions: &mut Versions) -> Result<(), Wrong> {
        let before = self.operation.told_by();
        if let Some((life, removed)) = self.lives.find(name) {
            if shown && life.gone.log_index <= self.index {
                return Err(Wrong::CameBack { since: life.gone.event });
            }
            let ended = self.facts.ends.earliest(life.identity.comet, life.identity.incarnation);
            let gone = life.gone.log_index <= self.index
                || removed < before
                || ended.is_some_and(|event| event < before);
            if !shown && gone {
                return Ok(());
            }
        }
        versions.read(self.index, before, shown)
    }

    fn wrong(&self, (key, seq): &Name<'_>, wrong: Wrong) -> Violation {
        let (room, index) = (self.room, self.index);
        let (since, text) = match wrong {
            Wrong::Phantom => {
                (u64::MAX, format!("{key} seq {seq} is shown in {room}, which it never joined"))
            }
            Wrong::Lost { since } => {
                (since, format!("{key} seq {seq} is missing from {room} at index {index}"))
            }
            Wrong::CameBack { since } => {
                (since, format!("{key} seq {seq} is back in {room} at index {index}"))
            }
        };
        Violation::new([since, self.operation.told_by()], text)
    }
}
