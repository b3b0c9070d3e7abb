//! Parts: the measurements of `quick`.

use std::time::Duration;

use serde::Serialize;
use tokio::time::sleep;

use super::limits::{
    BODY_BYTES, CALLERS, CONNECT_DEVICES, QUIET_BETWEEN, QUIET_FIRST, QUIET_ROOMS, ROOM_MEMBERS,
    ROOM_PUSHES_PER_SECOND, USER_PUSHES_PER_SECOND, USERS, WARM_UP,
};
use crate::edge::arrivals::{Arrivals, all_of_them, in_turn};
use crate::edge::bench::Bench;
use crate::edge::client::crowd::Crowd;
use crate::edge::client::device::Guise;
use crate::edge::limits::CONNECT_CONCURRENCY;
use crate::edge::push::api::Whom;
use crate::edge::push::pusher::Pusher;
use crate::edge::pushing::{self, Begun, Plan, Pushing};
use crate::edge::server::usage::Cpu;
use crate::latency::Latency;

/// First users of the parts.
const CONNECT_USERS: u64 = 1_000_000;
const PUSH_USERS: u64 = 2_000_000;
const QUIET_USERS: u64 = 3_000_000;
const ROOM_USERS: u64 = 4_000_000;

/// The busy room's name.
const BUSY: &str = "busy://1";

/// Figures of connecting. Each device is authenticated, and bound through the registry's log and disk,
/// before it is welcomed.
#[derive(Debug, Serialize)]
pub(super) struct Connects {
    pub(super) devices: usize,
    pub(super) concurrency: usize,
    pub(super) per_second: f64,
    /// From the TCP connect to the welcome.
    pub(super) latency: Latency,
    pub(super) cpu: Cpu,
}

/// Figures of pushes to one user at a time.
#[derive(Debug, Serialize)]
pub(super) struct Users {
    pub(super) users: usize,
    /// At a fixed rate.
    pub(super) at_rate: Pushing,
    /// From so many callers, each waiting for its receipt.
    pub(super) callers: usize,
    pub(super) as_fast_as_answered: Pushing,
}

/// Figures of the first messages to rooms in which nothing was said for a while.
#[derive(Debug, Serialize)]
pub(super) struct QuietRooms {
    pub(super) rooms: usize,
    /// From the call to when the message was read from the member's socket.
    pub(super) to_socket: Latency,
    pub(super) arrivals: Arrivals,
}

/// Figures of many pushes to many members.
#[derive(Debug, Serialize)]
pub(super) struct Room {
    pub(super) members: usize,
    #[serde(flatten)]
    pub(super) pushing: Pushing,
}

/// Connects devices and measures it.
pub(super) async fn connects(bench: &Bench) -> anyhow::Result<Connects> {
    let usage = bench.usage();
    let (crowd, connected) = bench.crowd(CONNECT_USERS, CONNECT_DEVICES, None).await?;
    let cpu = bench.cpu_since(&usage);
    drop(crowd);
    Ok(Connects {
        devices: CONNECT_DEVICES,
        concurrency: CONNECT_CONCURRENCY,
        per_second: CONNECT_DEVICES as f64 / connected.took.as_secs_f64(),
        latency: connected.latencies.summary(),
        cpu,
    })
}

/// Pushes to users, first at a fixed rate, then as fast as answers come.
pub(super) async fn users(
    bench: &Bench,
    pusher: &Pusher,
    lasting: Duration,
) -> anyhow::Result<Users> {
    let (crowd, _) = bench.crowd(PUSH_USERS, USERS, None).await?;
    let plan = Plan {
        rate: USER_PUSHES_PER_SECOND,
        warm_up: WARM_UP,
        lasting,
        bytes: BODY_BYTES,
        whom: &|number| Whom::User(PUSH_USERS + number % USERS as u64),
        expected: &|pushes, index| in_turn(pushes, USERS, index),
        reached: 1,
    };
    let at_rate = pushing::on_schedule(bench, pusher, &crowd, &plan).await?;
    all_taken(&at_rate)?;

    let load = bench.run(BODY_BYTES);
    crowd.begin(load.run).await?;
    let begun = Begun { usage: bench.usage(), ns: bench.clock.now_ns() };
    let pushes = pusher.as_fast_as_answered(load, CALLERS, lasting, plan.whom).await;
    pushes.all_taken()?;
    crowd.await_arrivals(pushes.calls).await;
    let as_fast_as_answered =
        pushing::figures(bench, &crowd, &pushes, &begun, plan.expected).await?;
    Ok(Users { users: USERS, at_rate, callers: CALLERS, as_fast_as_answered })
}

/// Pushes once to each of several rooms with one member each.
pub(super) async fn quiet_rooms(bench: &Bench, pusher: &Pusher) -> anyhow::Result<QuietRooms> {
    let name = |nth| format!("quiet://{nth}");
    let guise = |nth| Guise { user: QUIET_USERS + nth, room: Some(name(nth)) };
    let guises = (0..QUIET_ROOMS as u64).map(guise).collect();
    let (crowd, _) =
        Crowd::connect(&bench.host, &bench.net, bench.clock, &bench.entrance(), guises).await?;
    let load = bench.run(BODY_BYTES);
    crowd.begin(load.run).await?;
    sleep(QUIET_FIRST).await;
    for number in 0..QUIET_ROOMS as u64 {
        pusher.once(load, number, Whom::Room(name(number))).await.all_taken()?;
        sleep(QUIET_BETWEEN).await;
    }
    crowd.await_arrivals(QUIET_ROOMS as u64).await;
    let haul = crowd.haul().await?;
    let expected = |index| in_turn(QUIET_ROOMS as u64, QUIET_ROOMS, index);
    let arrivals = Arrivals::judge(&haul.received, expected);
    Ok(QuietRooms { rooms: QUIET_ROOMS, to_socket: haul.latencies.summary(), arrivals })
}

/// Fills a room and pushes to it at a rate. Every member must get every message.
pub(super) async fn room(
    bench: &Bench,
    pusher: &Pusher,
    lasting: Duration,
) -> anyhow::Result<Room> {
    let (crowd, _) = bench.crowd(ROOM_USERS, ROOM_MEMBERS, Some(BUSY)).await?;
    let plan = Plan {
        rate: ROOM_PUSHES_PER_SECOND,
        warm_up: WARM_UP,
        lasting,
        bytes: BODY_BYTES,
        whom: &|_| Whom::Room(BUSY.to_owned()),
        expected: &|pushes, _| all_of_them(pushes),
        reached: ROOM_MEMBERS as u64,
    };
    let pushing = pushing::on_schedule(bench, pusher, &crowd, &plan).await?;
    all_taken(&pushing)?;
    Ok(Room { members: ROOM_MEMBERS, pushing })
}

/// Refuses figures of pushes that the system did not take.
fn all_taken(pushing: &Pushing) -> anyhow::Result<()> {
    match &pushing.first_failure {
        Some(words) => {
            anyhow::bail!("{} of {} pushes failed, first: {words}", pushing.failed, pushing.pushes)
        }
        None => Ok(()),
    }
}
