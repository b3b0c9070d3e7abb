//! Scenarios: plans that have a name, each a way in which a famous system lost something.

use rand::Rng;
use rand::rngs::SmallRng;

use super::Plan;
use super::fault::{Aim, Family, Fault, FaultKind, Harm, StoredFile};
use super::stream::stream;
use super::swarm::Swarm;

/// Time at the beginning without faults, in milliseconds.
const WARM_UP_MS: u64 = 2_000;

/// How long a node is drained with nothing else going on: long enough to see that it leads nothing for long.
const DRAINED_MS: u64 = 20_000;

/// Of so many rounds of churn one ends with that.
const DRAINED_ONE_IN: u32 = 3;

/// A plan that has a name.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub says: &'static str,
    /// What it would have shown elsewhere.
    pub after: &'static str,
    /// Families of which a fault must have been installed, or the run does not count.
    pub families: &'static [Family],
    /// Whether the simulation can do it.
    pub simulated: bool,
    /// One round: faults by milliseconds after its beginning, how long each lasts, and how long the round is.
    round: fn(&Swarm, &mut SmallRng) -> Round,
}

/// All of them.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "power-cut-majority",
        says: "the power of a majority of the routers goes, or of all, again and again under load",
        after: "acknowledgement before the sync: NATS JetStream 7564, Xline",
        families: &[Family::Power],
        simulated: true,
        round: power_cut,
    },
    Scenario {
        name: "power-cut-all",
        says: "the power of all routers goes, again and again under load",
        after: "as power-cut-majority; and how soon everything serves again",
        families: &[Family::Power],
        simulated: true,
        round: power_cut_all,
    },
    Scenario {
        name: "leader-pause",
        says: "a leader is stopped, another elected and written to; it goes on and is asked; \
               the same with links cut one way",
        after: "stale reads and writes of a former leader: etcd 20418, etcd 0.4.1, d-engine 381",
        families: &[Family::Pause, Family::Partition],
        simulated: true,
        round: leader_pause,
    },
    Scenario {
        name: "comet-pause",
        says: "a comet is stopped for longer than its lease; the control shard's leader has a disk that stalls",
        after: "locks without fencing and false expiries: etcd 11457, 12528, 15247",
        families: &[Family::Pause, Family::Disk],
        simulated: true,
        round: comet_pause,
    },
    Scenario {
        name: "comet-outage",
        says: "a comet's machine goes without a word and comes back, before its lease ends or after it",
        after: "ghosts that stay online, and devices that come back while they are still shown elsewhere",
        families: &[Family::Kill],
        simulated: true,
        round: comet_outage,
    },
    Scenario {
        name: "membership-churn",
        says: "leaders move, nodes are drained, replaced and wiped, shards get a replica more and lose one, \
               snapshots are forced and logs purged, while nodes crash",
        after: "openraft 1795, 1802, 1808; NATS JetStream 7545; CockroachDB's splits",
        families: &[Family::Admin, Family::Kill],
        simulated: true,
        round: churn,
    },
    Scenario {
        name: "leader-kill",
        says: "the node that leads most is killed again and again",
        after: "how soon each shard serves again",
        families: &[Family::Kill],
        simulated: true,
        round: leader_kill,
    },
    Scenario {
        name: "corruption",
        says: "while a router is down a bit of its log, snapshot or identity is flipped, or its end cut off",
        after: "NATS JetStream 7549, 7556, 6888; etcd 14370, 14685, 17780",
        families: &[Family::Damage],
        simulated: false,
        round: corruption,
    },
];

