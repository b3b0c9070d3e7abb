//! Lives: what a history says of each connection at one address, by log index.
//!
//! The index of an answered write is where the registry answered it: at or after the entry in which it
//! took effect, for its client may have repeated it. So a connection is *born* at the latest at the
//! smallest index that shows it, and *gone* at the latest at the smallest index that proves it.

use super::{Comet, Comets};
use crate::history::{Bind, Keep, Op, Operation, Policy, Refusal, Scope};
use crate::quick::QuickMap;

/// (comet, incarnation, conn): with the address, the identity of a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity {
    pub(crate) comet: Comet,
    pub(crate) incarnation: u64,
    pub(crate) conn: u64,
}

/// A point of the log with the event that tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Point {
    pub(crate) log_index: u64,
    pub(crate) event: u64,
}

/// Never, as far as the history tells.
pub(crate) const NEVER: Point = Point { log_index: u64::MAX, event: u64::MAX };

/// One connection at one address.
#[derive(Debug, Clone)]
pub(crate) struct Life<'a> {
    pub(crate) identity: Identity,
    pub(crate) seq: Option<u64>,
    /// Its bind as first sent, of those that may have taken effect; none of a phantom.
    pub(crate) bind: Option<&'a Bind>,
    /// Its bind as first sent, whether or not it may have taken effect.
    pub(crate) asked: Option<&'a Bind>,
    /// Event at which its first bind began.
    pub(crate) began: u64,
    /// Event at which its bind was first acknowledged.
    pub(crate) acknowledged: u64,
    /// By then it was there.
    pub(crate) born: Point,
    /// Where it was born exactly, if its bind was sent once only.
    pub(crate) exact: Option<Point>,
    /// By then it was gone.
    pub(crate) gone: Point,
    /// Events at which unbinds of it began and may have taken effect; only the two first.
    pub(crate) unbinds: [u64; 2],
    /// Event at which the first bind began that named it as a loser.
    pub(crate) evicted: u64,
    /// The smallest index at which an unbind of it, or a bind that named it, may have taken effect.
    pub(crate) removable: u64,
    /// The largest index at which it certainly was there: a read showed it, or it was removed next.
    pub(crate) shown_last: u64,
    /// The largest index in whose entry it certainly was there, if only until something else in that entry.
    pub(crate) there_last: u64,
    /// By then it had given way.
    pub(crate) gave_way: Point,
    /// Event that first showed it, other than by its own bind's answer.
    pub(crate) seen: u64,
    /// Event that first proved it gone.
    pub(crate) seen_gone: u64,
    /// How many binds of it may have taken effect.
    pub(crate) binds: u32,
}

impl Life<'_> {
    /// Whether the policy compares it with another: both in one scope of `policy`.
    pub(crate) fn competes(&self, policy: Policy, platform: Option<&str>) -> bool {
        match policy.scope {
            Scope::All => false,
            Scope::Address => true,
            Scope::Platform => self.platform() == platform.unwrap_or(""),
        }
    }

    pub(crate) fn platform(&self) -> &str {
        self.asked.and_then(|bind| bind.platform.as_deref()).unwrap_or("")
    }

    /// How old it is among connections of a primary address.
    pub(crate) fn standing(&self) -> u64 {
        self.bind.and_then(|bind| bind.rank).or(self.seq).unwrap_or(u64::MAX)
    }
}

/// A bind whose losers nobody was told.
#[derive(Debug, Clone, Copy)]
struct Silent {
    /// Event at which it began.
    began: u64,
    identity: Identity,
    seq: Option<u64>,
    born: Point,
    gone: Point,
}

/// All connections at one address.
#[derive(Debug)]
pub(crate) struct Lives<'a> {
    pub(crate) all: Vec<Life<'a>>,
    places: QuickMap<Identity, usize>,
    /// Binds that may have made others give way without saying whom.
    silent: Vec<Silent>,
}

impl<'a> Lives<'a> {
    /// Gathers the connections of one address from its operations.
    pub(crate) fn new(
        operations: impl Iterator<Item = Operation<'a>>,
        comets: &Comets<'a>,
    ) -> Self {
        let mut lives = Self { all: Vec::new(), places: QuickMap::default(), silent: Vec::new() };
        for operation in operations {
            lives.take(operation, comets);
        }
        lives.order_births();
        lives
    }

    pub(crate) fn place(&self, identity: Identity) -> Option<usize> {
        self.places.get(&identity).copied()
    }

    /// Event from which on a bind that named nobody may have made this connection give way. Whoever was
    /// born by an index at which the connection was still shown, was gone by one before it was last there, or
    /// has a smaller seq, did not.
    pub(crate) fn silent_eviction(&self, life: &Life<'_>) -> u64 {
        let may_evict = |silent: &&Silent| {
            silent.identity != life.identity
                && silent.born.log_index > life.shown_last
                && silent.gone.log_index >= life.there_last
                && (silent.seq.is_none() || life.seq.is_none() || silent.seq > life.seq)
        };
        self.silent.iter().find(may_evict).map_or(u64::MAX, |silent| silent.began)
    }

    /// Event from which on something of this address may have removed the connection.
    pub(crate) fn may_be_removed(&self, life: &Life<'_>) -> u64 {
        life.unbinds[0].min(life.evicted).min(self.silent_eviction(life))
    }

