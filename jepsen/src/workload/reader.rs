//! Reader: looks users up, linearizable and not, and reads who is in a room.

use judge::history::{Locate, Member, Op, ReadRoom};
use orrery_model::Route;
use orrery_router_client::ShardMembers;
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::bed::Bed;
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

/// Members that are read at once: only a whole answer is of one moment, and no shard has as many.
const MEMBERS_MAX: usize = 200;

/// One process that reads.
pub struct Reader {
    bed: Bed,
    process: Process,
    chance: SmallRng,
}

impl Reader {
    /// A reader by its name.
    pub fn new(bed: Bed, name: &str) -> Self {
        let (process, chance) = (bed.recorder.process(), bed.chance(name));
        Self { bed, process, chance }
    }

    /// Reads until it is told to end.
    pub async fn run(mut self) {
        while self.bed.asks() {
            if self.chance.random_ratio(1, MEMBERS_ONE_IN) {
                let room = self.bed.room(&mut self.chance);
                self.members(&room).await;
            } else if self.chance.random_ratio(1, COMETS_ONE_IN) {
                let room = self.bed.room(&mut self.chance);
                self.read_room(&room).await;
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

    /// Reads the members that any one shard holds of a room.
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
                let member = |member: &orrery_router_client::Member| Member {
                    key: words::key_of(&member.address),
                    seq: member.route.seq.0,
                };
                let members = Some(members.iter().map(member).collect());
                let said =
                    Said { shard: Some(shard.0), log_index: Some(log_index), ..Said::default() };
                self.process.ok(Op::ReadRoom(ReadRoom { comets: None, members }), said);
            }
            Err(error) => self.process.fail(error.to_string().as_str(), Said::default()),
        }
    }

    /// Looks one user up.
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
            }
            Err(error) => self.process.fail(error.to_string().as_str(), Said::default()),
        }
    }
}
