//! Quiet room: the first message to a room in which nothing was said for a while.

use orrery_bench::latency::Latency;
use serde::Serialize;
use tokio::time::sleep;

use super::{Arrivals, Bench, all_taken, in_turn};
use crate::bench::device::Guise;
use crate::bench::limits::{QUIET_BETWEEN, QUIET_FIRST, QUIET_ROOMS};
use crate::bench::pusher;

/// First user of this part.
const FIRST_USER: u64 = 3_000_000;

/// Figures of first messages.
#[derive(Debug, Serialize)]
pub(in crate::bench) struct QuietRooms {
    pub(in crate::bench) rooms: usize,
    /// From the call to when the message was read from the member's socket.
    pub(in crate::bench) to_socket: Latency,
    pub(in crate::bench) arrivals: Arrivals,
}

/// Pushes once to each of several rooms with one member each, and measures it.
///
/// # Errors
/// When a member does not get in or a push is refused.
pub(in crate::bench) async fn measure(bench: &Bench) -> anyhow::Result<QuietRooms> {
    let name = |index| format!("quiet://{index}");
    let guise = |index| Guise { user: FIRST_USER + index, room: Some(name(index)) };
    let (crowd, _) = bench.crowd((0..QUIET_ROOMS as u64).map(guise).collect()).await?;
    let run = bench.run();
    crowd.begin(run).await?;
    sleep(QUIET_FIRST).await;
    for number in 0..QUIET_ROOMS as u64 {
        let room = pusher::room(&name(number));
        all_taken(&bench.pusher.once(run, number, room).await)?;
        sleep(QUIET_BETWEEN).await;
    }
    crowd.await_arrivals(QUIET_ROOMS as u64).await;
    let haul = crowd.haul().await?;
    let expected = |index| in_turn(QUIET_ROOMS as u64, QUIET_ROOMS, index);
    let arrivals = Arrivals::judge(&haul.received, expected);
    Ok(QuietRooms { rooms: QUIET_ROOMS, to_socket: haul.latencies.summary(), arrivals })
}
