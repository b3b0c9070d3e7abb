//! The world a node runs in: sockets, clock, randomness, tasks. Everything a server would otherwise take
//! from the operating system is handed to it as a [`Host`], so that the same code runs in production,
//! in tests and in simulation. (The disk is handed in as a store, see `orrery-router-store`.)

pub mod clock;
mod gather;
pub mod grpc;
mod local_stream;
pub mod net;
pub mod random;
pub mod system;
pub mod tasks;
pub mod trace;

use std::sync::Arc;

pub use clock::Clock;
pub use gather::{Gather, Nudge, cannot_wait};
pub use local_stream::LocalStream;
pub use net::{Listener, Net, Peer, Role, Stream};
pub use random::Random;
pub use system::SystemStream;
pub use tasks::{Task, Tasks};
pub use trace::Trace;

/// What the outside world hands to a node. Cheap to clone.
#[derive(Clone)]
pub struct Host {
    /// Listeners and connections.
    pub net: Arc<dyn Net>,
    /// Wall time, for people only. Durations come from `tokio::time`.
    pub clock: Arc<dyn Clock>,
    /// Randomness: ids, jitter.
    pub random: Arc<dyn Random>,
    /// Where tasks and blocking work run.
    pub tasks: Arc<dyn Tasks>,
}

impl Host {
    /// The real machine, spawning on the current tokio runtime.
    pub fn system() -> Self {
        Self {
            net: Arc::new(system::SystemNet),
            clock: Arc::new(system::SystemClock),
            random: Arc::new(system::SystemRandom),
            tasks: Arc::new(system::SystemTasks::current()),
        }
    }
}
