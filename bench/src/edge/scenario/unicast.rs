//! Unicast: pushes to one user after the other.

use std::time::Duration;

use clap::Args;

use super::FIRST_USER;
use crate::edge::arrivals::in_turn;
use crate::edge::options::{PushOptions, TargetOptions};
use crate::edge::push::api::Whom;
use crate::edge::pushing::{self, Plan};

/// What is asked for.
#[derive(Debug, Args)]
pub struct UnicastOptions {
    /// Users that are pushed to in turn, each with one device.
    #[arg(long, value_name = "N", default_value_t = 1000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub users: u32,
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
pub fn run(options: &UnicastOptions) -> anyhow::Result<()> {
    let users = options.users as usize;
    super::run("unicast", &options.target, users, async |bench| {
        let pusher = bench.pusher()?;
        let (crowd, _) = bench.crowd(FIRST_USER, users, None).await?;
        let push = &options.push;
        let plan = Plan {
            rate: push.pace.rate,
            warm_up: Duration::from_secs(push.warm_up),
            lasting: push.pace.lasting(),
            bytes: push.bytes as usize,
            whom: &|number| Whom::User(FIRST_USER + number % users as u64),
            expected: &|pushes, index| in_turn(pushes, users, index),
            reached: 1,
        };
        pushing::on_schedule(bench, &pusher, &crowd, &plan).await
    })
}
