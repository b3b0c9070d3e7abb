//! Edge: how the devices and backends of a seed behave, and how the comets and logics in between are set.
//! Drawn from a stream of its own: what else a seed draws stays as it is.

use std::time::Duration;

use rand::Rng as _;
use serde::{Deserialize, Serialize};

use super::stream::stream;

/// Heartbeats that a device may miss before its comet closes it.
pub const HEARTBEATS_MAX: u32 = 2;

/// How late a comet may notice that a device is silent: its sweep, and what its clock may have skipped.
const SWEEP: Duration = Duration::from_secs(3);

/// Devices, backends, and what is between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Processes that push and ask who is online.
    pub backends: usize,
    /// Milliseconds between two questions of a backend, about.
    pub push_every_ms: u64,
    /// Users that the devices share.
    pub users: usize,
    /// Rooms that the devices share.
    pub halls: usize,
    /// Milliseconds within which a device should give a sign of life.
    pub heartbeat_ms: u32,
    /// Milliseconds within which a comet compares its connections with the registry.
    pub audit_ms: u64,
    /// Milliseconds that a room without members stays listed.
    pub room_linger_ms: u64,
    /// Frames that may wait for one device.
    pub outbox_frames: usize,
}

impl Edge {
    /// What a seed draws.
    pub fn of(seed: u64) -> Self {
        let mut draw = stream(seed, "edge");
        Self {
            backends: draw.random_range(1..=3),
            push_every_ms: *one(&mut draw, &[60, 120, 250]),
            users: draw.random_range(1..=6),
            halls: draw.random_range(1..=4),
            heartbeat_ms: *one(&mut draw, &[1_000, 2_000, 3_000]),
            audit_ms: *one(&mut draw, &[2_000, 10_000, 600_000]),
            room_linger_ms: *one(&mut draw, &[100, 2_000, 30_000]),
            outbox_frames: *one(&mut draw, &[4, 64, 1024]),
        }
    }

    /// Longest time until a comet has noticed that a device is silent.
    pub fn silence(&self) -> Duration {
        Duration::from_millis(u64::from(self.heartbeat_ms)) * HEARTBEATS_MAX + SWEEP
    }
}

fn one<'a, T>(draw: &mut impl rand::Rng, of: &'a [T]) -> &'a T {
    &of[draw.random_range(0..of.len())]
}
