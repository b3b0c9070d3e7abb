//! What a simulated host hands to the servers on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use orrery_host::{Clock, Host, Random};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{RngCore as _, SeedableRng as _};

use super::gate::Gate;
use super::net::SimNet;
use super::tasks::SimTasks;

/// The wall clock of one host: the simulation's, and how far it is off.
#[derive(Debug, Clone, Default)]
pub struct SimClock {
    off_ms: Arc<AtomicI64>,
}

impl SimClock {
    /// Lets the clock jump.
    pub fn jump_ms(&self, by_ms: i64) {
        self.off_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn wall_ms(&self) -> u64 {
        let since = turmoil::since_epoch().unwrap_or_default();
        let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        ms.saturating_add_signed(self.off_ms.load(Ordering::Relaxed))
    }
}

/// The chance of one host, from its own part of the seed.
#[derive(Debug, Clone)]
pub struct SimRandom(Arc<Mutex<SmallRng>>);

impl SimRandom {
    /// A stream of its own.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(SmallRng::seed_from_u64(seed))))
    }
}

impl Random for SimRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().fill_bytes(bytes);
    }
}

/// What one machine of a simulation is, over all its starts.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its wall clock.
    pub clock: SimClock,
    /// Its chance.
    pub random: SimRandom,
    /// Closed while its process is stopped.
    pub process: Gate,
    /// Closed while its disk takes nothing.
    pub disk: Gate,
}

impl Machine {
    /// A machine with its own part of the seed.
    pub fn new(seed: u64) -> Self {
        let (process, disk) = (Gate::default(), Gate::default());
        Self { clock: SimClock::default(), random: SimRandom::new(seed), process, disk }
    }

    /// What it hands to a process. To be called from the host's own future.
    pub fn host(&self) -> Host {
        Host {
            net: Arc::new(SimNet),
            clock: Arc::new(self.clock.clone()),
            random: Arc::new(self.random.clone()),
            tasks: Arc::new(SimTasks::of_this_host(self.process.clone(), self.disk.clone())),
        }
    }
}
