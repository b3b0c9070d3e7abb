//! Separate sends: what the machine can do at least. A bare loop in a process of its own writes the same
//! bytes to the same number of sockets, one send each, on the same schedule; the same client reads them.

pub mod server;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{BufMut, Bytes, BytesMut};
use orrery_comet_core::{Dialect, Encoded};
use orrery_host::Net;
use orrery_model::message::Message;
use orrery_sdk::Transport;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use super::arrivals::Arrivals;
use super::bench::Bench;
use super::client::crowd::Crowd;
use super::client::device::{Guise, OP};
use super::client::net::ClientNet;
use super::client::stamp::Stamp;
use super::client::worker::Entrance;
use super::limits::START_TIMEOUT;
use super::progress;
use super::push::metronome::{Metronome, Schedule};
use super::push::pusher::Load;
use super::pushing::Plan;
use super::report::{HEADER, row};
use super::server::process::Process;
use super::server::usage::per_cpu_s;
use crate::latency::{Latencies, Latency};
use crate::resources::Resources;

/// The arguments with which this program becomes the bare loop.
pub const ARGUMENTS: [&str; 2] = ["bench", "separate-sends"];

/// Figures of the bare loop.
#[derive(Debug, Serialize)]
pub struct SeparateSends {
    /// Messages a second that arrived, counted until the last of them was there.
    pub deliveries_per_second: f64,
    /// From when a message was due to when it was read from a socket.
    pub to_socket: Latency,
    /// By how much the client itself was late.
    pub client_late: Latency,
    /// What came, against what should have come.
    pub arrivals: Arrivals,
    /// The loop's processor time in seconds.
    pub cpu_s: Option<f64>,
    /// Messages that arrived, for a second of it.
    pub deliveries_per_cpu_s: Option<f64>,
}

/// Starts the bare loop, has it write what a room would get, and measures it.
///
/// # Errors
/// When it does not start, or ended by itself.
pub async fn measure(
    bench: &Bench,
    members: usize,
    plan: &Plan<'_>,
) -> anyhow::Result<SeparateSends> {
    progress::say("the same as separate sends of a bare loop");
    // Its log is gone with it; what it says at its end is in the error.
    let folder = tempfile::tempdir()?;
    let mut process = Process::start("separate-sends", &ARGUMENTS, folder.path())?;
    let mut stdout = BufReader::new(process.take_stdout());
    let mut line = String::new();
    let read = timeout(START_TIMEOUT, stdout.read_line(&mut line)).await;
    read.context("the bare loop did not start in time")??;
    let Some((control, devices)) = line.trim().split_once(' ') else {
        anyhow::bail!("the bare loop did not start: {}", process.last_words());
    };
    let mut control = bench.host.net.connect(control).await?;
    let entrance = Entrance {
        comets: vec![devices.to_owned()],
        introduced: false,
        proving_life: false,
        ..bench.entrance()
    };
    let guises = vec![Guise { user: 0, room: None }; members];
    // The loop knows nothing of TLS.
    let net: Arc<dyn Net> = Arc::new(ClientNet::default());
    let (crowd, _) = Crowd::connect(&bench.host, &net, bench.clock, &entrance, guises).await?;

    if plan.warm_up > Duration::ZERO {
        let load = bench.run(plan.bytes);
        crowd.begin(load.run).await?;
        let schedule = Schedule::lasting(plan.rate, plan.warm_up);
        write(bench, &mut control, load, schedule).await?;
        crowd.await_arrivals(schedule.count * plan.reached).await;
    }
    let load = bench.run(plan.bytes);
    crowd.begin(load.run).await?;
    let used = process.id().and_then(Resources::of);
    let begun_ns = bench.clock.now_ns();
    let schedule = Schedule::lasting(plan.rate, plan.lasting);
    let expected = schedule.count * plan.reached;
    let so_far = || format!("{} of {expected} messages arrived", crowd.arrived());
    let written = progress::during(so_far, async {
        let late = write(bench, &mut control, load, schedule).await?;
        crowd.await_arrivals(expected).await;
        anyhow::Ok(late)
    });
    let late = written.await?;
    let took_s = (bench.clock.now_ns() - begun_ns) as f64 / 1e9;
    let now = process.id().and_then(Resources::of);
    let cpu_s = now.zip(used).map(|(now, used)| now.since(&used).cpu_s());
    let haul = crowd.haul().await?;
    // It ends with its orders.
    drop((crowd, control));
    process.ended().await?;
    let arrivals = Arrivals::judge(&haul.received, |index| (plan.expected)(schedule.count, index));
    Ok(SeparateSends {
        deliveries_per_second: arrivals.arrived as f64 / took_s,
        to_socket: haul.latencies.summary(),
        client_late: late.summary(),
        arrivals,
        cpu_s,
        deliveries_per_cpu_s: per_cpu_s(arrivals.arrived, cpu_s),
    })
}

/// Has it write messages on schedule; returns by how much the client was late.
async fn write(
    bench: &Bench,
    control: &mut (impl AsyncWriteExt + Unpin),
    load: Load,
    schedule: Schedule,
) -> anyhow::Result<Latencies> {
    let mut late = Latencies::default();
    let begun_ns = bench.clock.now_ns();
    let mut metronome = Metronome::start(&bench.host, bench.clock, schedule, begun_ns, (0, 1));
    while let Some(beat) = metronome.next().await {
        late.record(bench.clock.now_ns().saturating_sub(beat.due_ns));
        let stamp = Stamp { run: load.run, number: beat.number, due_ns: beat.due_ns };
        let frame = frame(bench.transport, stamp.body(load.bytes));
        let mut order = BytesMut::with_capacity(4 + frame.len());
        order.put_u32(u32::try_from(frame.len()).expect("a body is limited to a million bytes"));
        order.put_slice(&frame);
        control.write_all(&order).await.context("the bare loop ended by itself")?;
    }
    Ok(late)
}

/// The bytes that a comet writes for a push.
fn frame(transport: Transport, body: Bytes) -> Bytes {
    Encoded::new(Message { op: OP, body }).bytes(match transport {
        Transport::Tcp => Dialect::Tcp,
        Transport::WebSocket => Dialect::WebSocket,
        Transport::Json => Dialect::Json,
        Transport::Poll | Transport::Sse => Dialect::Http,
    })
}

impl fmt::Display for SeparateSends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deliveries_per_second, arrivals, cpu_s, deliveries_per_cpu_s, .. } = self;
        writeln!(
            f,
            "separate sends of a bare loop: {deliveries_per_second:.0} deliveries/s, {} of {} arrived",
            arrivals.arrived, arrivals.expected
        )?;
        if let Some((cpu_s, each)) = cpu_s.zip(*deliveries_per_cpu_s) {
            writeln!(f, "{cpu_s:.2} s of processor time, {each:.0} deliveries for a second of it")?;
        }
        write!(f, "\n{HEADER}")?;
        f.write_str(&row("message to socket", &self.to_socket))?;
        f.write_str(&row("client late by", &self.client_late))
    }
}
