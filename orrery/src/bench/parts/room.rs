//! Room: many pushes to many members. Every member must get every message.

use orrery_bench::latency::Latency;
use serde::Serialize;

use super::{Arrivals, Bench, Cpu, all_taken, not_delivered};
use crate::bench::device::Guise;
use crate::bench::limits::{ROOM_MEMBERS, ROOM_PUSHES_PER_SECOND, WARM_UP};
use crate::bench::pusher;
use crate::bench::worker::Received;

/// First user of this part.
const FIRST_USER: u64 = 4_000_000;

/// The room's name.
const ROOM: &str = "busy://1";

/// Figures of pushes to one large room.
#[derive(Debug, Serialize)]
pub(in crate::bench) struct Room {
    pub(in crate::bench) members: usize,
    /// Pushes made.
    pub(in crate::bench) pushes: u64,
    /// Pushes a second that the client kept up.
    pub(in crate::bench) pushes_per_second: f64,
    /// Messages a second that arrived, counted until the last of them was there.
    pub(in crate::bench) deliveries_per_second: f64,
    /// From when a push was due to when a member read it, over all members.
    pub(in crate::bench) to_socket: Latency,
    /// From when a push was due to when its receipt was there.
    pub(in crate::bench) to_receipt: Latency,
    /// By how much the client itself was late.
    pub(in crate::bench) client_late: Latency,
    pub(in crate::bench) arrivals: Arrivals,
    /// Connections for which the receipts said that a message was not delivered.
    pub(in crate::bench) not_delivered: u64,
    /// Members whose connection broke.
    pub(in crate::bench) broken: u64,
    pub(in crate::bench) cpu: Cpu,
    /// The system's processor time for a million deliveries, in seconds.
    pub(in crate::bench) server_s_per_million: Option<f64>,
}

/// Fills a room, pushes to it at a rate and measures it.
///
/// # Errors
/// When a member does not get in or a push is refused.
pub(in crate::bench) async fn measure(bench: &Bench) -> anyhow::Result<Room> {
    let guise = |index| Guise { user: FIRST_USER + index, room: Some(ROOM.to_owned()) };
    let (crowd, _) = bench.crowd((0..ROOM_MEMBERS as u64).map(guise).collect()).await?;
    let whom = |_| pusher::room(ROOM);

    let warm_up = bench.run();
    crowd.begin(warm_up).await?;
    let rate = ROOM_PUSHES_PER_SECOND;
    let warm = bench.pusher.on_schedule(warm_up, rate, WARM_UP, &whom).await;
    all_taken(&warm)?;
    crowd.await_arrivals(warm.calls * ROOM_MEMBERS as u64).await;

    let run = bench.run();
    crowd.begin(run).await?;
    let used = bench.used();
    let begun_ns = bench.clock.now_ns();
    let pushes = bench.pusher.on_schedule(run, rate, bench.lasting, &whom).await;
    all_taken(&pushes)?;
    crowd.await_arrivals(pushes.calls * ROOM_MEMBERS as u64).await;
    let took_s = (bench.clock.now_ns() - begun_ns) as f64 / 1e9;
    let cpu = bench.cpu_since(used);
    let haul = crowd.haul().await?;

    let each = Received { messages: pushes.calls, numbers: (0..pushes.calls).sum() };
    let arrivals = Arrivals::judge(&haul.received, |_| each);
    let millions = arrivals.arrived as f64 / 1e6;
    Ok(Room {
        members: ROOM_MEMBERS,
        pushes: pushes.calls,
        pushes_per_second: pushes.calls as f64 / pushes.took.as_secs_f64(),
        deliveries_per_second: arrivals.arrived as f64 / took_s,
        to_socket: haul.latencies.summary(),
        to_receipt: pushes.answered.summary(),
        client_late: pushes.late.summary(),
        arrivals,
        not_delivered: not_delivered(&pushes.told),
        broken: haul.broken,
        cpu,
        server_s_per_million: cpu.server_s.map(|server_s| server_s / millions),
    })
}
