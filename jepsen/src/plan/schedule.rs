//! Schedule: the list of faults that a seed draws for its system, before anything runs.
//!
//! Faults are placed so that the system can recover: at most a minority of routers is away at a time, but
//! for power cuts, from which all come back with what they had synced. So whatever is lost is lost by the
//! system. Quiet windows lie in between, in which everything has time to settle.

use rand::Rng;
use rand::rngs::SmallRng;

use super::fault::{Aim, Family, Fault, FaultKind, Harm, StoredFile};
use super::stream::{seed_of, stream};
use super::swarm::Swarm;

/// Time at the beginning without faults.
const WARM_UP_MS: u64 = 2_000;

/// Of so many windows one is quiet.
const QUIET_ONE_IN: u32 = 4;

/// How long a quiet window is, in milliseconds.
const QUIET_MS: u64 = 4_000;

/// The faults of a seed.
pub fn of(seed: u64, swarm: &Swarm) -> Vec<Fault> {
    let mut pace = stream(seed, "faults");
    let families: Vec<Family> = swarm.families.iter().copied().collect();
    let mut faults = Vec::new();
    let mut at_ms = WARM_UP_MS;
    // The minority that may be away is free from here on.
    let mut free_ms = at_ms;
    for id in 0.. {
        at_ms += pace.random_range(swarm.fault_every_ms / 2..=swarm.fault_every_ms * 3 / 2);
        if pace.random_ratio(1, QUIET_ONE_IN) {
            at_ms += QUIET_MS;
        }
        if at_ms >= swarm.main_ms {
            break;
        }
        let family = families[pace.random_range(0..families.len())];
        let mut draw = stream(seed_of(seed, "fault"), &id.to_string());
        let kind = kind_of(family, swarm, &mut draw);
        let lasts_ms = match kind.stays() {
            true => *one(&mut draw, &[100, 400, 1_000, 2_500, 6_000, swarm.lease_ms + 3_000]),
            false => 0,
        };
        if takes_away(&kind) {
            at_ms = at_ms.max(free_ms);
            free_ms = at_ms + lasts_ms;
        }
        faults.push(Fault { id, at_ms, lasts_ms, kind });
    }
    let mut last = Last { at_ms: free_ms.max(swarm.main_ms), faults };
    let mut draw = stream(seed, "failing disks");
    if swarm.families.contains(&Family::Disk) {
        if swarm.families.contains(&Family::Kill) && draw.random_bool(0.5) {
            let first = draw.random_range(0..swarm.routers);
            last.stalled_and_killed(first);
            last.stalled_and_killed((first + 1) % swarm.routers);
        }
        if draw.random_bool(0.5) {
            last.failing_disks(swarm.routers);
        }
    }
    last.faults
}

/// What a run ends with: faults that say something only together.
struct Last {
    at_ms: u64,
    faults: Vec<Fault>,
}

impl Last {
    fn push(&mut self, after_ms: u64, lasts_ms: u64, kind: FaultKind) {
        let id = self.faults.last().map_or(0, |last| last.id + 1);
        self.faults.push(Fault { id, at_ms: self.at_ms + after_ms, lasts_ms, kind });
    }

    /// A disk stands still, and then its process ends: nothing of the time between is on it. It is back before
    /// others know that it was away.
    fn stalled_and_killed(&mut self, router: usize) {
        let node = Aim::Router(router);
        self.push(0, 1_000, FaultKind::Stall { node });
        self.push(900, 150, FaultKind::Kill { node });
        self.at_ms += 4_000;
    }

    /// Every disk fails a sync, and then the power goes: who went on as if nothing had happened has nothing.
    fn failing_disks(&mut self, routers: usize) {
        for router in 0..routers {
            self.push(0, 0, FaultKind::FailedSync { node: Aim::Router(router) });
        }
        self.push(3_000, 500, FaultKind::PowerCut { routers });
        self.at_ms += 4_000;
    }
}

