//! `failover`: how long a shard takes no writes when its leader is killed, or moved on purpose, and
//! whether anything that was acknowledged is lost.
//!
//! Router processes on this machine get a few writes a second to every shard, all the time. In a round
//! of kills, a node that leads shards is ended by SIGKILL; for each of its shards the time to the first
//! acknowledgement of a write made after the kill is taken, then the node is started again, and the next
//! round begins when it has caught up. In a round of moves, one shard's leader is moved by `orrery ctl`,
//! and the longest time between two acknowledgements around it is taken. In the end every bind that was
//! ever acknowledged is looked up.

mod bench;
mod limits;
mod outages;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use orrery_bench::clock::Clock;
use orrery_bench::experiment::{self, Site, say};

use crate::bench::Bench;
use crate::outages::Outcome;

const NAME: &str = "failover";

/// Kills and moves leaders under load, and measures for how long their shards take no writes.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    site: Site,
    /// How often a node that leads shards is killed.
    #[arg(long, default_value_t = 50)]
    kills: usize,
    /// How often the leader of a shard is moved.
    #[arg(long, default_value_t = 50)]
    moves: usize,
    /// Milliseconds between one write to a shard and the next: as exact as the figures are.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    every_ms: u64,
}

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let load = format!("a write to each every {} ms", options.every_ms);
    experiment::run(NAME, &options.site, &load, async |clock, folder| {
        rounds(&options, clock, folder).await
    })
}

async fn rounds(options: &Options, clock: Clock, folder: &Path) -> anyhow::Result<Outcome> {
    say(NAME, "starting");
    let every = Duration::from_millis(options.every_ms);
    let mut bench = Bench::start(&options.site, clock, folder, every).await?;
    for round in 0..options.kills {
        bench.kill(round).await.with_context(|| format!("kill {}", round + 1))?;
    }
    for round in 0..options.moves {
        bench.move_leader(round).await.with_context(|| format!("move {}", round + 1))?;
    }
    bench.finish(options.kills, options.moves).await
}
