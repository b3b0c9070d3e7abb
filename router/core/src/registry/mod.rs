//! Registry: one data shard. Its commands are applied here in log order, and its reads answered.
//!
//! What a reader may rely on:
//!
//! - A route or listing is *visible* while its incarnation is not below its comet's fence. Every read,
//!   count and policy sees only what is visible; the bodies of the rest leave in slices with later
//!   entries and are neither in a snapshot's records nor in the digest.
//! - A refused command changes nothing, but for two truths it brings: an incarnation above the fence
//!   raises it, and `settled` is taken, once the shard owns the address and the comet is not fenced. And
//!   a bind that those who are there keep out, by the policy or by their number, leaves a mark.
//! - Fence events take effect in the order of their positions, none left out: one that comes before its
//!   predecessor is refused. So any run of them may be under way at once, whatever becomes of its parts.
//! - A comet's mark and a living route for the same (address, conn) never exist together.

mod bind;
mod comet_routes;
mod comets;
mod counts;
mod listing;
mod locate;
mod marks;
mod members;
mod pages;
mod policy;
mod restore;
mod rooms;
mod route_texts;
mod slot_state;
mod slots;
mod snapshot;
mod stats;
mod stored_route;
mod sweep;
mod tombstones;
mod unbind;

use std::collections::BTreeMap;

use orrery_model::command::{Batch, Command, ExpireComet, Open, Outcome, Refusal, Reply};
use orrery_model::record::ShardHead;
use orrery_model::{Address, CometId, CometRef, Conn, Incarnation, Kind, Seq, ShardId, Slot};
use seeded_bugs::Bug;

pub use self::comet_routes::CometRoutesPage;
pub use self::locate::{Located, WrongShard};
pub use self::members::{Member, MembersPage};
pub use self::restore::RestoreError;
pub use self::snapshot::Snapshot;
pub use self::stats::Stats;

use self::comets::{Comets, Life};
use self::counts::Counts;
use self::route_texts::RouteKey;
use self::slots::Slots;
use self::stored_route::StoredRoute;
use self::sweep::Sweep;

/// One data shard's state machine.
#[derive(Debug, Clone)]
pub struct Registry {
    head: ShardHead,
    slots: Slots,
    comets: Comets,
    counts: Counts,
    sweep: Sweep,
}

impl Registry {
    /// An empty shard that owns no slot yet.
    pub fn new(shard: ShardId) -> Self {
        Self::with_head(ShardHead {
            shard,
            next_seq: Seq(1),
            elapsed_ms: 0,
            cursor: 0,
            epoch: 0,
            floor: Incarnation(0),
        })
    }

    fn with_head(head: ShardHead) -> Self {
        Self {
            head,
            slots: Slots::default(),
            comets: Comets::new(head.floor),
            counts: Counts::default(),
            sweep: Sweep::default(),
        }
    }

    /// Applies one log entry and returns one reply for each of its commands.
    pub fn apply(&mut self, batch: &Batch) -> Vec<Reply> {
        self.head.elapsed_ms = self.head.elapsed_ms.max(batch.elapsed_ms);
        self.sweep_slice();
        if seeded_bugs::is(Bug::NondeterministicApply) {
            return self.apply_in_any_order(batch);
        }
        batch.commands.iter().map(|command| self.apply_command(command, batch.wall_ms)).collect()
    }

    /// A seeded bug.
    fn apply_in_any_order(&mut self, batch: &Batch) -> Vec<Reply> {
        let mut order: Vec<usize> = (0..batch.commands.len()).collect();
        order.sort_by_cached_key(|_| seeded_bugs::chance());
        let apply = |at| (at, self.apply_command(&batch.commands[at], batch.wall_ms));
        let replies: BTreeMap<usize, Reply> = order.into_iter().map(apply).collect();
        replies.into_values().collect()
    }

    /// A seeded bug: goes on behind the highest seq that lives.
    #[doc(hidden)]
    pub fn count_seqs_anew(&mut self) {
        let living = self.slots.iter().flat_map(|(_, state)| state.routes.iter());
        self.head.next_seq = living.map(|route| route.seq).max().unwrap_or(Seq(0)).next();
    }

    fn apply_command(&mut self, command: &Command, wall_ms: u64) -> Reply {
        match command {
            Command::Bind(bind) => self.bind(bind, wall_ms),
            Command::Unbind(unbind) => self.unbind(unbind),
            Command::SetRooms(set) => self.set_rooms(set),
            Command::BindRoom(list) => self.list_room(list, true),
            Command::UnbindRoom(list) => self.list_room(list, false),
            Command::ExpireComet(expire) => self.expire_comet(expire),
            Command::Open(open) => Ok(self.open(open)),
        }
    }

