//! Last: what the last reads of the final phase showed, in which nothing is written, across all shards.

use std::collections::{BTreeMap, BTreeSet};

use super::Route;
use crate::history::{History, Op, Operation};
use crate::verdict::Violation;

/// What the read of an event showed.
type Seen<'a> = (u64, BTreeSet<Route<'a>>);

/// The last read of everything.
#[derive(Default)]
pub(super) struct Last<'a> {
    pub(super) users: BTreeMap<&'a str, Seen<'a>>,
    /// Key → the shard that has it.
    shards: BTreeMap<&'a str, u32>,
    /// (comet, incarnation) and shard → its routes.
    comets: BTreeMap<(&'a str, u64), BTreeMap<Option<u32>, Seen<'a>>>,
    /// Room → shard → count.
    counts: BTreeMap<&'a str, BTreeMap<Option<u32>, (u64, u64)>>,
}

impl<'a> Last<'a> {
    pub(super) fn take(&mut self, operation: &Operation<'a>) {
        let event = operation.told_by();
        match operation.op() {
            Op::Locate(locate) if !locate.stale => {
                let Some(key) = operation.key() else { return };
                let routes = locate.routes.iter().flatten();
                let routes =
                    routes.map(|r| (r.comet.as_str(), r.incarnation, key, r.seq)).collect();
                self.users.insert(key, (event, routes));
                self.shards.extend(operation.shard().map(|shard| (key, shard)));
            }
            Op::CometRoutes(read) => {
                let life = (read.comet.as_str(), read.incarnation);
                let members = read.routes.iter().flatten();
                let routes = members.map(|m| (life.0, life.1, m.key.as_str(), m.seq)).collect();
                let shards = self.comets.entry(life).or_default();
                shards.insert(operation.shard(), (event, routes));
            }
            Op::Count(read) => {
                let (Some(room), Some(count)) = (operation.key(), read.count) else { return };
                let shards = self.counts.entry(room).or_default();
                shards.insert(operation.shard(), (event, count));
            }
            _ => {}
        }
    }

    pub(super) fn routes(&self, violations: &mut Vec<Violation>) {
        for (event, routes) in self.users.values() {
            for route in routes {
                let comet = self.in_own_shard(route);
                if let Some((other, _)) = comet.filter(|(_, shown)| !shown.contains(route)) {
                    let text = format!("{route:?} is shown by its user, but not by its comet");
                    violations.push(Violation::new([*event, *other], text));
                }
            }
        }
        for (event, routes) in self.comets.values().flat_map(BTreeMap::values) {
            for route in routes {
                let user = self.users.get(route.2);
                if let Some((seen, _)) = user.filter(|(_, routes)| !routes.contains(route)) {
                    let text = format!("{route:?} is shown by its comet, but not by its user");
                    violations.push(Violation::new([*event, *seen], text));
                }
            }
        }
    }

    /// What a route's comet showed in the shard that has the route; none if that shard did not answer, whatever
    /// others did. An answer that names no shard is of all of them.
    fn in_own_shard(&self, route: &Route<'a>) -> Option<&Seen<'a>> {
        let answers = self.comets.get(&(route.0, route.1))?;
        answers.get(&self.shards.get(route.2).copied()).or_else(|| answers.get(&None))
    }

    /// In each shard a room counts every living connection there whose last set of rooms names it; one whose last
    /// set is of unknown outcome, or was refused, may count or not.
    pub(super) fn counts(&self, history: &History<'a>, violations: &mut Vec<Violation>) {
        // All sets of each connection, by its (key, seq).
        let mut sets: BTreeMap<(&str, u64), Vec<&Operation<'_>>> = BTreeMap::new();
        for operation in &history.operations {
            if let (Op::SetRooms(set), Some(key)) = (operation.op(), operation.key())
                && operation.may_have_happened()
            {
                sets.entry((key, set.seq)).or_default().push(operation);
            }
        }
        for (room, shards) in &self.counts {
            for (shard, (event, counted)) in shards {
                let (mut least, mut most, mut complete) = (0, 0, true);
                for ((key, seq), sets) in &sets {
                    let (sure, may) = membership(sets, room);
                    let elsewhere =
                        self.shards.get(key).is_some_and(|of| Some(of) != shard.as_ref());
                    if !may || shard.is_some() && elsewhere {
                        continue;
                    }
                    let Some((_, routes)) = self.users.get(key) else {
                        complete = false;
                        continue;
                    };
                    if routes.iter().any(|route| route.3 == *seq) {
                        least += u64::from(sure);
                        most += 1;
                    }
                }
                if complete && !(least..=most).contains(counted) {
                    let of = shard.map_or(String::new(), |shard| format!(" of shard {shard}"));
                    let text = format!(
                        "{room} counts {counted} members{of}, but its users show {least} to {most} of them"
                    );
                    violations.push(Violation::new([*event], text));
                }
            }
        }
    }
}

/// Whether a connection is in a room for sure, and whether it may be, after all these sets.
fn membership(sets: &[&Operation<'_>], room: &str) -> (bool, bool) {
    let names = |operation: &Operation<'_>| match operation.op() {
        Op::SetRooms(set) => (set.version, set.rooms.iter().any(|name| name == room)),
        _ => (0, false),
    };
    let answered = sets.iter().filter(|set| set.is_ok()).map(|set| names(set)).max();
    let sure = answered.unwrap_or((0, false));
    let later = sets.iter().map(|set| names(set)).filter(|(version, _)| *version > sure.0);
    let (mut always, mut ever) = (sure.1, sure.1);
    for (_, is_in) in later {
        always &= is_in;
        ever |= is_in;
    }
    (always, ever)
}
