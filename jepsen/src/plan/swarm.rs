//! Swarm: the system and the load that one seed draws. Each seed has its own mix, so that no setting hides
//! what another would show.

use std::collections::BTreeSet;

use rand::Rng as _;
use rand::seq::IteratorRandom as _;
use serde::{Deserialize, Serialize};

use super::edge::Edge;
use super::fault::Family;
use super::stream::stream;

/// The system under test and its load.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swarm {
    /// Routers.
    pub routers: usize,
    /// Data shards.
    pub shards: u32,
    /// Logics.
    pub logics: usize,
    /// Comets.
    pub comets: usize,
    /// Devices per comet.
    pub devices: usize,
    /// How devices and backends behave.
    pub edge: Edge,
    /// Processes that speak with the registry as comets do.
    pub writers: usize,
    /// Users that the writers share.
    pub users: usize,
    /// Milliseconds of the main phase.
    pub main_ms: u64,
    /// Entries between two snapshots.
    pub snapshot_log_entries: u64,
    /// Entries kept before a snapshot.
    pub log_keep_entries: u64,
    /// Milliseconds between heartbeats.
    pub heartbeat_ms: u64,
    /// Milliseconds before an election, at least.
    pub election_ms_min: u64,
    /// Milliseconds before an election, at most.
    pub election_ms_max: u64,
    /// Milliseconds of a comet's lease.
    pub lease_ms: u64,
    /// Milliseconds a message takes, at least.
    pub latency_ms_min: u64,
    /// Milliseconds a message takes, at most.
    pub latency_ms_max: u64,
    /// Milliseconds between two faults, about.
    pub fault_every_ms: u64,
    /// What kinds of faults there are.
    pub families: BTreeSet<Family>,
}

impl Swarm {
    /// What a seed draws.
    pub fn of(seed: u64) -> Self {
        let mut draw = stream(seed, "swarm");
        let heartbeat_ms = *one(&mut draw, &[50, 100, 100, 200]);
        let election_ms_min = heartbeat_ms * draw.random_range(4..=8);
        let latency_ms_min = draw.random_range(1..=3);
        let families = draw.random_range(1..=Family::ALL.len());
        Self {
            routers: *one(&mut draw, &[3, 3, 3, 5]),
            shards: *one(&mut draw, &[1, 2, 4, 8]),
            logics: draw.random_range(1..=2),
            comets: draw.random_range(1..=3),
            devices: draw.random_range(1..=6),
            edge: Edge::of(seed),
            writers: draw.random_range(3..=6),
            users: draw.random_range(2..=12),
            main_ms: draw.random_range(30_000..=45_000),
            snapshot_log_entries: *one(&mut draw, &[20, 50, 200, 5_000]),
            log_keep_entries: *one(&mut draw, &[0, 5, 50, 500]),
            heartbeat_ms,
            election_ms_min,
            election_ms_max: election_ms_min * 2,
            lease_ms: *one(&mut draw, &[3_000, 5_000, 10_000]),
            latency_ms_min,
            latency_ms_max: latency_ms_min + *one(&mut draw, &[0, 2, 10, 40]),
            fault_every_ms: *one(&mut draw, &[500, 1_500, 3_000, 8_000]),
            families: Family::ALL
                .into_iter()
                .choose_multiple(&mut draw, families)
                .into_iter()
                .collect(),
        }
    }
}

fn one<'a, T>(draw: &mut impl rand::Rng, of: &'a [T]) -> &'a T {
    &of[draw.random_range(0..of.len())]
}