    /// Which shard this is.
    pub fn shard(&self) -> ShardId {
        self.head.shard
    }

    /// The log time: the largest elapsed time applied, in milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        self.head.elapsed_ms
    }

    /// The position of the last fence event of the control shard that was applied; 0 before the first.
    pub fn cursor(&self) -> u64 {
        self.head.cursor
    }

    /// The newest slot table epoch heard of.
    pub fn epoch(&self) -> u64 {
        self.head.epoch
    }

    /// The seq that the next bind takes: above every seq ever given here.
    pub fn next_seq(&self) -> Seq {
        self.head.next_seq
    }

    /// Every incarnation below it has ended, of whatever comet; 0 unless the cluster was restored.
    pub fn floor(&self) -> Incarnation {
        self.head.floor
    }

    /// The lowest incarnation of a comet still allowed here.
    pub fn fence(&self, comet: &CometId) -> Incarnation {
        self.comets.fence(comet)
    }

    /// Whether the slot is open here.
    pub fn owns(&self, slot: Slot) -> bool {
        self.slots.get(slot).is_some()
    }

    /// Whether something invisible waits to be swept. The leader then writes an entry, empty if need be,
    /// every now and then: each entry sweeps a slice.
    pub fn sweep_due(&self) -> bool {
        self.sweep.is_due()
    }

    /// The state at this moment, at the price of copying some thousand references; what is written later
    /// does not change it, and copies a page of some dozen routes where it first touches one.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.clone())
    }

    /// A number that is equal on replicas whose states are equal. Reads the whole state: for large
    /// shards ask a [`Snapshot`] for it, away from the thread that applies.
    pub fn digest(&self) -> u64 {
        self.snapshot().digest()
    }

    fn open(&mut self, open: &Open) -> Outcome {
        for slot in &open.slots {
            self.slots.open(*slot);
        }
        let head = &mut self.head;
        head.epoch = head.epoch.max(open.epoch);
        head.next_seq = head.next_seq.max(open.next_seq);
        if open.floor > head.floor {
            head.floor = open.floor;
            self.sweep.add(self.comets.raise_floor(open.floor));
        }
        Outcome::Done
    }

    fn expire_comet(&mut self, expire: &ExpireComet) -> Reply {
        if expire.position <= self.head.cursor {
            return Ok(Outcome::Done);
        }
        if expire.position > self.head.cursor + 1 {
            return Err(Refusal::Invalid("a fence event before this one is missing"));
        }
        self.head.cursor = expire.position;
        let comet = self.comets.number(&expire.comet);
        self.sweep.add(self.comets.raise_fence(comet, expire.fence));
        Ok(Outcome::Done)
    }

    /// Judges whether a comet may write at an address, and raises its fence if its incarnation is newer.
    fn admit(&mut self, address: &Address, comet: &CometRef) -> Result<(Slot, Life), Refusal> {
        let slot = address.slot();
        if !self.owns(slot) {
            return Err(Refusal::WrongShard { epoch: self.head.epoch });
        }
        let fence = self.comets.fence(&comet.id);
        if comet.incarnation < fence {
            if seeded_bugs::is(Bug::FencedWriteAccepted) {
                return self.admit(address, &CometRef { incarnation: fence, ..comet.clone() });
            }
            return Err(Refusal::Fenced { fence });
        }
        let number = self.comets.number(&comet.id);
        self.sweep.add(self.comets.raise_fence(number, comet.incarnation));
        Ok((slot, Life { comet: number, incarnation: comet.incarnation }))
    }

    /// Takes a comet's word that every conn below `settled` is decided.
    fn settle(&mut self, life: Life, settled: Conn) {
        if settled > self.comets.get(life.comet).settled {
            let comet = self.comets.get_mut(life.comet);
            comet.settled = settled;
            comet.marks.settle(settled);
        }
    }

    /// Takes a route out of the shard, with its memberships and what was counted for it.
    fn remove_route(&mut self, slot: Slot, key: RouteKey<'_>) -> StoredRoute {
        let state = self.slots.get_mut(slot).expect("the route was found in an open slot");
        let place = state.find_route(key).expect("the route was found in this slot");
        let route = state.routes.remove(place);
        self.leave_rooms(slot, &route, route.rooms());
        if self.comets.is_visible(route.life()) {
            self.comets.get_mut(route.life().comet).routes -= 1;
        } else {
            self.sweep.done(1);
        }
        route
    }
}

/// Refuses an address that cannot have routes.
fn check_routable(address: &Address) -> Result<(), Refusal> {
    match address.kind {
        Kind::User | Kind::Key => Ok(()),
        Kind::Room => Err(Refusal::Invalid("a room has comets, not routes")),
    }
}
