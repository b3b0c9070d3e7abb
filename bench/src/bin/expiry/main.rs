//! `expiry`: how long the routes of a comet stay that is not heard of any more.
//!
//! Router processes on this machine hold the routes of a comet with many users, of one whose routes must
//! stay, and of one that binds a few users in every shard all the time. In a round the first comet's
//! keep-alives stop. The time from the last one that was acknowledged is taken until linearizable look-ups
//! of some of its users in every shard find nothing, until no replica counts its routes, and until no
//! replica holds a body of them. In some of the rounds the leader of the control shard is killed a second
//! after the last keep-alive. What writes cost meanwhile is told beside it.

mod bench;
mod limits;
mod rounds;
mod survivors;
mod vanishing;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use orrery_bench::clock::Clock;
use orrery_bench::experiment::{self, Site, say};

use crate::bench::Bench;
use crate::rounds::{Outcome, Trouble};

const NAME: &str = "expiry";

/// Lets a comet with many users go silent, and measures until its routes are gone.
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    site: Site,
    /// Users of the comet that goes silent.
    #[arg(long, default_value_t = 100_000)]
    users: u64,
    /// Users of a comet that lives.
    #[arg(long, default_value_t = 1_000)]
    survivors: u64,
    /// Users of the silent comet that are looked up in each shard.
    #[arg(long, default_value_t = 20)]
    samples: usize,
    /// The lease in milliseconds.
    #[arg(long, default_value_t = 10_000)]
    lease_ms: u64,
    /// How often a comet goes silent.
    #[arg(long, default_value_t = 2)]
    silences: usize,
    /// How often one goes silent and the control shard's leader is killed.
    #[arg(long, default_value_t = 2)]
    kills: usize,
    /// Binds under way at once while users are bound.
    #[arg(long, default_value_t = 1024)]
    callers: usize,
    /// Milliseconds between one write to a shard and the next, of the comet that measures writes.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
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
    let mut bench = Bench::start(options, clock, folder).await?;
    let silences = std::iter::repeat_n(Trouble::None, options.silences);
    let kills = std::iter::repeat_n(Trouble::Killed, options.kills);
    let mut rounds = Vec::new();
    for (number, trouble) in silences.chain(kills).enumerate() {
        let round = bench.round(options, trouble).await;
        rounds.push(round.with_context(|| format!("round {}", number + 1))?);
    }
    bench.finish(options, rounds).await
}
