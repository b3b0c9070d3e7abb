//! Quick: a minute's look at what this machine can do, one part after the other.

mod limits;
mod parts;
mod report;
mod table;

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use orrery_host::Host;
use orrery_sdk::Transport;
use tokio::time::sleep;

use self::limits::{DEVICES_MAX, SETTLE};
use self::report::{Measured, Report};
use super::bench::Bench;
use super::progress::say;
use super::push::api::ApiKind;
use super::push::pusher::Pusher;
use super::server::descriptors;
use super::server::target::Target;
use crate::clock::Clock;

/// What is asked for.
#[derive(Debug, Args)]
pub struct QuickOptions {
    /// A comet's TCP `host:port`; without it `orrery dev` is started for the time.
    #[arg(long, value_name = "HOST:PORT", requires = "target_push")]
    pub target_comet: Option<String>,
    /// A logic's push gRPC `host:port`.
    #[arg(long, value_name = "HOST:PORT", requires = "target_comet")]
    pub target_push: Option<String>,
    /// Seconds of each part that lasts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub seconds: u64,
    /// Prints JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Measures everything and prints it.
///
/// # Errors
/// When the system cannot be started or reached, or a part cannot be measured.
pub fn run(options: &QuickOptions) -> anyhow::Result<()> {
    descriptors::require(DEVICES_MAX)?;
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
    let target = match (&options.target_comet, &options.target_push) {
        (Some(comet), Some(push)) => Target::elsewhere(comet.clone(), push.clone()),
        _ => Target::dev(clock).await?,
    };
    let bench = Bench::new(host, clock, target, Transport::Tcp, ApiKind::Grpc);
    let pusher = bench.pusher().context("the address to push to")?;
    let (machine, usage) = (bench.machine(), bench.usage());
    let measured = parts(&bench, &pusher, Duration::from_secs(options.seconds)).await;
    let others = bench.cpu_since(&usage).others_cores;
    let server = bench.target.resources();
    say("stopping");
    let closed = bench.target.close().await;
    let measured = measured?;
    closed?;
    Ok(Report::new(machine, measured, server, others))
}

async fn parts(bench: &Bench, pusher: &Pusher, lasting: Duration) -> anyhow::Result<Measured> {
    say("1/4 connects");
    let connects = parts::connects(bench).await.context("connects")?;
    sleep(SETTLE).await;
    say("2/4 pushes to users");
    let users = parts::users(bench, pusher, lasting).await.context("pushes to users")?;
    sleep(SETTLE).await;
    say("3/4 quiet rooms");
    let quiet_rooms = parts::quiet_rooms(bench, pusher).await.context("quiet rooms")?;
    sleep(SETTLE).await;
    say("4/4 a busy room");
    let room = parts::room(bench, pusher, lasting).await.context("a busy room")?;
    Ok(Measured { connects, users, quiet_rooms, room })
}
