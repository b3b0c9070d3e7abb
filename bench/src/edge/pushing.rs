//! Pushing: pushes on schedule to devices that are there, measured at both ends.

use std::time::Duration;

use serde::Serialize;

use super::arrivals::{Arrivals, Received};
use super::bench::Bench;
use super::client::crowd::Crowd;
use super::progress;
use super::push::api::{Told, Whom};
use super::push::metronome::Schedule;
use super::push::pusher::{Pusher, Pushes};
use super::server::usage::{Cpu, Usage, per_cpu_s};
use crate::latency::Latency;

/// Pushes to be made.
pub struct Plan<'a> {
    /// Pushes a second.
    pub rate: u64,
    /// How long they go on before they count.
    pub warm_up: Duration,
    /// How long they count.
    pub lasting: Duration,
    /// Length of each body.
    pub bytes: usize,
    /// Whom each is for.
    pub whom: &'a dyn Fn(u64) -> Whom,
    /// Messages that each device should get of so many pushes, by its number.
    pub expected: &'a dyn Fn(u64, usize) -> Received,
    /// Devices that one push reaches.
    pub reached: u64,
}

/// Figures of pushes.
#[derive(Debug, Serialize)]
pub struct Pushing {
    /// Pushes made.
    pub pushes: u64,
    /// Pushes that were refused, or that nobody answered.
    pub failed: u64,
    /// The first of these, for people.
    pub first_failure: Option<String>,
    /// Pushes a second that the client kept up.
    pub per_second: f64,
    /// Messages a second that arrived, counted until the last of them was there.
    pub deliveries_per_second: f64,
    /// From when a push was due to when it was read from a device's socket, over all devices.
    pub to_socket: Latency,
    /// From when a push was due to when its receipt was there.
    pub to_receipt: Latency,
    /// By how much the client itself was late: noise of this machine, contained in the other two.
    pub client_late: Latency,
    /// What came, against what should have come.
    pub arrivals: Arrivals,
    /// What receipts said.
    pub told: Told,
    /// Devices whose connection broke.
    pub broken: u64,
    /// What it took.
    pub cpu: Cpu,
    /// Messages that arrived, for a second of the comets' processor time.
    pub deliveries_per_comet_cpu_s: Option<f64>,
    /// Messages that arrived, for a second of the whole system's processor time.
    pub deliveries_per_server_cpu_s: Option<f64>,
}

/// Warms up, pushes as planned and measures it.
///
/// # Errors
/// When every push failed, or a thread of the client ended.
pub async fn on_schedule(
    bench: &Bench,
    pusher: &Pusher,
    crowd: &Crowd,
    plan: &Plan<'_>,
) -> anyhow::Result<Pushing> {
    if plan.warm_up > Duration::ZERO {
        let load = bench.run(plan.bytes);
        crowd.begin(load.run).await?;
        let schedule = Schedule::lasting(plan.rate, plan.warm_up);
        let warm = pusher.on_schedule(load, schedule, plan.whom);
        let warm = progress::during(|| "warming up".to_owned(), warm).await;
        crowd.await_arrivals((warm.calls - warm.failed) * plan.reached).await;
    }
    let load = bench.run(plan.bytes);
    crowd.begin(load.run).await?;
    let (usage, begun_ns) = (bench.usage(), bench.clock.now_ns());
    let schedule = Schedule::lasting(plan.rate, plan.lasting);
    let expected = schedule.count * plan.reached;
    let so_far = || format!("{} of {expected} messages arrived", crowd.arrived());
    let pushes = progress::during(so_far, async {
        let pushes = pusher.on_schedule(load, schedule, plan.whom).await;
        crowd.await_arrivals((pushes.calls - pushes.failed) * plan.reached).await;
        pushes
    });
    let pushes = pushes.await;
    figures(bench, crowd, &pushes, &Begun { usage, ns: begun_ns }, plan.expected).await
}

/// When pushes began.
pub struct Begun {
    /// What had been used.
    pub usage: Usage,
    /// The client's clock.
    pub ns: u64,
}

/// Figures of pushes that were made since, and of which all arrived that will.
///
/// # Errors
/// When every push failed, or a thread of the client ended.
pub async fn figures(
    bench: &Bench,
    crowd: &Crowd,
    pushes: &Pushes,
    begun: &Begun,
    expected: &dyn Fn(u64, usize) -> Received,
) -> anyhow::Result<Pushing> {
    let took_s = (bench.clock.now_ns() - begun.ns) as f64 / 1e9;
    let cpu = bench.cpu_since(&begun.usage);
    if pushes.failed == pushes.calls {
        pushes.all_taken()?;
    }
    let haul = crowd.haul().await?;
    let arrivals = Arrivals::judge(&haul.received, |index| expected(pushes.calls, index));
    Ok(Pushing {
        pushes: pushes.calls,
        failed: pushes.failed,
        first_failure: pushes.first_failure.clone(),
        per_second: pushes.calls as f64 / pushes.took.as_secs_f64(),
        deliveries_per_second: arrivals.arrived as f64 / took_s,
        to_socket: haul.latencies.summary(),
        to_receipt: pushes.answered.summary(),
        client_late: pushes.late.summary(),
        arrivals,
        told: pushes.told,
        broken: haul.broken,
        cpu,
        deliveries_per_comet_cpu_s: per_cpu_s(arrivals.arrived, cpu.comet_s),
        deliveries_per_server_cpu_s: per_cpu_s(arrivals.arrived, cpu.server_s),
    })
}