    fn life(&mut self, identity: Identity) -> &mut Life<'a> {
        let all = &mut self.all;
        let place = *self.places.entry(identity).or_insert_with(|| {
            all.push(Life {
                identity,
                seq: None,
                bind: None,
                asked: None,
                began: u64::MAX,
                acknowledged: u64::MAX,
                born: NEVER,
                exact: None,
                gone: NEVER,
                unbinds: [u64::MAX; 2],
                evicted: u64::MAX,
                removable: u64::MAX,
                shown_last: 0,
                there_last: 0,
                gave_way: NEVER,
                seen: u64::MAX,
                seen_gone: u64::MAX,
                binds: 0,
            });
            all.len() - 1
        });
        &mut self.all[place]
    }

    fn take(&mut self, operation: Operation<'a>, comets: &Comets<'a>) {
        let number = |name: &str| comets.number(name);
        let event = operation.told_by();
        let log_index = operation.log_index().unwrap_or(u64::MAX);
        let point = if log_index == u64::MAX { NEVER } else { Point { log_index, event } };
        match operation.op() {
            Op::Bind(bind) => {
                let identity = Identity {
                    comet: number(&bind.comet),
                    incarnation: bind.incarnation,
                    conn: bind.conn,
                };
                let limits = bind.policy.is_some_and(|policy| {
                    policy.scope != Scope::All
                        // Where the oldest win, only a rank makes a newcomer the older one, or a user's later login.
                        && (policy.keep == Keep::Newest
                            || bind.rank.is_some()
                            || bind.primary.is_some())
                });
                // A late copy of a bind whose connection is gone takes no more effect.
                let is_late = self.life(identity).seen_gone < operation.began();
                let may_have_happened =
                    operation.is_ok() || !is_late && operation.may_have_happened();
                let silent = limits && !operation.is_ok() && may_have_happened;
                if silent {
                    self.silent.push(Silent {
                        began: operation.began(),
                        identity,
                        seq: None,
                        born: NEVER,
                        gone: NEVER,
                    });
                }
                let life = self.life(identity);
                life.asked = life.asked.or(Some(bind));
                let first = life.began == u64::MAX;
                if may_have_happened {
                    life.began = life.began.min(operation.began());
                    life.bind = life.bind.or(Some(bind));
                }
                life.binds += u32::from(operation.may_have_happened());
                if operation.refusal() == Some(&Refusal::Gone) {
                    life.gone = life.gone.min(point);
                    life.seen_gone = life.seen_gone.min(event);
                }
                if !operation.is_ok() {
                    return;
                }
                if operation.is_exact() && first {
                    life.exact = Some(point);
                }
                let effect =
                    if operation.is_exact() && first && point != NEVER { log_index } else { 0 };
                life.acknowledged = life.acknowledged.min(event);
                if point != NEVER {
                    life.there_last = life.there_last.max(log_index);
                }
                life.seq = life.seq.or(bind.seq);
                life.born = life.born.min(point);
                for loser in bind.losers.iter().flatten() {
                    let identity = Identity {
                        comet: number(&loser.comet),
                        incarnation: loser.incarnation,
                        conn: loser.conn,
                    };
                    let life = self.life(identity);
                    life.seq = life.seq.or(Some(loser.seq));
                    life.born = life.born.min(point);
                    life.gone = life.gone.min(point);
                    life.removable = life.removable.min(effect);
                    life.gave_way = life.gave_way.min(point);
                    // It was there until it gave way.
                    life.shown_last = life.shown_last.max(effect.saturating_sub(1));
                    life.evicted = life.evicted.min(operation.began());
                    life.seen = life.seen.min(event);
                    life.seen_gone = life.seen_gone.min(event);
                }
            }
            Op::Unbind(unbind) => {
                let life = self.life(Identity {
                    comet: number(&unbind.comet),
                    incarnation: unbind.incarnation,
                    conn: unbind.conn,
                });
                if !operation.may_have_happened() {
                    return;
                }
                let began = operation.began();
                if began < life.unbinds[0] {
                    life.unbinds = [began, life.unbinds[0]];
                } else {
                    life.unbinds[1] = life.unbinds[1].min(began);
                }
                let exact = operation.is_ok() && operation.is_exact() && point != NEVER;
                life.removable = life.removable.min(if exact { log_index } else { 0 });
                if operation.is_ok() {
                    life.gone = life.gone.min(point);
                    life.seen_gone = life.seen_gone.min(event);
                    if unbind.removed == Some(true) {
                        life.seen = life.seen.min(event);
                        life.born = life.born.min(point);
                        // A repeat is answered as the first was, from the mark that it left.
                        let is_first = life.unbinds == [began, u64::MAX];
                        let until = if exact && is_first { log_index - 1 } else { 0 };
                        life.shown_last = life.shown_last.max(until);
                    }
                }
            }
            Op::Locate(locate) => {
                for route in locate.routes.iter().flatten() {
                    let life = self.life(Identity {
                        comet: number(&route.comet),
                        incarnation: route.incarnation,
                        conn: route.conn,
                    });
                    life.seq = life.seq.or(Some(route.seq));
                    life.seen = life.seen.min(event);
                    life.born = life.born.min(point);
                    if point != NEVER {
                        life.shown_last = life.shown_last.max(log_index);
                        life.there_last = life.there_last.max(log_index);
                    }
                }
            }
            _ => {}
        }
    }

    /// Seqs are given in the order of the log: who has the smaller one was born no later. Then what is
    /// known of those who bound silently is known in full.
    fn order_births(&mut self) {
        let mut by_seq: Vec<usize> =
            (0..self.all.len()).filter(|at| self.all[*at].seq.is_some()).collect();
        by_seq.sort_by_key(|at| std::cmp::Reverse(self.all[*at].seq));
        let mut latest = NEVER;
        for at in by_seq {
            let born = &mut self.all[at].born;
            latest = latest.min(*born);
            *born = latest;
        }
        for silent in &mut self.silent {
            let life = &self.all[self.places[&silent.identity]];
            (silent.seq, silent.born, silent.gone) = (life.seq, life.born, life.gone);
        }
    }
}
