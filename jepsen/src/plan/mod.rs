//! Plans: what a run will be, drawn from its seed before it begins, so that it can be written down,
//! repeated, and repeated with less.

pub mod edge;
pub mod fault;
pub mod processes;
pub mod scenario;
pub mod schedule;
pub mod stream;
pub mod swarm;

use std::time::Duration;

use rand::Rng as _;
use serde::{Deserialize, Serialize};

pub use edge::Edge;
pub use fault::{Aim, Family, Fault, FaultKind, Harm, StoredFile};
pub use swarm::Swarm;

/// The name of the fault that stays when all others are healed.
const AWAY: u32 = u32::MAX;

/// Of 20 seeds so many would have a quiet tail. A third has leases that are too long for it.
const QUIET_IN_20: u32 = 8;

/// How much longer it is than anything may take: what clocks and delays blur, and time for some reads.
const QUIET_MORE: Duration = Duration::from_secs(4);

/// No quiet tail is longer.
const QUIET_MAX: Duration = Duration::from_secs(25);

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

    /// The fault that stays when all others are healed, if one does: without the router that it takes away the
    /// others must converge and serve, from whatever the faults left behind.
    pub fn away(&self) -> Option<Fault> {
        let mut draw = stream::stream(self.seed, "away");
        let node = Aim::Router(draw.random_range(0..self.swarm.routers));
        let kind = match draw.random_range(0..6) {
            0 => FaultKind::Kill { node },
            1 => FaultKind::Isolate { node },
            2 => FaultKind::Pause { node },
            _ => return None,
        };
        Some(Fault { id: AWAY, at_ms: self.swarm.main_ms, lasts_ms: 0, kind })
    }

    /// How long the run goes on after the heal without faults and writes, if it does: until who went when it began
    /// must be offline, and a little longer. Runs in which that takes long go without.
    pub fn quiet(&self) -> Option<Duration> {
        let mut draw = stream::stream(self.seed, "quiet");
        let lease = Duration::from_millis(self.swarm.lease_ms);
        let quiet = self.swarm.edge.silence() + lease * 2 + QUIET_MORE;
        (draw.random_ratio(QUIET_IN_20, 20) && quiet <= QUIET_MAX).then_some(quiet)
    }

    /// Properties that a run must show to hold: where there are devices, that of them too.
    pub fn required(&self) -> &'static [&'static str] {
        match self.swarm.devices {
            0 => &[],
            _ => &["end-to-end", "presence"],
        }
    }

    /// Which of these families of faults a run must have had, in words: those that it has time for.
    pub fn required_faults(&self, families: &[Family]) -> Vec<String> {
        let planned = |one: &&Family| self.faults.iter().any(|fault| fault.kind.family() == **one);
        families.iter().filter(planned).map(|one| one.word()).collect()
    }

    /// The same without some faults: each draws from a stream of its own, so that what is left stays as it was.
    pub fn without(mut self, ids: &[u32]) -> Self {
        self.faults.retain(|fault| !ids.contains(&fault.id));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_seeds_has_a_quiet_tail_that_outlasts_whoever_went() {
        let quiet = |seed| {
            let plan = Plan::of(seed);
            let lease = Duration::from_millis(plan.swarm.lease_ms);
            plan.quiet().inspect(|quiet| {
                assert!(*quiet > plan.swarm.edge.silence() + lease * 2, "seed {seed}");
                assert!(*quiet <= QUIET_MAX, "seed {seed}");
            })
        };
        let quiet = (0..1_000).filter_map(quiet).count();
        assert!((200..300).contains(&quiet), "{quiet} of 1000");
    }

    #[test]
    fn machines_of_the_edge_go_without_a_word_and_routers_are_drained_in_some_runs() {
        let faults: Vec<Fault> = (0..300).flat_map(|seed| Plan::of(seed).faults).collect();
        let outages = faults.iter().filter(|fault| matches!(fault.kind, FaultKind::Outage { .. }));
        let aims: Vec<Option<Aim>> = outages.map(|fault| fault.kind.aim()).collect();
        let comets = aims.iter().filter(|aim| matches!(aim, Some(Aim::Comet(_)))).count();
        let logics = aims.iter().filter(|aim| matches!(aim, Some(Aim::Logic(_)))).count();
        assert!(comets >= 20, "{comets} of comets");
        assert_eq!(comets + logics, aims.len(), "of a router it is a power cut");
        let drains = faults.iter().filter(|fault| matches!(fault.kind, FaultKind::Drain { .. }));
        let drains = drains.filter(|fault| fault.kind.stays() && fault.lasts_ms > 0).count();
        assert!(drains >= 20, "{drains} drains");
    }
}
