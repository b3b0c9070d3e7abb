//! Moment: what was read of one shard at one index of its log, and whether it is all of one state.

use std::collections::{BTreeMap, BTreeSet};

use super::Route;
use super::memberships::Memberships;

/// An answer by the event that told it.
pub(super) type Told<T> = (u64, T);

/// What was read of one shard at one index.
#[derive(Default)]
pub(super) struct Moment<'a> {
    pub(super) users: BTreeMap<&'a str, Told<BTreeSet<Route<'a>>>>,
    pub(super) comets: BTreeMap<(&'a str, u64), Told<BTreeSet<Route<'a>>>>,
    /// Room → its members by key and seq.
    pub(super) members: BTreeMap<&'a str, Told<BTreeSet<(&'a str, u64)>>>,
    pub(super) counts: BTreeMap<&'a str, Told<u64>>,
    /// Node → the routes that it says that it holds.
    pub(super) held: BTreeMap<u64, Told<u64>>,
    /// Whether a comet was asked at this index in the final phase.
    pub(super) is_final: bool,
}

impl Moment<'_> {
    pub(super) fn routes(&self, violated: &mut impl FnMut(Vec<u64>, String)) {
        for (event, routes) in self.users.values() {
            for route in routes {
                let comet = self.comets.get(&(route.0, route.1));
                if let Some((other, _)) = comet.filter(|(_, shown)| !shown.contains(route)) {
                    let text = format!("{route:?} is shown by its user, but not by its comet");
                    violated(vec![*event, *other], text);
                }
            }
        }
        for (event, routes) in self.comets.values() {
            for route in routes {
                let user = self.users.get(route.2);
                if let Some((other, _)) = user.filter(|(_, shown)| !shown.contains(route)) {
                    let text = format!("{route:?} is shown by its comet, but not by its user");
                    violated(vec![*event, *other], text);
                }
            }
        }
    }

    pub(super) fn rooms(&self, violated: &mut impl FnMut(Vec<u64>, String)) {
        for (room, (event, members)) in &self.members {
            if let Some((other, count)) = self.counts.get(room)
                && *count != members.len() as u64
            {
                let text = format!("{room} counts {count} members and shows {}", members.len());
                violated(vec![*event, *other], text);
            }
            for (key, seq) in members {
                let user = self.users.get(key);
                let shows = |routes: &BTreeSet<Route<'_>>| routes.iter().any(|r| r.3 == *seq);
                if let Some((other, _)) = user.filter(|(_, routes)| !shows(routes)) {
                    let text = format!("{room} shows {key} seq {seq}, whom {key} does not show");
                    violated(vec![*event, *other], text);
                }
            }
        }
    }

    /// Whoever a user or a comet shows is in its rooms, and whoever a room shows is at its comet.
    pub(super) fn missing(
        &self,
        index: u64,
        memberships: &Memberships<'_>,
        violated: &mut impl FnMut(Vec<u64>, String),
    ) {
        let mut shown: BTreeMap<(&str, u64), u64> = BTreeMap::new();
        for (event, routes) in self.users.values().chain(self.comets.values()) {
            shown.extend(routes.iter().map(|route| ((route.2, route.3), *event)));
        }
        let mut least: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
        for (name, event) in &shown {
            for room in memberships.rooms(*name) {
                let (members, count) = (self.members.get(room), self.counts.get(room));
                let answered = members.map(|told| told.0).max(count.map(|told| told.0));
                let Some(answered) = answered else { continue };
                let Some(since) = memberships.since(*name, room, index, answered) else { continue };
                least.entry(room).or_default().extend([*event, since]);
                if let Some((other, _)) = members.filter(|(_, members)| !members.contains(name)) {
                    let text = format!("{name:?} is shown, but not by {room}, in which it is");
                    violated(vec![*event, since, *other], text);
                }
            }
        }
        for (room, events) in least {
            let sure = events.len() as u64 / 2;
            if let Some((event, count)) = self.counts.get(room).filter(|(_, count)| *count < sure) {
                let text =
                    format!("{room} counts {count} members, but {sure} that are in it are shown");
                violated([events, vec![*event]].concat(), text);
            }
        }
        for (room, (event, members)) in &self.members {
            for (key, seq) in members {
                let Some(life) = memberships.comet((*key, *seq)) else { continue };
                let route = (life.0, life.1, *key, *seq);
                let comet = self.comets.get(&life);
                if let Some((other, _)) = comet.filter(|(_, routes)| !routes.contains(&route)) {
                    let text = format!("{room} shows {route:?}, which its comet does not show");
                    violated(vec![*event, *other], text);
                }
            }
        }
    }

    /// What replicas hold is what all living comets show, where all were asked, and never less than what some show.
    pub(super) fn sums(&self, is_whole: bool, violated: &mut impl FnMut(Vec<u64>, String)) {
        let sum = |shown: &mut dyn Iterator<Item = &Told<BTreeSet<Route<'_>>>>| {
            let sum = |(events, sum): (Vec<u64>, usize), (event, routes): &Told<BTreeSet<_>>| {
                ([events, vec![*event]].concat(), sum + routes.len())
            };
            let (events, sum) = shown.fold((Vec::new(), 0), sum);
            (events, sum as u64)
        };
        let ways = [
            ("users", sum(&mut self.users.values()), false),
            ("comets", sum(&mut self.comets.values()), is_whole),
        ];
        for (node, (event, held)) in &self.held {
            for (who, (events, shown), is_all) in &ways {
                if shown > held || *is_all && shown != held {
                    let text =
                        format!("node {node} holds {held} routes, but its {who} show {shown}");
                    violated([events.clone(), vec![*event]].concat(), text);
                }
            }
        }
    }
}
