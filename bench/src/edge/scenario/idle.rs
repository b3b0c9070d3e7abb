//! Idle: connections that do nothing, and the comet's memory for each.

use std::fmt;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::FIRST_USER;
use crate::edge::bench::Bench;
use crate::edge::client::crowd::Crowd;
use crate::edge::client::device::Guise;
use crate::edge::client::session::is_over_http;
use crate::edge::client::worker::Entrance;
use crate::edge::options::TargetOptions;
use crate::edge::progress;
use crate::edge::report::{self, HEADER, row};
use crate::edge::server::memory::{Memory, Settled};
use crate::edge::server::usage::Cpu;
use crate::latency::Latency;

/// What is asked for.
#[derive(Debug, Args)]
pub struct IdleOptions {
    /// Connections, each authenticated and after one heartbeat; over HTTP each waits for events.
    #[arg(long, value_name = "N", default_value_t = 15_000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub connections: u32,
    /// The number of the first one's user: several of these at once need users of their own.
    #[arg(long, value_name = "NUMBER", default_value_t = FIRST_USER)]
    pub first_user: u64,
    /// Seconds for which the connections stay after they were measured; what broke meanwhile counts.
    #[arg(long, value_name = "SECONDS", default_value_t = 0,
          value_parser = clap::value_parser!(u64).range(0..=86_400))]
    pub hold: u64,
    /// What is loaded, and how.
    #[command(flatten)]
    pub target: TargetOptions,
}

/// Figures of idle connections.
#[derive(Debug, Serialize)]
pub struct Idle {
    /// How many there are.
    pub connections: usize,
    /// Connects a second on the way there, and each one's time: no rate was asked for.
    pub connects_per_second: f64,
    /// From the socket to the answer of the heartbeat; over HTTP to the welcome.
    pub connect: Latency,
    /// What that was, for people.
    #[serde(skip)]
    pub connect_is: &'static str,
    /// The comets' memory before the first connection.
    pub before: Settled,
    /// When the last one was in.
    pub connected: Memory,
    /// When it did not change any more.
    pub settled: Settled,
    /// Growth for each connection when the last one was in.
    pub each_connected: Memory,
    /// Growth for each connection when it did not change any more.
    pub each_settled: Memory,
    /// Connections that broke meanwhile: the figures mean less for each.
    pub broken: u64,
    /// What coming in took.
    pub cpu: Cpu,
}

/// Measures and prints it.
///
/// # Errors
/// When it cannot be measured.
pub fn run(options: &IdleOptions) -> anyhow::Result<()> {
    let connections = options.connections as usize;
    super::run("idle", &options.target, connections, async |bench| measure(bench, options).await)
}

async fn measure(bench: &Bench, options: &IdleOptions) -> anyhow::Result<Idle> {
    let connections = options.connections as usize;
    let comets = bench.target.comet_pids();
    anyhow::ensure!(!comets.is_empty(), "whose memory to measure is what --target-pid says");
    let settling = || "waiting for the comet's memory to settle".to_owned();
    let before = progress::during(settling, Memory::settled(&comets)).await?;
    let usage = bench.usage();
    let entrance = Entrance { proving_life: true, ..bench.entrance() };
    let users = options.first_user..options.first_user + u64::from(options.connections);
    let guises = users.map(|user| Guise { user, room: None }).collect();
    let (crowd, connect) =
        Crowd::connect(&bench.host, &bench.net, bench.clock, &entrance, guises).await?;
    let connected = Memory::of_all(&comets)?;
    let cpu = bench.cpu_since(&usage);
    let settled = progress::during(settling, Memory::settled(&comets)).await?;
    let held = || format!("{connections} connections are held");
    progress::during(held, tokio::time::sleep(Duration::from_secs(options.hold))).await;
    Ok(Idle {
        connections,
        connects_per_second: connections as f64 / connect.took.as_secs_f64(),
        connect: connect.latencies.summary(),
        connect_is: if is_over_http(bench.transport) { "connect" } else { "connect and heartbeat" },
        before,
        connected,
        settled,
        each_connected: connected.growth_each(&before.memory, connections),
        each_settled: settled.memory.growth_each(&before.memory, connections),
        broken: crowd.haul().await?.broken,
        cpu,
    })
}

impl fmt::Display for Idle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, connects_per_second, before, settled, broken, .. } = self;
        writeln!(
            f,
            "{connections} connections, {connects_per_second:.0}/s on the way; {broken} broke"
        )?;
        f.write_str(&report::cpu(&self.cpu))?;
        writeln!(f, "\nKiB of the comet                          RSS          PSS")?;
        for (what, memory) in [
            ("before", before.memory),
            ("when the last one was in", self.connected),
            ("when it did not change any more", settled.memory),
            ("growth for each, last one in", self.each_connected),
            ("growth for each, settled", self.each_settled),
        ] {
            let pss = memory.pss_kib.map_or("-".to_owned(), |kib| format!("{kib:.2}"));
            writeln!(f, "  {what:<34}{:13.2}{pss:>13}", memory.rss_kib)?;
        }
        for (what, settled) in [("before", before), ("afterwards", settled)] {
            match settled.settled {
                true => writeln!(f, "settled {what} after {:.1} s", settled.after_s)?,
                false => writeln!(f, "NOT SETTLED {what} after {:.1} s", settled.after_s)?,
            }
        }
        write!(f, "\n{HEADER}{}", row(self.connect_is, &self.connect))
    }
}
