//! Reader: looks users up, linearizable and not.

use judge::history::{Locate, Op, ReadRoom};
use orrery_model::Route;
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use super::bed::Bed;
use super::{READ_TIMEOUT, words};
use crate::recorder::{Process, Said};

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
        while self.bed.works() {
            if self.chance.random_ratio(1, 5) {
                let room = self.bed.room(&mut self.chance);
                self.read_room(&room).await;
            } else {
                let key = self.bed.user(&mut self.chance);
                let stale = self.chance.random_ratio(1, 8);
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
