//! Reader: looks users up, linearizable and not, reads who is in a room and which connections a comet has.

use std::collections::VecDeque;

use judge::history::{CometRoutes, Count, Locate, Op, ReadRoom};
use orrery_model::{CometRef, Route, ShardId};
use orrery_router_client::ShardMembers;
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::bed::{Bed, LOBBY};
use super::{READ_TIMEOUT, words};
use crate::recorder::{Process, Said};

/// Of so many reads one is of a room's comets.
const COMETS_ONE_IN: u32 = 5;

/// Of so many reads one is of a room's members in a shard.
const MEMBERS_ONE_IN: u32 = 10;

/// Of so many addresses that are looked up one is that of a device.
const KEY_ONE_IN: u32 = 4;

/// Of so many lookups one may be answered by any replica.
const STALE_ONE_IN: u32 = 8;

/// Of so many rooms that are read one is that in which all are.
const LOBBY_ONE_IN: u32 = 4;

/// Of so many reads one is of a comet's routes in a shard where they were seen before.
const ROUTES_ONE_IN: u32 = 10;

/// Of so many lookups that show routes one is followed by a read of one of their comets.
const FOLLOWED_ONE_IN: u32 = 3;

/// Lives of comets that are remembered.
const LIVES_MAX: usize = 8;

/// Members that are read at once: only a whole answer is of one moment, and no shard has as many.
const MEMBERS_MAX: usize = 200;

/// One process that reads.
pub struct Reader {
    bed: Bed,
    process: Process,
    chance: SmallRng,
    /// Lives of comets that were seen, the latest first, each with a shard that showed routes of it.
    lives: VecDeque<(CometRef, ShardId)>,
}

impl Reader {
    /// A reader by its name.
    pub fn new(bed: Bed, name: &str) -> Self {
        let (process, chance) = (bed.recorder.process(), bed.chance(name));
        Self { bed, process, chance, lives: VecDeque::new() }
    }

    /// Reads until it is told to end.
    pub async fn run(mut self) {
        while self.bed.asks() {
            if self.chance.random_ratio(1, MEMBERS_ONE_IN) {
                let room = self.room();
                self.members(&room).await;
            } else if self.chance.random_ratio(1, COMETS_ONE_IN) {
                let room = self.room();
                self.read_room(&room).await;
            } else if self.chance.random_ratio(1, ROUTES_ONE_IN) && !self.lives.is_empty() {
                let (comet, shard) =
                    self.lives[self.chance.random_range(0..self.lives.len())].clone();
                self.routes(&comet, shard).await;
            } else {
                let user = self.bed.user(&mut self.chance);
                let key = match self.chance.random_ratio(1, KEY_ONE_IN) {
                    true => Bed::key(&mut self.chance, &user),
                    false => user,
                };
                let stale = self.chance.random_ratio(1, STALE_ONE_IN);
                self.locate(&key, stale).await;
            }
            self.bed.pause(&mut self.chance).await;
        }
    }

    /// Any of the rooms.
    fn room(&mut self) -> String {
        match self.chance.random_ratio(1, LOBBY_ONE_IN) {
            true => LOBBY.to_owned(),
            false => self.bed.room(&mut self.chance),
        }
    }

    /// Looks up which comets are listed for a room.
    async fn read_room(&mut self, key: &str) {
        self.process.invoke(Some(key), Op::ReadRoom(ReadRoom::default()));
        let (address, deadline) = (words::address(key), Instant::now() + READ_TIMEOUT);
        let shard = self.bed.shard(&address);
        match self.bed.client.locate(address, false, deadline).await {
            Ok(located) => {
                let comets = located.comets.iter();
                let comets = comets.map(|comet| (comet.id.to_string(), comet.incarnation.0));
                let read = ReadRoom { comets: Some(comets.collect()), members: None };
                let said = Said { shard, log_index: Some(located.log_index), ..Said::default() };
                self.process.ok(Op::ReadRoom(read), said);
            }
            Err(error) => self.process.fail(error.to_string().as_str(), Said::default()),
        }
    }

