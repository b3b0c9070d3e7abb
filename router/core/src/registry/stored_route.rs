//! Stored route: a route in the compact form in which a shard holds millions of them. Whatever is absent
//! takes no memory of its own, and whatever is present is shared with snapshots.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orrery_model::command::{Bind, Loser};
use orrery_model::{Address, Conn, Details, Id, Incarnation, Primary, Route, Seq, Version};

use super::comets::{CometNumber, Comets, Life};
use super::pages::Element;
use super::route_texts::{AddressHash, AddressRef, RouteKey, RouteTexts};

#[derive(Debug, Clone)]
pub(super) struct StoredRoute {
    texts: RouteTexts,
    pub(super) seq: Seq,
    pub(super) conn: Conn,
    // A life, its two parts apart: together they would be padded.
    incarnation: Incarnation,
    comet: CometNumber,
    hash: AddressHash,
    bound_at_ms: u64,
    /// 0 where there is no primary.
    primary_seq: Seq,
    rooms: Option<Arc<RoomSet>>,
    rare: Option<Arc<Rare>>,
}

/// The rooms of a connection that is in some, or has been.
#[derive(Debug)]
struct RoomSet {
    version: Version,
    /// In ascending order.
    rooms: Box<[Id]>,
}

/// What few routes have.
#[derive(Debug, Default)]
struct Rare {
    rank: Option<Seq>,
    labels: BTreeMap<String, String>,
    losers: Box<[StoredLoser]>,
}

/// A connection that gave way. Its address is that of the route which names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredLoser {
    pub(super) seq: Seq,
    pub(super) life: Life,
    pub(super) conn: Conn,
}

impl StoredRoute {
    /// The route that a bind makes, without rooms yet.
    pub(super) fn of_bind(
        bind: &Bind,
        life: Life,
        seq: Seq,
        bound_at_ms: u64,
        losers: Vec<StoredLoser>,
    ) -> Self {
        let (details, conn) = (&bind.details, bind.conn);
        let rare = Rare::of(bind.rank, details, losers);
        Self::new(&bind.address, details, seq, life, conn, bound_at_ms, rare)
    }

    /// A route as a snapshot tells it, without rooms yet.
    pub(super) fn of_record(
        address: &Address,
        route: &Route,
        life: Life,
        rank: Option<Seq>,
        losers: Vec<StoredLoser>,
    ) -> Self {
        let Route { seq, conn, details, bound_at_ms, .. } = route;
        let rare = Rare::of(rank, details, losers);
        Self::new(address, details, *seq, life, *conn, *bound_at_ms, rare)
    }

    fn new(
        address: &Address,
        details: &Details,
        seq: Seq,
        life: Life,
        conn: Conn,
        bound_at_ms: u64,
        rare: Option<Arc<Rare>>,
    ) -> Self {
        Self {
            texts: RouteTexts::new(address, details),
            hash: AddressRef::from(address).hash(),
            seq,
            conn,
            incarnation: life.incarnation,
            comet: life.comet,
            bound_at_ms,
            primary_seq: details.primary.as_ref().map_or(Seq(0), |primary| primary.seq),
            rooms: None,
            rare,
        }
    }

    /// Compares it with an address in the order of its slot.
    pub(super) fn cmp_address(&self, hash: AddressHash, address: AddressRef<'_>) -> Ordering {
        self.hash.cmp(&hash).then_with(|| self.texts.address().cmp(&address))
    }

    /// Compares it with a connection in the order of its slot.
    pub(super) fn cmp(&self, hash: AddressHash, key: RouteKey<'_>) -> Ordering {
        self.cmp_address(hash, key.address).then_with(|| self.seq.cmp(&key.seq))
    }

    /// Its name at its address.
    pub(super) fn key(&self) -> RouteKey<'_> {
        RouteKey { address: self.texts.address(), seq: self.seq }
    }

    pub(super) fn address(&self) -> Address {
        self.texts.address().to_address()
    }

    pub(super) fn life(&self) -> Life {
        Life { comet: self.comet, incarnation: self.incarnation }
    }

    pub(super) fn platform(&self) -> &str {
        self.texts.platform()
    }

    /// The primary's address and seq, borrowed.
    pub(super) fn primary(&self) -> Option<RouteKey<'_>> {
        self.texts.primary().map(|address| RouteKey { address, seq: self.primary_seq })
    }

    /// See [`Bind::rank`].
    pub(super) fn rank(&self) -> Option<Seq> {
        self.rare.as_deref().and_then(|rare| rare.rank)
    }

    /// Its rooms in ascending order.
    pub(super) fn rooms(&self) -> &[Id] {
        self.rooms.as_deref().map_or(&[], |set| &set.rooms)
    }

    pub(super) fn rooms_version(&self) -> Version {
        self.rooms.as_deref().map_or(Version(0), |set| set.version)
    }

    /// Takes the rooms, in ascending order.
    pub(super) fn put_rooms(&mut self, rooms: Vec<Id>, version: Version) {
        let any = !rooms.is_empty() || version > Version(0);
        self.rooms = any.then(|| Arc::new(RoomSet { version, rooms: rooms.into() }));
    }

    /// The connections that gave way to this one at its address.
    pub(super) fn losers(&self, comets: &Comets) -> Vec<Loser> {
        let losers = self.rare.as_deref().map_or(&[][..], |rare| &rare.losers);
        let named = |loser: &StoredLoser| Loser {
            address: self.address(),
            comet: comets.name(loser.life),
            conn: loser.conn,
            seq: loser.seq,
        };
        losers.iter().map(named).collect()
    }

    pub(super) fn to_route(&self, comets: &Comets) -> Route {
        let labels = self.rare.as_deref().map(|rare| rare.labels.clone());
        let primary =
            self.primary().map(|p| Primary { address: p.address.to_address(), seq: p.seq });
        Route {
            seq: self.seq,
            comet: comets.name(self.life()),
            conn: self.conn,
            details: Details {
                platform: self.platform().to_owned(),
                device: self.texts.device().to_owned(),
                labels: labels.unwrap_or_default(),
                rooms: self.rooms().iter().cloned().collect::<BTreeSet<_>>(),
                rooms_version: self.rooms_version(),
                primary,
            },
            bound_at_ms: self.bound_at_ms,
        }
    }
}

impl Element for StoredRoute {
    fn coarse(&self) -> u32 {
        self.hash.number()
    }
}

impl Rare {
    fn of(rank: Option<Seq>, details: &Details, losers: Vec<StoredLoser>) -> Option<Arc<Self>> {
        let labels = details.labels.clone();
        let any = rank.is_some() || !labels.is_empty() || !losers.is_empty();
        any.then(|| Arc::new(Self { rank, labels, losers: losers.into() }))
    }
}

impl From<&StoredRoute> for StoredLoser {
    fn from(route: &StoredRoute) -> Self {
        Self { seq: route.seq, life: route.life(), conn: route.conn }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_without_rarities_stays_small() {
        assert_eq!(size_of::<RouteTexts>(), 24);
        assert_eq!(size_of::<StoredRoute>(), 88);
    }
}
