//! Storm: everybody is cut at once, and comes back with the device SDK's backoff.

mod returns;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures_util::FutureExt;
use orrery_sdk::{NodeList, Pacing};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;

use self::returns::{Returns, Stage};
use self::worker::Worker;
use crate::edge::bench::Bench;
use crate::edge::client::crowd::{readers, shares};
use crate::edge::limits::{CONNECT_CONCURRENCY, LOOK, STORM_MAX};
use crate::edge::options::TargetOptions;
use crate::edge::progress;
use crate::edge::report;
use crate::edge::server::usage::Cpu;

/// What is asked for.
#[derive(Debug, Args)]
pub struct StormOptions {
    /// Devices.
    #[arg(long, value_name = "N", default_value_t = 5000,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub devices: u32,
    /// The longest first pause of a device before it comes back, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    pub backoff_base_ms: u64,
    /// The longest pause of all, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    pub backoff_cap_ms: u64,
    /// Seed of the pauses.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// What is loaded, and how.
    #[command(flatten)]
    pub target: TargetOptions,
}

/// Figures of a storm.
#[derive(Debug, Serialize)]
pub struct Storm {
    /// How many were cut.
    pub devices: usize,
    /// How many were back at the end.
    pub back: usize,
    /// From the cut until half of them were back, in seconds; none where they were not.
    pub half_back_s: Option<f64>,
    /// The same for 99 of 100.
    pub p99_back_s: Option<f64>,
    /// The same for all.
    pub all_back_s: Option<f64>,
    /// Most connects that were under way at once, from the socket to the welcome.
    pub handshakes_peak: u64,
    /// Connects that were begun.
    pub attempts: u64,
    /// Those that failed, by kind.
    pub refused: BTreeMap<&'static str, u64>,
    /// The first of them, for people.
    pub first_refusal: Option<String>,
    /// Devices that lost their connection again without being cut.
    pub lost_again: u64,
    /// Devices that gave up.
    pub gave_up: u64,
    /// The longest that a device was away, as it was told by its SDK, in seconds.
    pub longest_gap_s: f64,
    /// What it took.
    pub cpu: Cpu,
}

/// Measures and prints it.
///
/// # Errors
/// When it cannot be measured.
pub fn run(options: &StormOptions) -> anyhow::Result<()> {
    let devices = options.devices as usize;
    super::run("storm", &options.target, devices, async |bench| measure(bench, options).await)
}

async fn measure(bench: &Bench, options: &StormOptions) -> anyhow::Result<Storm> {
    let devices = options.devices as usize;
    let pacing = Pacing {
        base: Duration::from_millis(options.backoff_base_ms),
        cap: Duration::from_millis(options.backoff_cap_ms),
    };
    let nodes = NodeList::new(bench.target.comets.clone())?;
    let returns = Arc::new(Returns::new(bench.clock, devices));
    let (stages, stage) = watch::channel(Stage::Gather);
    let count = readers();
    let mut tasks = Vec::new();
    for share in shares((0..devices).collect(), count) {
        let worker = Worker {
            net: bench.net.clone(),
            transport: bench.transport,
            nodes: nodes.clone(),
            pacing,
            seed: options.seed,
            returns: returns.clone(),
            entering: CONNECT_CONCURRENCY.div_ceil(count),
        };
        let stage = stage.clone();
        let start = Box::new(move || worker.run(share, stage).boxed_local());
        tasks.push(bench.host.tasks.worker("bench-storm".to_owned(), start));
    }
    let so_far = || format!("{} of {devices} devices are in", returns.connected());
    progress::during(so_far, until(&returns, |returns| returns.connected() == devices))
        .await
        .with_context(|| format!("not everybody got in: {:?}", returns.first_refusal()))?;

    let usage = bench.usage();
    returns.cut();
    stages.send_replace(Stage::Storm);
    let so_far = || format!("{} of {devices} devices are back", returns.back());
    let all_decided = |returns: &Returns| returns.back() + returns.gave_up() >= devices;
    // Who is not back within the limit is told from the figures.
    let _ = progress::during(so_far, until(&returns, all_decided)).await;
    let cpu = bench.cpu_since(&usage);
    stages.send_replace(Stage::Over);
    drop(tasks);
    Ok(returns.figures(cpu))
}

/// Waits for a condition, but not for ever.
async fn until(returns: &Returns, holds: impl Fn(&Returns) -> bool) -> anyhow::Result<()> {
    let waited = async {
        while !holds(returns) {
            sleep(LOOK).await;
        }
    };
    tokio::time::timeout(STORM_MAX, waited).await.context("it takes too long")
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { devices, back, attempts, handshakes_peak, lost_again, gave_up, .. } = self;
        writeln!(f, "{back} of {devices} devices came back")?;
        for (share, at) in
            [("50 %", self.half_back_s), ("99 %", self.p99_back_s), ("100 %", self.all_back_s)]
        {
            match at {
                Some(seconds) => writeln!(f, "  {share:>5} after {seconds:.3} s")?,
                None => writeln!(f, "  {share:>5} never")?,
            }
        }
        writeln!(f, "{attempts} attempts, at most {handshakes_peak} handshakes at once")?;
        let refused: u64 = self.refused.values().sum();
        writeln!(f, "{refused} refused, {lost_again} lost again, {gave_up} gave up")?;
        if let Some(words) = &self.first_refusal {
            writeln!(f, "refused: {:?}, first: {words}", self.refused)?;
        }
        writeln!(f, "longest gap that a device was told: {:.3} s", self.longest_gap_s)?;
        f.write_str(&report::cpu(&self.cpu))
    }
}