/// The scenario of a name.
pub fn named(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// All names with what they say, one a line.
pub fn list() -> String {
    let line = |scenario: &Scenario| format!("  {:20} {}", scenario.name, scenario.says);
    ALL.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Scenario {
    /// The same seed's system, under these faults for as long as its main phase takes.
    pub fn over(&self, mut plan: Plan) -> Plan {
        let mut draw = stream(plan.seed, self.name);
        plan.swarm.families = self.families.iter().copied().collect();
        plan.faults.clear();
        let mut begins = WARM_UP_MS;
        loop {
            let (round, takes) = (self.round)(&plan.swarm, &mut draw);
            // A round is whole or not at all; a short run has one.
            if begins + takes > plan.swarm.main_ms && !plan.faults.is_empty() {
                return plan;
            }
            for (after, lasts_ms, kind) in round {
                let id = u32::try_from(plan.faults.len()).unwrap_or(u32::MAX);
                plan.faults.push(Fault { id, at_ms: begins + after, lasts_ms, kind });
            }
            begins += takes;
        }
    }
}

/// Faults with when they come and how long they last, and how long all takes.
type Round = (Vec<(u64, u64, FaultKind)>, u64);

fn any_leader(swarm: &Swarm, draw: &mut SmallRng) -> Aim {
    Aim::LeaderOf(draw.random_range(0..=swarm.shards))
}

fn power_cut(swarm: &Swarm, draw: &mut SmallRng) -> Round {
    let routers = match draw.random_bool(0.5) {
        true => swarm.routers / 2 + 1,
        false => swarm.routers,
    };
    let away = draw.random_range(200..2_500);
    (vec![(0, away, FaultKind::PowerCut { routers })], away + draw.random_range(5_000..9_000))
}

fn power_cut_all(swarm: &Swarm, draw: &mut SmallRng) -> Round {
    let away = draw.random_range(200..2_500);
    let cut = FaultKind::PowerCut { routers: swarm.routers };
    (vec![(0, away, cut)], away + draw.random_range(8_000..12_000))
}

fn leader_pause(swarm: &Swarm, draw: &mut SmallRng) -> Round {
    let node = any_leader(swarm, draw);
    let stopped = swarm.election_ms_max * draw.random_range(3..8) + 500;
    let mut faults = vec![(0, stopped, FaultKind::Pause { node })];
    // Once in two it hears of the others only, or they of it, when it goes on.
    let cut_at = stopped.saturating_sub(300);
    let cut = draw.random_range(1_000..3_000);
    match draw.random_range(0..4) {
        0 => faults.push((stopped + 2_500, cut, FaultKind::Mute { node: any_leader(swarm, draw) })),
        1 => {
            faults.push((stopped + 2_500, cut, FaultKind::Deafen { node: any_leader(swarm, draw) }))
        }
        2 => {
            let other = Aim::Router(draw.random_range(0..swarm.routers));
            faults.push((cut_at, cut, FaultKind::Mute { node: other }));
        }
        _ => {}
    }
    (faults, stopped + cut + 5_000)
}

fn comet_pause(swarm: &Swarm, draw: &mut SmallRng) -> Round {
    let node = Aim::Comet(draw.random_range(0..swarm.comets));
    let stopped = swarm.lease_ms + draw.random_range(1_500..4_000);
    let stalled = swarm.lease_ms * 3 / 4;
    let stall = FaultKind::Stall { node: Aim::LeaderOf(0) };
    let after = stopped + 4_000;
    let faults = vec![(0, stopped, FaultKind::Pause { node }), (after, stalled, stall)];
    (faults, after + stalled + 4_000)
}

fn comet_outage(swarm: &Swarm, draw: &mut SmallRng) -> Round {
    let node = Aim::Comet(draw.random_range(0..swarm.comets));
    let away = match draw.random_bool(0.5) {
        true => draw.random_range(300..swarm.lease_ms / 2),
        false => swarm.lease_ms + draw.random_range(1_500..4_000),
    };
    // What it comes back to may be just being led by another one.
    let then = FaultKind::Kill { node: Aim::LeaderOf(0) };
    let mut faults = vec![(0, away, FaultKind::Outage { node })];
    if draw.random_bool(0.3) {
        faults.push((away.saturating_sub(200), 800, then));
    }
    (faults, away + 6_000)
}

fn churn(swarm: &Swarm, draw: &mut SmallRng) -> Round {
    let mut faults = Vec::new();
    let mut at = 0;
    for _ in 0..4 {
        let shard = draw.random_range(0..=swarm.shards);
        let node = any_leader(swarm, draw);
        faults.push((at, 0, FaultKind::MoveLeader { shard }));
        faults.push((at + draw.random_range(100..900), 0, FaultKind::Snapshot { node }));
        at += draw.random_range(1_000..2_000);
    }
    // A learner is added, and voted in once it has caught up; of the control shard one that follows already.
    let shard = draw.random_range(0..=swarm.shards);
    faults.push((at, 0, FaultKind::Resize { shard, more: true }));
    at += draw.random_range(500..3_000);
    faults.push((at, 1_500, FaultKind::Drain { node: any_leader(swarm, draw) }));
    at += draw.random_range(1_000..3_000);
    // A voter is one no more; of the control shard it goes on following.
    faults.push((at, 0, FaultKind::Resize { shard, more: false }));
    at += draw.random_range(200..1_500);
    let node = any_leader(swarm, draw);
    faults.push((
        at,
        0,
        match draw.random_bool(0.5) {
            true => FaultKind::ReplaceNode { node },
            false => FaultKind::Wipe { node },
        },
    ));
    // While replicas move.
    at += draw.random_range(500..2_500);
    let away = draw.random_range(300..1_500);
    faults.push((at, away, FaultKind::Kill { node: any_leader(swarm, draw) }));
    let mut takes = at + away + 6_000;
    if draw.random_ratio(1, DRAINED_ONE_IN) {
        faults.push((takes, DRAINED_MS, FaultKind::Drain { node: any_leader(swarm, draw) }));
        takes += DRAINED_MS + 3_000;
    }
    (faults, takes)
}

fn leader_kill(swarm: &Swarm, draw: &mut SmallRng) -> Round {
    let away = draw.random_range(300..3_000);
    let node = any_leader(swarm, draw);
    (vec![(0, away, FaultKind::Kill { node })], away + draw.random_range(3_500..6_000))
}

fn corruption(swarm: &Swarm, draw: &mut SmallRng) -> Round {
    let files = [StoredFile::Log, StoredFile::Log, StoredFile::Snapshot, StoredFile::Identity];
    let file = files[draw.random_range(0..files.len())];
    let how = [Harm::Bit, Harm::Truncate][draw.random_range(0..2)];
    let node = any_leader(swarm, draw);
    let snapshot = FaultKind::Snapshot { node };
    let damage = FaultKind::Damage { node, file, how };
    let then = FaultKind::Kill { node: any_leader(swarm, draw) };
    // When it is back, or another in its place, somebody else must do without the others for a while.
    (vec![(0, 0, snapshot), (1_000, 0, damage), (13_000, 1_000, then)], 19_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::processes;

    #[test]
    fn every_scenario_fills_its_time_with_what_it_requires() {
        for scenario in ALL {
            for seed in 0..30 {
                let plan = scenario.over(processes::plan(seed, 120_000, &[]));
                assert_eq!(plan, scenario.over(processes::plan(seed, 120_000, &[])), "seed {seed}");
                let name = scenario.name;
                assert!(plan.faults.len() >= 4, "{name}, seed {seed}: {}", plan.faults.len());
                assert!(plan.faults.is_sorted_by_key(|fault| fault.id), "{name}");
                for fault in &plan.faults {
                    assert!(fault.at_ms < 120_000, "{name}, seed {seed}");
                    let is_allowed = scenario.families.contains(&fault.kind.family())
                        || matches!(
                            fault.kind,
                            FaultKind::Snapshot { .. } | FaultKind::Kill { .. }
                        );
                    assert!(is_allowed, "{name}: {:?}", fault.kind);
                }
            }
        }
    }

    #[test]
    fn a_name_is_found_and_another_is_not() {
        assert_eq!(named("leader-pause").map(|scenario| scenario.name), Some("leader-pause"));
        assert!(named("leader-paws").is_none());
        assert!(list().contains("comet-pause"));
    }
}
