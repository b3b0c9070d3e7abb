//! Bed: what every process of a workload is given.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orrery_host::Host;
use orrery_model::Address;
use orrery_router_client::Client;
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::sync::watch;
use tokio::time::sleep;

use super::words;
use crate::plan::stream::stream;
use crate::recorder::Recorder;

/// What a workload may do at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Everything.
    Work,
    /// Nothing is written any more and half of the devices go; who asks goes on asking.
    Quiet,
    /// End what was begun, then stop. Comets stay alive.
    End,
    /// All has been read for the last time: nobody need live on.
    Over,
}

/// Draws, for each user, until others take the users' names' places: what is searched must be short.
const DRAWS_PER_USER: u64 = 100;

/// The same for those who stay longer, through more faults.
const DRAWS_PER_HOT_USER: u64 = 240;

/// Of so many draws one is of a user who stays longer.
const HOT_ONE_IN: u32 = 4;

/// Keys of the devices of one user.
const KEYS_PER_USER: u32 = 2;

/// Of so many operations one goes to a shard that is drawn first.
const EVEN_ONE_IN: u32 = 5;

/// The room that every connection of a writer enters first.
pub const LOBBY: &str = "room-lobby";

/// What every process of a workload is given.
#[derive(Clone)]
pub struct Bed {
    /// The run's seed.
    pub seed: u64,
    /// Where it runs.
    pub host: Host,
    /// How it reaches the registry.
    pub client: Client,
    /// Where it writes down what it did.
    pub recorder: Recorder,
    /// Until when it works.
    pub stage: watch::Receiver<Stage>,
    /// The pause between two operations of a process, about.
    pub pace: Duration,
    /// The users that all share.
    pub users: usize,
    /// How often a user was drawn so far.
    pub done: Arc<AtomicU64>,
}

impl Bed {
    /// The chance of one process, by its name.
    pub fn chance(&self, name: &str) -> SmallRng {
        stream(self.seed, &format!("workload {name}"))
    }

    /// Whether work goes on.
    pub fn works(&self) -> bool {
        *self.stage.borrow() == Stage::Work
    }

    /// Whether asking goes on.
    pub fn asks(&self) -> bool {
        *self.stage.borrow() < Stage::End
    }

    /// The same with another way to the registry.
    pub fn with_client(self, client: Client) -> Self {
        Self { client, ..self }
    }

    /// Whether all has been read for the last time.
    pub fn is_over(&self) -> bool {
        *self.stage.borrow() == Stage::Over
    }

    /// Waits until the stage has come to this one.
    pub async fn until(&mut self, stage: Stage) {
        // Fails only once nobody is left to lead the run.
        let _ = self.stage.wait_for(|now| *now >= stage).await;
    }

    /// The pause between two operations. Ends early when work does.
    pub async fn pause(&mut self, chance: &mut SmallRng) {
        let nanos = u64::try_from(self.pace.as_nanos()).unwrap_or(u64::MAX).max(2);
        let pause = Duration::from_nanos(chance.random_range(nanos / 2..nanos * 3 / 2));
        tokio::select! {
            biased;
            _ = self.stage.wait_for(|stage| *stage >= Stage::End) => {}
            () = sleep(pause) => {}
        }
    }

    /// Any of the users of this part of the run, or of those who stay longer.
    pub fn user(&self, chance: &mut SmallRng) -> String {
        let users = self.users.max(1);
        let any = chance.random_range(0..users);
        let draws_each = self.done.fetch_add(1, Ordering::Relaxed) / users as u64;
        if chance.random_ratio(1, HOT_ONE_IN) {
            return format!("user-hot-{}-{any}", draws_each / DRAWS_PER_HOT_USER);
        }
        let era = draws_each / DRAWS_PER_USER;
        if chance.random_ratio(1, EVEN_ONE_IN)
            && let Some(table) = self.client.table()
        {
            // Few users may all be of the same shards.
            let shard = table.shards[chance.random_range(0..table.shards.len())];
            let mut names = (0..).map(|number| format!("user-{era}-of-{number}"));
            let is_of = |name: &String| self.shard(&words::address(name)) == Some(shard.0);
            return names.find(is_of).expect("every shard has a slot");
        }
        format!("user-{era}-{any}")
    }

    /// Any of the keys of a user's devices.
    pub fn key(chance: &mut SmallRng, user: &str) -> String {
        let number = chance.random_range(0..KEYS_PER_USER);
        format!("key-{}-{number}", user.trim_start_matches("user-"))
    }

    /// Any of the rooms.
    pub fn room(&self, chance: &mut SmallRng) -> String {
        format!("room-{}", chance.random_range(0..self.users.max(1)))
    }

    /// The shard that an address belongs to, as far as is known.
    pub fn shard(&self, address: &Address) -> Option<u32> {
        self.client.table().map(|table| table.slots.owner(address.slot()).0)
    }
}