    /// Reads the members that any one shard holds of a room, and counts them.
    async fn members(&mut self, key: &str) {
        let Some(table) = self.bed.client.table() else { return };
        let shard = table.shards[self.chance.random_range(0..table.shards.len())];
        self.process.invoke(Some(key), Op::ReadRoom(ReadRoom::default()));
        let (address, deadline) = (words::address(key), Instant::now() + READ_TIMEOUT);
        match self.bed.client.members_in(address, shard, MEMBERS_MAX, deadline).await {
            Ok(ShardMembers { more: true, .. }) => {
                self.process.fail("not all members fit into one answer", Said::default());
            }
            Ok(ShardMembers { members, log_index, .. }) => {
                let members = Some(members.iter().map(words::member).collect());
                let read = Op::ReadRoom(ReadRoom { comets: None, members });
                self.process.ok(read, at(shard, log_index));
            }
            Err(error) => return self.process.fail(error.to_string().as_str(), Said::default()),
        }
        self.process.invoke(Some(key), Op::Count(Count::default()));
        let deadline = Instant::now() + READ_TIMEOUT;
        match self.bed.client.count_in(&words::address(key), shard, deadline).await {
            Ok((count, log_index)) => {
                self.process.ok(Op::Count(Count { count: Some(count) }), at(shard, log_index));
            }
            Err(error) => self.process.fail(error.to_string().as_str(), Said::default()),
        }
    }

    /// Reads the routes that a shard holds of a comet's life.
    async fn routes(&mut self, comet: &CometRef, shard: ShardId) {
        let op = |routes| {
            let (comet, incarnation) = (comet.id.to_string(), comet.incarnation.0);
            Op::CometRoutes(CometRoutes { comet, incarnation, routes })
        };
        self.process.invoke(None, op(None));
        let deadline = Instant::now() + READ_TIMEOUT;
        match self.bed.client.comet_routes_in(comet, shard, 0, deadline).await {
            Ok(ShardMembers { more: true, .. }) => {
                self.process.fail("not all routes fit into one answer", Said::default());
            }
            Ok(ShardMembers { members, log_index, .. }) => {
                let routes = Some(members.iter().map(words::member).collect());
                self.process.ok(op(routes), at(shard, log_index));
            }
            Err(error) => self.process.fail(error.to_string().as_str(), Said::default()),
        }
    }

    /// Looks one user up, and now and then a comet that it is at.
    async fn locate(&mut self, key: &str, stale: bool) {
        self.process.invoke(Some(key), Op::Locate(Locate { stale, routes: None }));
        let (address, deadline) = (words::address(key), Instant::now() + READ_TIMEOUT);
        let shard = self.bed.shard(&address);
        match self.bed.client.locate(address, stale, deadline).await {
            Ok(located) => {
                let route = |route: &Route| words::route(&route.comet, route.conn.0, route.seq.0);
                let routes = Some(located.routes.iter().map(route).collect());
                let said = Said { shard, log_index: Some(located.log_index), ..Said::default() };
                self.process.ok(Op::Locate(Locate { stale, routes }), said);
                let (Some(route), Some(shard)) = (located.routes.last(), shard) else { return };
                let seen = (route.comet.clone(), ShardId(shard));
                if !self.lives.contains(&seen) {
                    self.lives.truncate(LIVES_MAX - 1);
                    self.lives.push_front(seen.clone());
                }
                if self.chance.random_ratio(1, FOLLOWED_ONE_IN) {
                    self.routes(&seen.0, seen.1).await;
                }
            }
            Err(error) => self.process.fail(error.to_string().as_str(), Said::default()),
        }
    }
}

/// What an answer of a shard at an index says besides its value.
fn at(shard: ShardId, log_index: u64) -> Said {
    Said { shard: Some(shard.0), log_index: Some(log_index), ..Said::default() }
}
