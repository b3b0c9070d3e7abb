//! Moments: all that was read of one shard at one index of its log is of one state.

use std::collections::{BTreeMap, BTreeSet};

use super::memberships::Memberships;
use super::moment::{Moment, Told};
use crate::history::{Held, History, Op, Operation};
use crate::verdict::Violation;

/// All moments of a history.
pub(super) struct Moments<'a> {
    /// By shard and log index.
    all: BTreeMap<(u32, u64), Moment<'a>>,
    /// The comets that lived whenever they were asked for in the final phase, if they were.
    living: Option<BTreeSet<(&'a str, u64)>>,
    /// Answers to one question that differ.
    torn: Vec<Violation>,
    memberships: Memberships<'a>,
}

impl<'a> Moments<'a> {
    /// Gathers them. The final phase begins with an event.
    pub(super) fn new(history: &History<'a>, begins: u64) -> Self {
        let mut moments = Self {
            all: BTreeMap::new(),
            living: None,
            torn: Vec::new(),
            memberships: Memberships::new(history),
        };
        for operation in history.operations.iter().filter(|operation| operation.is_ok()) {
            if let (Op::Comets(read), true) = (operation.op(), operation.began() > begins) {
                let living = read.comets.iter().flatten();
                let living = living.map(|(comet, life)| (comet.as_str(), *life));
                moments.living.get_or_insert_default().extend(living);
            }
            if let (Some(shard), Some(index)) = (operation.shard(), operation.log_index()) {
                moments.take(operation, (shard, index), begins);
            }
        }
        moments.hold(history);
        moments
    }

    fn take(&mut self, operation: &Operation<'a>, at: (u32, u64), begins: u64) {
        let event = operation.told_by();
        let is_read = matches!(
            operation.op(),
            Op::Locate(_) | Op::ReadRoom(_) | Op::CometRoutes(_) | Op::Count(_)
        );
        if !is_read {
            return;
        }
        let moment = self.all.entry(at).or_default();
        let torn = match (operation.op(), operation.key()) {
            (Op::Locate(read), Some(key)) => {
                let routes = read.routes.iter().flatten();
                let routes = routes.map(|r| (r.comet.as_str(), r.incarnation, key, r.seq));
                once(&mut moment.users, key, (event, routes.collect()))
            }
            (Op::CometRoutes(read), _) => {
                let life = (read.comet.as_str(), read.incarnation);
                moment.is_final |= operation.began() > begins;
                let routes = read.routes.iter().flatten();
                let routes = routes.map(|m| (life.0, life.1, m.key.as_str(), m.seq));
                once(&mut moment.comets, life, (event, routes.collect()))
            }
            (Op::ReadRoom(read), Some(room)) => read.members.as_ref().and_then(|members| {
                let members = members.iter().map(|member| (member.key.as_str(), member.seq));
                once(&mut moment.members, room, (event, members.collect()))
            }),
            (Op::Count(read), Some(room)) => {
                read.count.and_then(|count| once(&mut moment.counts, room, (event, count)))
            }
            _ => None,
        };
        self.torn.extend(torn.map(|(events, text)| Violation::new(events, text + &place(at))));
    }

    /// Adds what replicas said of themselves, where that certainly is of one index: the node's digest, which was
    /// asked for afterwards, is of the same one.
    fn hold(&mut self, history: &History<'a>) {
        let mut said: BTreeMap<(u64, u32), (u64, u64, Held)> = BTreeMap::new();
        for event in history.events {
            match (event.node, &event.op) {
                (Some(node), Op::Standing(standing)) => {
                    said.retain(|(by, _), _| *by != node);
                    for replica in &standing.replicas {
                        if let Some(held) = replica.held {
                            let told = (replica.applied, event.index, held);
                            said.insert((node, replica.shard), told);
                        }
                    }
                }
                (Some(node), Op::Digest(digest)) => {
                    let Some((applied, event, held)) = said.remove(&(node, digest.shard)) else {
                        continue;
                    };
                    if applied == digest.applied
                        && let Some(moment) = self.all.get_mut(&(digest.shard, applied))
                    {
                        let (first, routes) =
                            *moment.held.entry(node).or_insert((event, held.routes));
                        if routes != held.routes {
                            let at = place((digest.shard, applied));
                            let text = format!(
                                "node {node} says that it holds {routes} routes, and {}{at}",
                                held.routes
                            );
                            self.torn.push(Violation::new([first, event], text));
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Judges each; the shards whose routes were counted in all ways at one index.
    pub(super) fn check(mut self, violations: &mut Vec<Violation>) -> BTreeSet<u32> {
        violations.append(&mut self.torn);
        let mut counted = BTreeSet::new();
        for (at, moment) in &self.all {
            let mut violated = |events: Vec<u64>, text: String| {
                violations.push(Violation::new(events, text + &place(*at)));
            };
            moment.routes(&mut violated);
            moment.rooms(&mut violated);
            moment.missing(at.1, &self.memberships, &mut violated);
            // What lived at other times than these nobody knows.
            let living = self.living.as_ref().filter(|_| moment.is_final);
            let is_whole = living
                .is_some_and(|living| living.iter().all(|life| moment.comets.contains_key(life)));
            moment.sums(is_whole, &mut violated);
            if is_whole && !moment.held.is_empty() {
                counted.insert(at.0);
            }
        }
        counted
    }
}

/// Takes an answer to a question; what is wrong, if it was answered otherwise before.
fn once<K: Ord + std::fmt::Debug, T: PartialEq + std::fmt::Debug>(
    answers: &mut BTreeMap<K, Told<T>>,
    asked: K,
    answer: Told<T>,
) -> Option<([u64; 2], String)> {
    match answers.get(&asked) {
        None => {
            answers.insert(asked, answer);
            None
        }
        Some((_, first)) if *first == answer.1 => None,
        Some((event, first)) => {
            let text = format!("{asked:?} is shown with {first:?} and with {:?}", answer.1);
            Some(([*event, answer.0], text))
        }
    }
}

fn place((shard, index): (u32, u64)) -> String {
    format!(" at index {index} of shard {shard}")
}
