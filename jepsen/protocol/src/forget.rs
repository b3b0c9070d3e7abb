//! Forget: takes out of a world what makes no difference any more, so that worlds which behave alike are
//! one. That this changes nothing is checked by looking at smaller worlds without it.

use crate::address::Address;
use crate::bounds::{CometId, ConnectionId, Life, Seq};
use crate::connection::Stage;
use crate::copies::{Bind, Copied, Copies, RouteName};
use crate::setting::Protocol;
use crate::shard::Route;
use crate::world::World;

impl World {
    /// Forgets what makes no difference.
    pub(crate) fn forget(&mut self, protocol: &Protocol) {
        for (connection, life, address) in Copies::places() {
            *self.copies.get_mut(connection, life, address) =
                self.unspent(connection, life, address);
        }
        for address in Address::ALL {
            self.forget_decided(address);
            self.forget_ended(address);
        }
        for connection in ConnectionId::all() {
            self.forget_connection(connection, protocol);
        }
        for comet in CometId::all() {
            let fence = |address: Address| self.shards[address].fence(comet);
            if Address::ALL.into_iter().all(|address| fence(address) > Life::FIRST) {
                self.comets[usize::from(comet.0)].settled[Life::FIRST.place()] = 0;
            }
        }
        for address in Address::ALL {
            self.close_gaps(address);
        }
    }

    /// Forgets in which life a connection went once nothing of it can come back, and how old it is once
    /// it cannot be bound again.
    fn forget_connection(&mut self, connection: ConnectionId, protocol: &Protocol) {
        let comet = connection.comet();
        let is_away = |ended: Life, address: Address| {
            let shard = &self.shards[address];
            let nothing_comes = self.copies.get(connection, ended, address) == Copied::default();
            shard.fence(comet) > ended || nothing_comes && shard.route(connection, ended).is_none()
        };
        let stage = self.connection(connection).stage;
        let is_last = self.life(connection) == Life::LAST || !protocol.may_fence(comet);
        if let Stage::Gone(Some(ended)) = stage
            && Address::ALL.into_iter().all(|address| is_away(ended, address))
        {
            self.connection_mut(connection).stage = Stage::Gone(None);
        }
        if is_last || !stage.stays() {
            self.connection_mut(connection).first = None;
        }
    }

    /// The copies that can still have an effect, or an answer that somebody waits for.
    fn unspent(&self, connection: ConnectionId, life: Life, address: Address) -> Copied {
        let (shard, comet) = (&self.shards[address], connection.comet());
        let mut copied = self.copies.get(connection, life, address);
        if life < shard.fence(comet) {
            return Copied::default();
        }
        if life > shard.fence(comet) || shard.route(connection, life).is_some() {
            return copied;
        }
        let is_gone = shard.is_marked(connection) || connection.conn() < shard.settled(comet);
        if is_gone && !self.awaits_bind(connection, life, address) {
            copied.bind = None;
        }
        if copied.bind.is_none() && !self.awaits_unbind(connection, life, address) {
            copied.unbind = None;
        }
        copied
    }

    /// Forgets what a shard holds only because of copies that are spent, and who gave way there before
    /// it went or was bound again.
    fn forget_decided(&mut self, address: Address) {
        for comet in CometId::all() {
            let life = self.shards[address].fence(comet);
            let mut settled = 0;
            for connection in comet.connections() {
                if self.copies.get(connection, life, address).bind.is_none() {
                    self.shards[address].forget_mark(connection);
                } else if connection.conn() < self.shards[address].settled(comet) {
                    settled = connection.conn() + 1;
                }
                if !self.connection(connection).stage.stays() || self.life(connection) != life {
                    self.shards[address].forget_evicted(connection);
                }
            }
            self.shards[address].lower_settled(comet, settled);
        }
    }

    /// Lets a shard know of a fence that ends nothing there, and moves its cursor over events that it knows
    /// already.
    fn forget_ended(&mut self, address: Address) {
        for comet in CometId::all() {
            let life = self.comet(comet).life;
            let is_left = |connection: ConnectionId| {
                Life::all().filter(|ended| *ended < life).any(|ended| {
                    self.copies.get(connection, ended, address) != Copied::default()
                        || self.shards[address].route(connection, ended).is_some()
                })
            };
            if !comet.connections().any(is_left) {
                self.shards[address].know_fence(comet, life);
            }
        }
        while let Some(event) = self.control.event_after(self.shards[address].cursor())
            && self.shards[address].fence(event.comet) >= event.fence
        {
            self.shards[address].move_cursor();
        }
    }

    /// Numbers the seqs of an address without gaps: only their order matters.
    fn close_gaps(&mut self, address: Address) {
        let mut held = 0_u64;
        self.each_seq(address, |seq| held |= 1 << seq.0);
        let count = held.count_ones();
        let gapless = (1 << (count + 1)) - 2;
        if held != gapless {
            self.each_seq(address, |seq| {
                let below = held & ((1 << seq.0) - 1);
                *seq = Seq(below.count_ones() as u8 + 1);
            });
        }
        self.shards[address].continue_after(Seq(count as u8));
    }

    fn each_seq(&mut self, address: Address, mut visit: impl FnMut(&mut Seq)) {
        let is_user = address == Address::User;
        for held in &mut self.connections {
            if is_user {
                held.first.iter_mut().for_each(&mut visit);
            }
            match &mut held.stage {
                Stage::Binding { address: awaited, primary, granted, .. } => {
                    if is_user {
                        primary.iter_mut().for_each(&mut visit);
                    }
                    if let (true, Some(granted)) = (*awaited == address, granted) {
                        visit(&mut granted.seq);
                        granted.over.iter_mut().for_each(&mut visit);
                    }
                }
                Stage::Bound(seqs) => visit(&mut seqs[address]),
                Stage::Idle | Stage::Leaving { .. } | Stage::Gone(_) => {}
            }
        }
        for (connection, life, place) in Copies::places() {
            let copied = self.copies.get_mut(connection, life, place);
            if let (true, Some(bind)) = (is_user, &mut copied.bind) {
                let Bind { rank, primary, age } = bind;
                rank.iter_mut().chain(primary).chain(age).for_each(&mut visit);
            }
            if let (true, Some(RouteName::Seq(seq))) = (place == address, &mut copied.unbind) {
                visit(seq);
            }
        }
        for place in Address::ALL {
            for route in self.shards[place].routes_mut() {
                if is_user {
                    let Route { rank, primary, age, .. } = route;
                    rank.iter_mut().chain(primary).chain(age).for_each(&mut visit);
                }
                if place == address {
                    visit(&mut route.seq);
                    route.over.iter_mut().for_each(&mut visit);
                }
            }
        }
    }
}
