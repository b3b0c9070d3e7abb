//! Room: pushes to many members, each of whom must get each message. Beside it, if asked for, the least
//! that a machine can do for it: the same bytes, written to as many sockets one send each.

use std::fmt;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use serde::Serialize;

use super::{FIRST_USER, ROOM};
use crate::edge::arrivals::all_of_them;
use crate::edge::bench::Bench;
use crate::edge::client::session::is_over_http;
use crate::edge::options::{PushOptions, TargetOptions};
use crate::edge::push::api::Whom;
use crate::edge::pushing::{self, Plan, Pushing};
use crate::edge::separate_sends::{self, SeparateSends};

/// What is asked for.
#[derive(Debug, Args)]
pub struct RoomOptions {
    /// Members.
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub members: u32,
    /// Measures a bare loop in the same run, which writes the same bytes to as many sockets.
    #[arg(long)]
    pub separate_sends_baseline: bool,
    /// What is pushed.
    #[command(flatten)]
    pub push: PushOptions,
    /// What is loaded, and how.
    #[command(flatten)]
    pub target: TargetOptions,
}

/// Figures of a room.
#[derive(Debug, Serialize)]
pub struct Room {
    /// Its members.
    pub members: usize,
    /// Bytes of each body.
    pub bytes: usize,
    /// What was measured.
    #[serde(flatten)]
    pub pushing: Pushing,
    /// The bare loop, where it was asked for.
    pub separate_sends: Option<SeparateSends>,
    /// The comets' deliveries for a second of processor time, as a share of the bare loop's.
    pub share_of_separate_sends: Option<f64>,
}

/// Measures and prints it.
///
/// # Errors
/// When it cannot be measured.
pub fn run(options: &RoomOptions) -> anyhow::Result<()> {
    let members = options.members as usize;
    if options.separate_sends_baseline && is_over_http(options.target.transport) {
        bail!(
            "--separate-sends-baseline writes to sockets, and there is none that a device keeps on {}",
            options.target.transport.word()
        );
    }
    super::run("room", &options.target, members, async |bench| measure(bench, options).await)
}

async fn measure(bench: &Bench, options: &RoomOptions) -> anyhow::Result<Room> {
    let (members, push) = (options.members as usize, &options.push);
    let pusher = bench.pusher()?;
    let (crowd, _) = bench.crowd(FIRST_USER, members, Some(ROOM)).await?;
    let plan = Plan {
        rate: push.pace.rate,
        warm_up: Duration::from_secs(push.warm_up),
        lasting: push.pace.lasting(),
        bytes: push.bytes as usize,
        whom: &|_| Whom::Room(ROOM.to_owned()),
        expected: &|pushes, _| all_of_them(pushes),
        reached: members as u64,
    };
    let pushing = pushing::on_schedule(bench, &pusher, &crowd, &plan).await?;
    // Its connections end before the others begin: the client has descriptors for one of the two.
    drop(crowd);
    let separate_sends = match options.separate_sends_baseline {
        true => Some(separate_sends::measure(bench, members, &plan).await?),
        false => None,
    };
    let ours = pushing.deliveries_per_comet_cpu_s;
    let bare = separate_sends.as_ref().and_then(|bare| bare.deliveries_per_cpu_s);
    let share_of_separate_sends = ours.zip(bare).map(|(ours, bare)| ours / bare);
    Ok(Room { members, bytes: plan.bytes, pushing, separate_sends, share_of_separate_sends })
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { members, bytes, pushing, separate_sends, share_of_separate_sends } = self;
        write!(f, "{members} members, bodies of {bytes} bytes\n{pushing}")?;
        if let Some(bare) = separate_sends {
            write!(f, "\n{bare}")?;
        }
        if let Some(share) = share_of_separate_sends {
            writeln!(
                f,
                "for a second of processor time the comet delivers {:.0} % of it",
                share * 100.0
            )?;
        }
        Ok(())
    }
}
