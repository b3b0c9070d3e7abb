//! Quick: a minute's look at what this machine can do, one part after the other.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, bail};
use orrery_bench::clock::Clock;
use orrery_bench::machine::Machine;
use orrery_bench::resources::machine_busy_s;
use orrery_host::Host;
use tokio::time::sleep;

use super::limits::SETTLE;
use super::parts::{Bench, Cpu, Used, connects, quiet_room, room, users};
use super::pusher::Pusher;
use super::report::{Measured, Report};
use super::table;
use super::target::Target;
use crate::cli::QuickOptions;
use crate::descriptors;

/// Measures everything and prints it.
///
/// # Errors
/// When the system cannot be started or reached, or a part cannot be measured.
pub(super) fn run(options: &QuickOptions) -> anyhow::Result<()> {
    descriptors::raise();
    // One thread pushes; devices are read on others.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(async {
        tokio::select! {
            report = measure(options) => report,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    })?;
    match options.json {
        true => table::print_json(&report)?,
        false => table::print(&report)?,
    }
    Ok(())
}

async fn measure(options: &QuickOptions) -> anyhow::Result<Report> {
    let (clock, host) = (Clock::start(), Host::system());
    say("starting");
    let target = Target::open(options, clock).await?;
    let pusher = Pusher::new(&host, clock, &target.push).context("the address to push to")?;
    let machine = Machine { sync: target.sync(), ..Machine::look() };
    let lasting = Duration::from_secs(options.seconds);
    let bench = Bench { host, clock, target, pusher, lasting, runs: Cell::new(0) };
    let noise = Noise::begin(&bench);
    let measured = parts(&bench).await;
    let others = noise.others(&bench);
    let server = bench.target.resources();
    say("stopping");
    let closed = bench.target.close().await;
    let measured = measured?;
    closed?;
    Ok(Report::new(machine, measured, server, others))
}

async fn parts(bench: &Bench) -> anyhow::Result<Measured> {
    say("1/4 connects");
    let connects = connects::measure(bench).await.context("connects")?;
    sleep(SETTLE).await;
    say("2/4 pushes to users");
    let users = users::measure(bench).await.context("pushes to users")?;
    sleep(SETTLE).await;
    say("3/4 quiet rooms");
    let quiet_rooms = quiet_room::measure(bench).await.context("quiet rooms")?;
    sleep(SETTLE).await;
    say("4/4 a busy room");
    let room = room::measure(bench).await.context("a busy room")?;
    Ok(Measured { connects, users, quiet_rooms, room })
}

/// The machine's work when a measurement began.
struct Noise {
    begun_ns: u64,
    busy_s: Option<f64>,
    used: Used,
}

impl Noise {
    fn begin(bench: &Bench) -> Self {
        Self { begun_ns: bench.clock.now_ns(), busy_s: machine_busy_s(), used: bench.used() }
    }

    /// How many cores were busy with something else than client and server. None where that cannot be
    /// told.
    fn others(&self, bench: &Bench) -> Option<f64> {
        let took_s = (bench.clock.now_ns() - self.begun_ns) as f64 / 1e9;
        let Cpu { server_s, client_s } = bench.cpu_since(self.used);
        let others_s = machine_busy_s()? - self.busy_s? - server_s? - client_s?;
        Some((others_s / took_s).max(0.0))
    }
}

/// Tells whoever watches where it is.
fn say(what: &str) {
    eprintln!("bench: {what}");
}
