//! Links: what is wrong between any two hosts, by the faults that want it so. What one of them takes back, the
//! others keep: the state of a link follows from all that is still meant.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::orders::Orders;

/// What a fault does to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing passes, either way.
    Cut,
    /// Nothing passes from the one named first.
    Mute,
    /// All waits, and arrives later.
    Hold,
    /// All takes so long, at least.
    Slow(Duration),
}

/// A pair of hosts in the order of their names.
type Pair = (String, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wanted {
    effect: Effect,
    /// The one named first is the pair's first one.
    forward: bool,
}

/// All links of a simulation.
pub(super) struct Links {
    orders: Orders,
    hosts: Vec<String>,
    /// What a message takes where nothing is wrong, at least and at most.
    latency: (Duration, Duration),
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By pair and fault.
    wanted: BTreeMap<Pair, BTreeMap<u32, Wanted>>,
    /// How much is lost where nothing else is wrong, by fault.
    loss: BTreeMap<u32, f64>,
}

impl Links {
    pub(super) fn new(orders: Orders, hosts: Vec<String>, latency: (Duration, Duration)) -> Self {
        Self { orders, hosts, latency, inner: Mutex::default() }
    }

    /// From now on a fault wants this between one host and others.
    pub(super) fn want(&self, fault: u32, one: &str, others: &[String], effect: Effect) {
        let mut inner = self.inner.lock();
        for other in others {
            let forward = one < other.as_str();
            let pair = pair(one, other);
            let was_held = inner.is_held(&pair);
            let wanted = inner.wanted.entry(pair.clone()).or_default();
            wanted.insert(fault, Wanted { effect, forward });
            self.show(&inner, &pair, was_held);
        }
    }

    /// From now on a fault wants some of everything lost, per message.
    pub(super) fn lose(&self, fault: u32, rate: f64) {
        let mut inner = self.inner.lock();
        inner.loss.insert(fault, rate);
        self.show_all(&inner);
    }

    /// A fault wants nothing any more.
    pub(super) fn forget(&self, fault: u32) {
        let mut inner = self.inner.lock();
        let pairs: Vec<Pair> = inner.wanted.keys().cloned().collect();
        for pair in pairs {
            let was_held = inner.is_held(&pair);
            let wanted = inner.wanted.get_mut(&pair).expect("its key was just there");
            if wanted.remove(&fault).is_some() {
                self.show(&inner, &pair, was_held);
            }
        }
        if inner.loss.remove(&fault).is_some() {
            self.show_all(&inner);
        }
    }

    /// Nobody wants anything any more.
    pub(super) fn heal(&self) {
        let mut inner = self.inner.lock();
        *inner = Inner::default();
        for pair in self.pairs() {
            self.show(&inner, &pair, true);
        }
    }

    fn pairs(&self) -> impl Iterator<Item = Pair> {
        let others = |at: usize| self.hosts[at + 1..].iter();
        let of = move |at: usize| others(at).map(move |other| pair(&self.hosts[at], other));
        (0..self.hosts.len()).flat_map(of)
    }

    fn show_all(&self, inner: &Inner) {
        for pair in self.pairs() {
            self.show(inner, &pair, false);
        }
    }

    /// Makes a link what all faults together want of it.
    fn show(&self, inner: &Inner, pair: &Pair, was_held: bool) {
        let (one, other) = (pair.0.as_str(), pair.1.as_str());
        let wanted = inner.wanted.get(pair);
        let all = || wanted.into_iter().flat_map(BTreeMap::values);
        let held = inner.is_held(pair);
        match (held, was_held) {
            (true, _) => turmoil::hold(one, other),
            // What waited arrives, unless it is cut as well.
            (false, true) => turmoil::release(one, other),
            (false, false) => {}
        }
        for (forward, from, to) in [(true, one, other), (false, other, one)] {
            let is_cut = |wanted: &Wanted| match wanted.effect {
                Effect::Cut => true,
                Effect::Mute => wanted.forward == forward,
                Effect::Hold | Effect::Slow(_) => false,
            };
            if all().any(is_cut) {
                turmoil::partition_oneway(from, to);
            } else if !held {
                turmoil::repair_oneway(from, to);
            }
        }
        let slow = all().filter_map(|wanted| match wanted.effect {
            Effect::Slow(latency) => Some(latency),
            _ => None,
        });
        let (least, most) = self.latency;
        let least = slow.max().unwrap_or(least);
        self.orders.latency(one, other, least, least.max(most));
        // What the simulation loses by chance it also repairs by chance, and with it whatever else is wrong.
        let quiet = wanted.is_none_or(BTreeMap::is_empty);
        let lost = inner.loss.values().copied().fold(0.0, f64::max);
        self.orders.lose(one, other, if quiet { lost } else { 0.0 });
    }
}

impl Inner {
    fn is_held(&self, pair: &Pair) -> bool {
        let wanted = self.wanted.get(pair).into_iter().flat_map(BTreeMap::values);
        wanted.into_iter().any(|wanted| wanted.effect == Effect::Hold)
    }
}

fn pair(one: &str, other: &str) -> Pair {
    match one < other {
        true => (one.to_owned(), other.to_owned()),
        false => (other.to_owned(), one.to_owned()),
    }
}