/// Whether it may leave a router without the others, so that no second one may be at the same time.
fn takes_away(kind: &FaultKind) -> bool {
    let on = |aim: &Aim| matches!(aim, Aim::Router(_) | Aim::LeaderOf(_));
    match kind {
        FaultKind::Isolate { node }
        | FaultKind::Mute { node }
        | FaultKind::Deafen { node }
        | FaultKind::Hold { node }
        | FaultKind::Kill { node }
        | FaultKind::Outage { node }
        | FaultKind::Pause { node }
        | FaultKind::Stall { node }
        | FaultKind::FailedSync { node }
        | FaultKind::FullDisk { node }
        | FaultKind::Damage { node, .. }
        | FaultKind::ReplaceNode { node }
        | FaultKind::Wipe { node } => on(node),
        FaultKind::Bridge { .. } | FaultKind::PowerCut { .. } | FaultKind::RollingRestart => true,
        FaultKind::Slow { .. }
        | FaultKind::Loss { .. }
        | FaultKind::Rough { .. }
        | FaultKind::Narrow { .. }
        | FaultKind::ClockJump { .. }
        | FaultKind::MoveLeader { .. }
        | FaultKind::Resize { .. }
        | FaultKind::Drain { .. }
        | FaultKind::Snapshot { .. } => false,
    }
}

fn kind_of(family: Family, swarm: &Swarm, draw: &mut SmallRng) -> FaultKind {
    let node = any(swarm, draw);
    let router = router(swarm, draw);
    match family {
        Family::Partition => match draw.random_range(0..4) {
            0 => FaultKind::Isolate { node },
            1 => FaultKind::Mute { node },
            2 => FaultKind::Deafen { node },
            _ => {
                let a = draw.random_range(0..swarm.routers);
                let b = (a + draw.random_range(1..swarm.routers)) % swarm.routers;
                FaultKind::Bridge { a: Aim::Router(a), b: Aim::Router(b) }
            }
        },
        Family::Network => match draw.random_range(0..3) {
            0 => FaultKind::Hold { node },
            1 => FaultKind::Slow { node, latency_ms: *one(draw, &[20, 80, 300]) },
            _ => FaultKind::Loss { per_100k: *one(draw, &[5, 50, 500]) },
        },
        Family::Kill => match draw.random_range(0..8) {
            0 => FaultKind::RollingRestart,
            // A router's power goes with what its disk had not yet, which is a fault of its own.
            1 => FaultKind::Outage { node: edge(swarm, draw) },
            _ => FaultKind::Kill { node },
        },
        Family::Pause => FaultKind::Pause { node },
        Family::Power => FaultKind::PowerCut { routers: draw.random_range(1..=swarm.routers) },
        Family::Disk => match draw.random_range(0..3) {
            0 => FaultKind::Stall { node: router },
            1 => FaultKind::FailedSync { node: router },
            _ => FaultKind::FullDisk { node: router },
        },
        Family::Clock => {
            let by_ms = *one(draw, &[-86_400_000, -60_000, -3_000, 3_000, 60_000, 86_400_000]);
            FaultKind::ClockJump { node, by_ms }
        }
        Family::Admin => match draw.random_range(0..8) {
            0 => FaultKind::ReplaceNode { node: router },
            1 => FaultKind::Wipe { node: router },
            6 | 7 => {
                let shard = draw.random_range(0..=swarm.shards);
                FaultKind::Resize { shard, more: draw.random_bool(0.7) }
            }
            5 => FaultKind::Drain { node: router },
            2 | 3 => FaultKind::MoveLeader { shard: draw.random_range(0..=swarm.shards) },
            _ => FaultKind::Snapshot { node: router },
        },
        Family::Damage => {
            let files = [StoredFile::Log, StoredFile::Snapshot, StoredFile::Identity];
            let (file, how) = (*one(draw, &files), *one(draw, &[Harm::Bit, Harm::Truncate]));
            FaultKind::Damage { node: router, file, how }
        }
    }
}

/// Leaders are aimed at often: that is where it hurts.
fn router(swarm: &Swarm, draw: &mut SmallRng) -> Aim {
    match draw.random_bool(0.6) {
        true => Aim::LeaderOf(draw.random_range(0..=swarm.shards)),
        false => Aim::Router(draw.random_range(0..swarm.routers)),
    }
}

/// A machine that devices or backends depend on: mostly one that holds connections.
fn edge(swarm: &Swarm, draw: &mut SmallRng) -> Aim {
    match draw.random_ratio(1, 4) {
        true => Aim::Logic(draw.random_range(0..swarm.logics)),
        false => Aim::Comet(draw.random_range(0..swarm.comets)),
    }
}

fn any(swarm: &Swarm, draw: &mut SmallRng) -> Aim {
    match draw.random_range(0..10) {
        0 => Aim::Logic(draw.random_range(0..swarm.logics)),
        1 | 2 => Aim::Comet(draw.random_range(0..swarm.comets)),
        _ => router(swarm, draw),
    }
}

fn one<'a, T>(draw: &mut impl Rng, of: &'a [T]) -> &'a T {
    &of[draw.random_range(0..of.len())]
}
