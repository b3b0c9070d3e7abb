//! Users: pushes to one user at a time, first at a fixed rate, then as fast as answers come.

use orrery_bench::latency::Latency;
use serde::Serialize;

use super::{Arrivals, Bench, Cpu, all_taken, in_turn, not_delivered};
use crate::bench::crowd::Crowd;
use crate::bench::device::Guise;
use crate::bench::limits::{CALLERS, USER_PUSHES_PER_SECOND, USERS, WARM_UP};
use crate::bench::pusher::{self, Pushes};

/// First user of this part.
const FIRST_USER: u64 = 2_000_000;

/// Figures of pushes to users.
#[derive(Debug, Serialize)]
pub(in crate::bench) struct Pushing {
    /// Pushes made.
    pub(in crate::bench) pushes: u64,
    pub(in crate::bench) per_second: f64,
    /// From when a push was due to when it was read from the device's socket.
    pub(in crate::bench) to_socket: Latency,
    /// From when a push was due to when its receipt was there.
    pub(in crate::bench) to_receipt: Latency,
    /// By how much the client itself was late: noise of this machine, contained in the other two.
    pub(in crate::bench) client_late: Latency,
    pub(in crate::bench) arrivals: Arrivals,
    /// Connections for which the receipt said that the message was not delivered.
    pub(in crate::bench) not_delivered: u64,
    pub(in crate::bench) cpu: Cpu,
}

/// Both figures.
#[derive(Debug, Serialize)]
pub(in crate::bench) struct Users {
    pub(in crate::bench) users: usize,
    /// At a fixed rate.
    pub(in crate::bench) at_rate: Pushing,
    /// From so many callers, each waiting for its receipt.
    pub(in crate::bench) callers: usize,
    pub(in crate::bench) as_fast_as_answered: Pushing,
}

/// Connects users, pushes to them and measures it.
///
/// # Errors
/// When a user does not get in or a push is refused.
pub(in crate::bench) async fn measure(bench: &Bench) -> anyhow::Result<Users> {
    let guise = |index| Guise { user: FIRST_USER + index, room: None };
    let (crowd, _) = bench.crowd((0..USERS as u64).map(guise).collect()).await?;
    let whom = |number: u64| pusher::user(FIRST_USER + number % USERS as u64);

    let warm_up = bench.run();
    let rate = USER_PUSHES_PER_SECOND;
    all_taken(&bench.pusher.on_schedule(warm_up, rate, WARM_UP, &whom).await)?;

    let run = bench.run();
    crowd.begin(run).await?;
    let used = bench.used();
    let pushes = bench.pusher.on_schedule(run, rate, bench.lasting, &whom).await;
    let at_rate = figures(bench, &crowd, pushes, used).await?;

    let run = bench.run();
    crowd.begin(run).await?;
    let used = bench.used();
    let pushes = bench.pusher.as_fast_as_answered(run, CALLERS, bench.lasting, &whom).await;
    let as_fast_as_answered = figures(bench, &crowd, pushes, used).await?;
    Ok(Users { users: USERS, at_rate, callers: CALLERS, as_fast_as_answered })
}

async fn figures(
    bench: &Bench,
    crowd: &Crowd,
    pushes: Pushes,
    used: super::Used,
) -> anyhow::Result<Pushing> {
    all_taken(&pushes)?;
    crowd.await_arrivals(pushes.calls).await;
    let cpu = bench.cpu_since(used);
    let haul = crowd.haul().await?;
    let expected = |index| in_turn(pushes.calls, USERS, index);
    Ok(Pushing {
        pushes: pushes.calls,
        per_second: pushes.calls as f64 / pushes.took.as_secs_f64(),
        to_socket: haul.latencies.summary(),
        to_receipt: pushes.answered.summary(),
        client_late: pushes.late.summary(),
        arrivals: Arrivals::judge(&haul.received, expected),
        not_delivered: not_delivered(&pushes.told),
        cpu,
    })
}
