//! Broadcast: pushes to everybody.

use std::time::Duration;

use clap::Args;

use super::FIRST_USER;
use crate::edge::arrivals::all_of_them;
use crate::edge::options::{PushOptions, TargetOptions};
use crate::edge::push::api::Whom;
use crate::edge::pushing::{self, Plan};

/// What is asked for.
#[derive(Debug, Args)]
pub struct BroadcastOptions {
    /// Devices that are connected. On a system that runs already everybody else gets the messages too.
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub devices: u32,
    /// What is pushed.
    #[command(flatten)]
    pub push: PushOptions,
    /// What is loaded, and how.
    #[command(flatten)]
    pub target: TargetOptions,
}

/// Measures and prints it.
///
/// # Errors
/// When it cannot be measured.
pub fn run(options: &BroadcastOptions) -> anyhow::Result<()> {
    let devices = options.devices as usize;
    super::run("broadcast", &options.target, devices, async |bench| {
        let pusher = bench.pusher()?;
        let (crowd, _) = bench.crowd(FIRST_USER, devices, None).await?;
        let push = &options.push;
        let plan = Plan {
            rate: push.pace.rate,
            warm_up: Duration::from_secs(push.warm_up),
            lasting: push.pace.lasting(),
            bytes: push.bytes as usize,
            whom: &|_| Whom::Everybody,
            expected: &|pushes, _| all_of_them(pushes),
            reached: devices as u64,
        };
        pushing::on_schedule(bench, &pusher, &crowd, &plan).await
    })
}
