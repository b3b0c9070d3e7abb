//! Processes: what a seed draws where time is real: figures of a life, not of a simulation, and faults that
//! only a real network knows.

use rand::Rng;

use super::fault::{Family, Fault, FaultKind};
use super::stream::{seed_of, stream};
use super::swarm::Swarm;
use super::{Plan, schedule};

/// The plan of a seed for real processes whose main phase takes so long. Where families are given, the
/// faults are of those.
pub fn plan(seed: u64, main_ms: u64, families: &[Family]) -> Plan {
    let mut draw = stream(seed, "processes");
    let drawn = Swarm::of(seed);
    let (heartbeat_ms, election_ms_min, election_ms_max) =
        *one(&mut draw, &[(50, 200, 350), (100, 400, 600), (100, 400, 600), (150, 700, 1_000)]);
    let swarm = Swarm {
        shards: *one(&mut draw, &[4, 8, 16]),
        logics: 2,
        comets: draw.random_range(2..=3),
        writers: draw.random_range(6..=8),
        users: draw.random_range(6..=16),
        main_ms,
        snapshot_log_entries: *one(&mut draw, &[100, 1_000, 50_000]),
        log_keep_entries: *one(&mut draw, &[20, 200, 20_000]),
        heartbeat_ms,
        election_ms_min,
        election_ms_max,
        fault_every_ms: *one(&mut draw, &[1_500, 3_000, 5_000]),
        families: match families {
            [] => drawn.families.clone(),
            given => given.iter().copied().collect(),
        },
        ..drawn
    };
    let faults = schedule::of(seed, &swarm);
    let faults = faults.into_iter().map(|fault| real(seed, fault)).collect();
    Plan { seed, swarm, faults }
}

/// Some faults are other ones where packets are real.
fn real(seed: u64, mut fault: Fault) -> Fault {
    let mut draw = stream(seed_of(seed, "real"), &fault.id.to_string());
    fault.kind = match fault.kind {
        // A lost segment is sent again here: so little does no harm.
        FaultKind::Loss { per_100k } => match draw.random_range(0..3) {
            0 => FaultKind::Rough { duplicate_per_100k: 5_000, reorder_per_100k: 10_000 },
            _ => FaultKind::Loss { per_100k: per_100k * 40 },
        },
        FaultKind::Slow { node, .. } if draw.random_ratio(1, 3) => {
            let bytes_per_second = *one(&mut draw, &[20_000, 100_000]);
            FaultKind::Narrow { node, bytes_per_second }
        }
        kind => kind,
    };
    fault
}

fn one<'a, T>(draw: &mut impl Rng, of: &'a [T]) -> &'a T {
    &of[draw.random_range(0..of.len())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_plan_and_only_the_families_that_are_asked_for() {
        for seed in 0..50 {
            let asked = [Family::Power, Family::Network];
            let plan = plan(seed, 60_000, &asked);
            assert_eq!(plan, super::plan(seed, 60_000, &asked), "seed {seed}");
            assert!(plan.faults.iter().all(|fault| asked.contains(&fault.kind.family())));
            assert!(plan.faults.is_sorted_by_key(|fault| fault.at_ms), "seed {seed}");
        }
    }

    #[test]
    fn what_is_drawn_is_what_a_router_takes() {
        for seed in 0..200 {
            let swarm = plan(seed, 60_000, &[]).swarm;
            assert!(swarm.election_ms_min > 2 * swarm.heartbeat_ms * 3 / 2, "seed {seed}");
            assert!(swarm.election_ms_max > swarm.election_ms_min, "seed {seed}");
        }
    }
}
