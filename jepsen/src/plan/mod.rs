//! Plans: what a run will be, drawn from its seed before it begins, so that it can be written down,
//! repeated, and repeated with less.

pub mod fault;
pub mod schedule;
pub mod stream;
pub mod swarm;

use serde::{Deserialize, Serialize};

pub use fault::{Aim, Family, Fault, FaultKind};
pub use swarm::Swarm;

/// All that is decided of a run before it begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// What it was drawn from.
    pub seed: u64,
    /// The system under test and its load.
    pub swarm: Swarm,
    /// The faults, by time.
    pub faults: Vec<Fault>,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let swarm = Swarm::of(seed);
        let faults = schedule::of(seed, &swarm);
        Self { seed, swarm, faults }
    }

    /// The same without some faults: each draws from a stream of its own, so that what is left stays as it was.
    pub fn without(mut self, ids: &[u32]) -> Self {
        self.faults.retain(|fault| !ids.contains(&fault.id));
        self
    }
}
