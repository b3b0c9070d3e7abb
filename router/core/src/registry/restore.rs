//! Restore: builds a shard from a snapshot's records, and refuses records that contradict one another.

use orrery_model::command::Loser;
use orrery_model::record::ShardRecord;
use orrery_model::{Address, CometRef, Id, Incarnation, Kind, Route, Seq, Slot, Version};
use seeded_bugs::{Bug, is};

use super::Registry;
use super::comets::Life;
use super::marks::Mark;
use super::stored_route::{StoredLoser, StoredRoute};
use crate::limits::DETAIL_BYTES_MAX;

/// Why records do not make a shard. None of these can be cured by trying again with the same records:
/// they are corrupt, cut short, or from a version that this one does not understand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The first record is not a head.
    #[error("the records do not begin with a head")]
    NoHead,
    /// There is a second head.
    #[error("the records hold a second head")]
    SecondHead,
    /// A route or listing lies in a slot that is not open.
    #[error("{address} lies in a slot that is not open")]
    SlotNotOpen {
        /// Whose.
        address: Address,
    },
    /// The address is of a kind that cannot hold such a record.
    #[error("{address} is of the wrong kind")]
    WrongKind {
        /// Which.
        address: Address,
    },
    /// A route's seq is not below the counter, or not above the route before it.
    #[error("seq {seq} of {address} is out of order")]
    SeqOutOfOrder {
        /// Whose.
        address: Address,
        /// Which.
        seq: Seq,
    },
    /// The platform or device of a route is longer than it may be.
    #[error("a text of a route of {address} is too long")]
    TextTooLong {
        /// Whose.
        address: Address,
    },
    /// A room lists one comet twice.
    #[error("{room} lists {comet} twice")]
    ListedTwice {
        /// Which room.
        room: Address,
        /// Which comet.
        comet: CometRef,
    },
    /// A record speaks of a life other than the one at the comet's fence.
    #[error("{comet} is not the life at its fence, which is {fence}")]
    NotAtFence {
        /// The comet as the record names it.
        comet: CometRef,
        /// Its fence.
        fence: Incarnation,
    },
}

impl Registry {
    /// Builds the shard that [`super::Snapshot::records`] described. It answers everything as the
    /// original would from that moment on.
    ///
    /// # Errors
    /// [`RestoreError`] when the records are not those of a snapshot; do not retry.
    pub fn restore(records: impl IntoIterator<Item = ShardRecord>) -> Result<Self, RestoreError> {
        let mut records = records.into_iter();
        let Some(ShardRecord::Head(head)) = records.next() else {
            return Err(RestoreError::NoHead);
        };
        let mut registry = Self::with_head(head);
        for record in records {
            registry.take(record)?;
        }
        registry.check_lives()?;
        if is(Bug::SeqResetBySnapshot) {
            registry.count_seqs_anew();
        }
        Ok(registry)
    }

    fn take(&mut self, record: ShardRecord) -> Result<(), RestoreError> {
        match record {
            ShardRecord::Head(_) => return Err(RestoreError::SecondHead),
            ShardRecord::Slot(slot) => self.slots.open(slot),
            ShardRecord::Route { address, route, losers, rank } => {
                self.take_route(&address, &route, &losers, rank)?;
            }
            ShardRecord::Listing { room, comet, version, listed } => {
                self.take_listing(&room, &comet, version, listed)?;
            }
            ShardRecord::Fence { comet, fence } => self.take_fence(&comet, fence),
            ShardRecord::Mark { .. } if is(Bug::MarksLostInSnapshot) => {}
            ShardRecord::Mark { address, comet, conn, removed, seq, outranked } => {
                let mark = match seq.filter(|_| removed) {
                    Some(seq) => Mark::Unbound(seq),
                    None if outranked => Mark::Outranked,
                    None => Mark::Absent,
                };
                let life = self.life_at_fence(&comet)?;
                self.comets.get_mut(life.comet).marks.insert(conn, address, mark);
            }
            ShardRecord::Settled { comet, settled } => {
                let life = self.life_at_fence(&comet)?;
                self.settle(life, settled);
            }
        }
        Ok(())
    }

    fn take_route(
        &mut self,
        address: &Address,
        route: &Route,
        losers: &[Loser],
        rank: Option<Seq>,
    ) -> Result<(), RestoreError> {
        let slot = self.open_slot(address, address.kind != Kind::Room)?;
        let details = &route.details;
        if details.platform.len() > DETAIL_BYTES_MAX || details.device.len() > DETAIL_BYTES_MAX {
            return Err(RestoreError::TextTooLong { address: address.clone() });
        }
        let last = self.slots.get(slot).and_then(|state| state.routes_of(address.into()).last());
        let last = last.map_or(Seq(0), |last| last.seq);
        if route.seq <= last || route.seq >= self.head.next_seq {
            return Err(RestoreError::SeqOutOfOrder { address: address.clone(), seq: route.seq });
        }
        let life = self.life(&route.comet);
        let losers = losers.iter().map(|loser| StoredLoser {
            seq: loser.seq,
            life: self.life(&loser.comet),
            conn: loser.conn,
        });
        let losers = losers.collect();
        let stored = StoredRoute::of_record(address, route, life, rank, losers);
        self.add_route(slot, address, stored, details);
        Ok(())
    }

    fn take_listing(
        &mut self,
        room: &Address,
        comet: &CometRef,
        version: Version,
        listed: bool,
    ) -> Result<(), RestoreError> {
        let slot = self.open_slot(room, room.kind == Kind::Room)?;
        let life = self.life(comet);
        let state = self.slots.get(slot).expect("it is open");
        if state.find_listing(&self.comets, room, &comet.id).is_ok() {
            return Err(RestoreError::ListedTwice { room: room.clone(), comet: comet.clone() });
        }
        self.add_listing(slot, room, life, version, listed || is(Bug::LeaveResurrected));
        Ok(())
    }

    /// Routes and listings come before fences and were visible, so nothing is fenced by this.
    fn take_fence(&mut self, comet: &Id, fence: Incarnation) {
        let number = self.comets.number(comet);
        self.comets.get_mut(number).fence = fence.max(self.head.floor);
    }

    fn life(&mut self, comet: &CometRef) -> Life {
        Life { comet: self.comets.number(&comet.id), incarnation: comet.incarnation }
    }

    fn life_at_fence(&mut self, comet: &CometRef) -> Result<Life, RestoreError> {
        let life = self.life(comet);
        self.check_life(life)?;
        Ok(life)
    }

    fn open_slot(&self, address: &Address, kind_fits: bool) -> Result<Slot, RestoreError> {
        if !kind_fits {
            return Err(RestoreError::WrongKind { address: address.clone() });
        }
        let slot = address.slot();
        if !self.owns(slot) {
            return Err(RestoreError::SlotNotOpen { address: address.clone() });
        }
        Ok(slot)
    }

    fn check_life(&self, life: Life) -> Result<(), RestoreError> {
        let fence = self.comets.get(life.comet).fence;
        if life.incarnation == fence {
            return Ok(());
        }
        Err(RestoreError::NotAtFence { comet: self.comets.name(life), fence })
    }

    fn check_lives(&self) -> Result<(), RestoreError> {
        for (_, state) in self.slots.iter() {
            let routes = state.routes.iter().map(StoredRoute::life);
            let listings = state.listings.iter().map(|listing| listing.life);
            routes.chain(listings).try_for_each(|life| self.check_life(life))?;
        }
        Ok(())
    }
}
