//! Snapshot: a shard's state at one moment, as records in a fixed order.

use orrery_model::command::Loser;
use orrery_model::record::{ShardHead, ShardRecord};
use orrery_model::{Address, CometRef, Incarnation, Kind, Route};

use super::Registry;
use super::comets::Comet;
use super::marks::Mark;
use super::slot_state::Standing;
use crate::digest::Digest;

/// A shard's state at one moment. Holds on to what the registry has replaced since; drop it when done.
#[derive(Debug, Clone)]
pub struct Snapshot(Registry);

impl Snapshot {
    pub(super) fn of(registry: Registry) -> Self {
        Self(registry)
    }

    /// The numbers of the shard as a whole.
    pub fn head(&self) -> &ShardHead {
        &self.0.head
    }

    /// The state's records: the head, slots, routes, listings (the taken-off ones last, each comet's
    /// oldest first), fences, marks, settled. Equal states give equal records; what is not visible has
    /// none.
    pub fn records(&self) -> impl Iterator<Item = ShardRecord> + '_ {
        let head = std::iter::once(ShardRecord::Head(self.0.head));
        let slots = self.0.slots.iter().map(|(slot, _)| ShardRecord::Slot(slot));
        head.chain(slots)
            .chain(self.routes())
            .chain(self.listings())
            .chain(self.tombstones())
            .chain(self.fences())
            .chain(self.marks())
            .chain(self.settled())
    }

    /// See [`Registry::digest`].
    pub fn digest(&self) -> u64 {
        let mut digest = Digest::new();
        self.records().for_each(|record| feed(&mut digest, &record));
        digest.finish()
    }

    fn routes(&self) -> impl Iterator<Item = ShardRecord> + '_ {
        let comets = &self.0.comets;
        let held = self.0.slots.iter().flat_map(|(_, state)| state.routes.iter());
        held.filter(|route| comets.is_visible(route.life())).map(|route| ShardRecord::Route {
            address: route.address(),
            route: route.to_route(comets),
            losers: route.losers(comets),
            rank: route.rank(),
        })
    }

    fn listings(&self) -> impl Iterator<Item = ShardRecord> + '_ {
        let comets = &self.0.comets;
        let held = self.0.slots.iter().flat_map(|(_, state)| state.listings.iter());
        held.filter(|listing| {
            listing.standing == Standing::Listed && comets.is_visible(listing.life)
        })
        .map(|listing| ShardRecord::Listing {
            room: listing.room.clone(),
            comet: comets.name(listing.life),
            version: listing.version,
            listed: true,
        })
    }

    /// The order within a comet is the order in which they are forgotten, so it is kept.
    fn tombstones(&self) -> impl Iterator<Item = ShardRecord> + '_ {
        self.0.comets.iter().flat_map(|comet| {
            comet.tombstones.iter().map(|room| {
                let state = self.0.slots.get(room.slot()).expect("a tombstone's slot is open");
                let place = state.find_listing(&self.0.comets, room, &comet.id);
                let listing = state.listings.get(place.expect("a tombstone has its listing"));
                ShardRecord::Listing {
                    room: room.clone(),
                    comet: name(comet),
                    version: listing.version,
                    listed: false,
                }
            })
        })
    }

    fn fences(&self) -> impl Iterator<Item = ShardRecord> + '_ {
        self.0
            .comets
            .iter()
            .map(|comet| ShardRecord::Fence { comet: comet.id.clone(), fence: comet.fence })
    }

    fn marks(&self) -> impl Iterator<Item = ShardRecord> + '_ {
        self.0.comets.iter().flat_map(|comet| {
            comet.marks.iter().map(|(conn, address, mark)| {
                let seq = match mark {
                    Mark::Unbound(seq) => Some(seq),
                    Mark::Absent | Mark::Outranked => None,
                };
                ShardRecord::Mark {
                    address: address.clone(),
                    comet: name(comet),
                    conn,
                    removed: seq.is_some(),
                    seq,
                    outranked: mark == Mark::Outranked,
                }
            })
        })
    }

    fn settled(&self) -> impl Iterator<Item = ShardRecord> + '_ {
        let settled = self.0.comets.iter().filter(|comet| comet.settled.0 > 0);
        settled.map(|comet| ShardRecord::Settled { comet: name(comet), settled: comet.settled })
    }
}

/// The comet in its current life.
fn name(comet: &Comet) -> CometRef {
    CometRef { id: comet.id.clone(), incarnation: comet.fence }
}

fn feed(digest: &mut Digest, record: &ShardRecord) {
    match record {
        ShardRecord::Head(head) => {
            let ShardHead { shard, next_seq, elapsed_ms, cursor, epoch, floor } = *head;
            digest.number(1).number(shard.0.into()).number(next_seq.0);
            digest.number(elapsed_ms).number(cursor).number(epoch);
            // What an older build does not know of adds nothing where it is not used.
            if floor > Incarnation(0) {
                digest.number(8).number(floor.0);
            }
        }
        ShardRecord::Slot(slot) => {
            digest.number(2).number(slot.number().into());
        }
        ShardRecord::Route { address, route, losers, rank } => {
            feed_route(digest.number(3), address, route, losers);
            if let Some(rank) = rank {
                digest.number(9).number(rank.0);
            }
        }
        ShardRecord::Listing { room, comet, version, listed } => {
            digest.number(4).address(room).comet(comet).number(version.0).flag(*listed);
        }
        ShardRecord::Fence { comet, fence } => {
            digest.number(5).id(comet).number(fence.0);
        }
        ShardRecord::Mark { address, comet, conn, removed, seq, outranked } => {
            digest.number(6).address(address).comet(comet).number(conn.0).flag(*removed);
            digest.number(seq.map_or(0, |seq| seq.0));
            if *outranked {
                digest.number(10);
            }
        }
        ShardRecord::Settled { comet, settled } => {
            digest.number(7).comet(comet).number(settled.0);
        }
    }
}

fn feed_route(digest: &mut Digest, address: &Address, route: &Route, losers: &[Loser]) {
    let Route { seq, comet, conn, details, bound_at_ms } = route;
    digest.address(address).number(seq.0).comet(comet).number(conn.0).number(*bound_at_ms);
    digest.text(&details.platform).text(&details.device).number(details.labels.len() as u64);
    for (name, value) in &details.labels {
        digest.text(name).text(value);
    }
    digest.number(details.rooms_version.0).number(details.rooms.len() as u64);
    for room in &details.rooms {
        digest.id(room);
    }
    digest.flag(details.primary.is_some());
    if let Some(primary) = &details.primary {
        digest.address(&primary.address).number(primary.seq.0);
    }
    digest.number(losers.len() as u64);
    for loser in losers {
        digest.address(&loser.address).comet(&loser.comet).number(loser.conn.0).number(loser.seq.0);
    }
    debug_assert!(address.kind != Kind::Room);
}
