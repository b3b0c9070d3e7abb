//! Stored route: a route in the compact form in which a shard holds millions of them. Whatever is absent
//! takes no memory of its own, and whatever is present is shared with snapshots.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orrery_model::command::{Bind, Loser};
use orrery_model::{Address, Conn, Details, Id, Primary, Route, Seq, Version};

use super::comets::{Comets, Life};

#[derive(Debug, Clone)]
pub(super) struct StoredRoute {
    pub(super) seq: Seq,
    pub(super) life: Life,
    pub(super) conn: Conn,
    bound_at_ms: u64,
    pub(super) rooms_version: Version,
    rooms: Option<Arc<[Id]>>,
    pub(super) primary: Option<Arc<Primary>>,
    losers: Option<Arc<[StoredLoser]>>,
    platform: Option<Arc<str>>,
    device: Option<Arc<str>>,
    labels: Option<Arc<BTreeMap<String, String>>>,
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
    pub(super) fn of_bind(bind: &Bind, life: Life, seq: Seq, bound_at_ms: u64) -> Self {
        Self::new(&bind.details, seq, life, bind.conn, bound_at_ms)
    }

    /// A route as a snapshot tells it, without rooms yet.
    pub(super) fn of_route(route: &Route, life: Life) -> Self {
        Self::new(&route.details, route.seq, life, route.conn, route.bound_at_ms)
    }

    fn new(details: &Details, seq: Seq, life: Life, conn: Conn, bound_at_ms: u64) -> Self {
        Self {
            seq,
            life,
            conn,
            bound_at_ms,
            rooms_version: details.rooms_version,
            rooms: None,
            primary: details.primary.clone().map(Arc::new),
            losers: None,
            platform: present(&details.platform),
            device: present(&details.device),
            labels: (!details.labels.is_empty()).then(|| Arc::new(details.labels.clone())),
        }
    }

    pub(super) fn rooms(&self) -> &[Id] {
        self.rooms.as_deref().unwrap_or_default()
    }

    /// Takes the rooms, in ascending order.
    pub(super) fn put_rooms(&mut self, rooms: Vec<Id>) {
        self.rooms = (!rooms.is_empty()).then(|| rooms.into());
    }

    pub(super) fn put_losers(&mut self, losers: Vec<StoredLoser>) {
        self.losers = (!losers.is_empty()).then(|| losers.into());
    }

    pub(super) fn platform(&self) -> &str {
        self.platform.as_deref().unwrap_or_default()
    }

    /// The connections that gave way to this one at `address`.
    pub(super) fn losers(&self, address: &Address, comets: &Comets) -> Vec<Loser> {
        let losers = self.losers.as_deref().unwrap_or_default();
        let named = |loser: &StoredLoser| Loser {
            address: address.clone(),
            comet: comets.name(loser.life),
            conn: loser.conn,
            seq: loser.seq,
        };
        losers.iter().map(named).collect()
    }

    pub(super) fn to_route(&self, comets: &Comets) -> Route {
        Route {
            seq: self.seq,
            comet: comets.name(self.life),
            conn: self.conn,
            details: Details {
                platform: self.platform().to_owned(),
                device: self.device.as_deref().unwrap_or_default().to_owned(),
                labels: self.labels.as_deref().cloned().unwrap_or_default(),
                rooms: self.rooms().iter().cloned().collect::<BTreeSet<_>>(),
                rooms_version: self.rooms_version,
                primary: self.primary.as_deref().cloned(),
            },
            bound_at_ms: self.bound_at_ms,
        }
    }
}

impl From<&StoredRoute> for StoredLoser {
    fn from(route: &StoredRoute) -> Self {
        Self { seq: route.seq, life: route.life, conn: route.conn }
    }
}

fn present(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| text.into())
}
