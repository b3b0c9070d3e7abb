//! Churn: devices come at a rate, and go with a reset as soon as they are welcomed.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use clap::Args;
use futures_util::FutureExt;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use orrery_host::{Host, Net};
use orrery_sdk::{Device, Options};
use serde::Serialize;
use tokio::sync::oneshot;

use super::FIRST_USER;
use crate::clock::Clock;
use crate::edge::bench::Bench;
use crate::edge::client::crowd::readers;
use crate::edge::client::device::OP;
use crate::edge::failure;
use crate::edge::limits::{CHURN_IN_FLIGHT_MAX, CONNECT_TIMEOUT};
use crate::edge::options::{PaceOptions, TargetOptions};
use crate::edge::progress;
use crate::edge::push::metronome::{Beat, Metronome, Schedule};
use crate::edge::report::{self, HEADER, row};
use crate::edge::server::usage::{Cpu, per_cpu_s};
use crate::latency::{Latencies, Latency};

/// What is asked for.
#[derive(Debug, Args)]
pub struct ChurnOptions {
    /// How fast, how long.
    #[command(flatten)]
    pub pace: PaceOptions,
    /// What is loaded, and how.
    #[command(flatten)]
    pub target: TargetOptions,
}

/// Figures of connects.
#[derive(Debug, Serialize)]
pub struct Churn {
    /// Connects that were asked for a second.
    pub asked_per_second: u64,
    /// Connects that were begun.
    pub begun: u64,
    /// Those that were welcomed.
    pub welcomed: u64,
    /// Welcomes a second, from the first connect that was due to the last welcome.
    pub per_second: f64,
    /// Welcomes in each second.
    pub each_second: Vec<u64>,
    /// The least of these, but for the last, which ends early.
    pub per_second_min: u64,
    /// From when a connect was due to its welcome.
    pub to_welcome: Latency,
    /// By how much the client itself was late.
    pub client_late: Latency,
    /// Connects that failed, by kind.
    pub failures: BTreeMap<&'static str, u64>,
    /// The first of them, for people.
    pub first_failure: Option<String>,
    /// What it took.
    pub cpu: Cpu,
    /// Welcomes for a second of the comets' processor time.
    pub welcomes_per_comet_cpu_s: Option<f64>,
}

/// Measures and prints it.
///
/// # Errors
/// When it cannot be measured.
pub fn run(options: &ChurnOptions) -> anyhow::Result<()> {
    // Whoever is welcomed goes at once.
    super::run("churn", &options.target, CHURN_IN_FLIGHT_MAX, async |bench| {
        measure(bench, options.pace).await
    })
}

async fn measure(bench: &Bench, pace: PaceOptions) -> anyhow::Result<Churn> {
    let schedule = Schedule::lasting(pace.rate, pace.lasting());
    let usage = bench.usage();
    let welcomed = Arc::new(AtomicU64::new(0));
    let begun_ns = bench.clock.now_ns();
    let workers = readers() as u64;
    let (mut tasks, mut outcomes) = (Vec::new(), Vec::new());
    for nth in 0..workers {
        let (outcome_tx, outcome) = oneshot::channel();
        let worker = Worker {
            host: bench.host.clone(),
            net: bench.net.clone(),
            clock: bench.clock,
            begun_ns,
            transport: bench.transport,
            comets: bench.target.comets.clone(),
            in_flight_max: CHURN_IN_FLIGHT_MAX / readers(),
            welcomed: welcomed.clone(),
        };
        let run = move || async move {
            // Whoever does not wait any more needs no outcome.
            let _ = outcome_tx.send(worker.run(schedule, (nth, workers)).await);
        };
        let start = Box::new(move || run().boxed_local());
        tasks.push(bench.host.tasks.worker("bench-churn".to_owned(), start));
        outcomes.push(outcome);
    }
    let so_far = || {
        format!("{} of {} devices were welcomed", welcomed.load(Ordering::Relaxed), schedule.count)
    };
    let ended = progress::during(so_far, async {
        let mut all = Connects::default();
        for outcome in outcomes {
            all.add(&outcome.await.context("a thread of the client ended")?);
        }
        anyhow::Ok(all)
    });
    let all = ended.await?;
    if all.welcomed == 0 {
        anyhow::bail!("nobody was welcomed, first: {}", all.first_failure.unwrap_or_default());
    }
    let cpu = bench.cpu_since(&usage);
    Ok(all.figures(pace.rate, begun_ns, cpu))
}

/// One thread's part of it.
struct Worker {
    host: Host,
    net: Arc<dyn Net>,
    clock: Clock,
    begun_ns: u64,
    transport: orrery_sdk::Transport,
    comets: Vec<String>,
    in_flight_max: usize,
    welcomed: Arc<AtomicU64>,
}

/// What became of connects.
#[derive(Debug, Default)]
struct Connects {
    begun: u64,
    welcomed: u64,
    latencies: Latencies,
    late: Latencies,
    /// Welcomes in each second since the first was due.
    each_second: Vec<u64>,
    last_ns: u64,
    failures: BTreeMap<&'static str, u64>,
    first_failure: Option<String>,
}

impl Worker {
    async fn run(&self, schedule: Schedule, share: (u64, u64)) -> Connects {
        let mut metronome =
            Metronome::start(&self.host, self.clock, schedule, self.begun_ns, share);
        let mut connects = Connects::default();
        let mut under_way = FuturesUnordered::new();
        let mut over = false;
        while !over || !under_way.is_empty() {
            tokio::select! {
                biased;
                // A connect that is due begins before a welcome is looked at: rates are kept.
                beat = metronome.next(), if !over && under_way.len() < self.in_flight_max => match beat {
                    Some(beat) => {
                        connects.begun += 1;
                        connects.late.record(self.clock.now_ns().saturating_sub(beat.due_ns));
                        under_way.push(self.connect(beat));
                    }
                    None => over = true,
                },
                Some((beat, outcome, now_ns)) = under_way.next() => {
                    self.count(&mut connects, beat, outcome, now_ns);
                }
            }
        }
        connects
    }

    /// Connects one device and throws its connection away: its socket ends with a reset.
    async fn connect(&self, beat: Beat) -> (Beat, Result<(), orrery_sdk::ConnectError>, u64) {
        let nth = usize::try_from(beat.number).unwrap_or(0) % self.comets.len();
        let mut options = Options::new(self.transport, &self.comets[nth])
            .user((FIRST_USER + beat.number).to_string())
            .platform("bench")
            .accepts([OP]);
        options.connect_timeout = CONNECT_TIMEOUT;
        let connected = Device::connect(&self.net, options).await;
        let now_ns = self.clock.now_ns();
        (beat, connected.map(drop), now_ns)
    }

    fn count(
        &self,
        connects: &mut Connects,
        beat: Beat,
        outcome: Result<(), orrery_sdk::ConnectError>,
        now_ns: u64,
    ) {
        match outcome {
            Ok(()) => {
                self.welcomed.fetch_add(1, Ordering::Relaxed);
                connects.welcomed(beat.due_ns, now_ns, self.begun_ns);
            }
            Err(error) => {
                *connects.failures.entry(failure::kind(&error)).or_default() += 1;
                connects.first_failure.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

impl Connects {
    fn welcomed(&mut self, due_ns: u64, now_ns: u64, begun_ns: u64) {
        self.welcomed += 1;
        self.latencies.record(now_ns.saturating_sub(due_ns));
        self.last_ns = self.last_ns.max(now_ns);
        let second = (now_ns.saturating_sub(begun_ns) / 1_000_000_000) as usize;
        if self.each_second.len() <= second {
            self.each_second.resize(second + 1, 0);
        }
        self.each_second[second] += 1;
    }

    fn add(&mut self, other: &Self) {
        self.begun += other.begun;
        self.welcomed += other.welcomed;
        self.latencies.add(&other.latencies);
        self.late.add(&other.late);
        self.last_ns = self.last_ns.max(other.last_ns);
        if self.each_second.len() < other.each_second.len() {
            self.each_second.resize(other.each_second.len(), 0);
        }
        for (sum, more) in self.each_second.iter_mut().zip(&other.each_second) {
            *sum += more;
        }
        for (kind, count) in &other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
        if self.first_failure.is_none() {
            self.first_failure.clone_from(&other.first_failure);
        }
    }

    fn figures(self, asked_per_second: u64, begun_ns: u64, cpu: Cpu) -> Churn {
        let took_s = self.last_ns.saturating_sub(begun_ns) as f64 / 1e9;
        let whole = self.each_second.len().saturating_sub(1).max(1);
        Churn {
            asked_per_second,
            begun: self.begun,
            welcomed: self.welcomed,
            per_second: self.welcomed as f64 / took_s,
            per_second_min: self.each_second.iter().take(whole).copied().min().unwrap_or(0),
            each_second: self.each_second,
            to_welcome: self.latencies.summary(),
            client_late: self.late.summary(),
            failures: self.failures,
            first_failure: self.first_failure,
            cpu,
            welcomes_per_comet_cpu_s: per_cpu_s(self.welcomed, cpu.comet_s),
        }
    }
}

impl fmt::Display for Churn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked_per_second, begun, welcomed, per_second, per_second_min, .. } = self;
        writeln!(
            f,
            "{asked_per_second} connects/s asked for, {per_second:.0}/s welcomed, {per_second_min} in the \
             worst second; {welcomed} of {begun} got in"
        )?;
        if let Some(words) = &self.first_failure {
            writeln!(f, "failed: {:?}, first: {words}", self.failures)?;
        }
        f.write_str(&report::cpu(&self.cpu))?;
        if let Some(each) = self.welcomes_per_comet_cpu_s {
            writeln!(f, "{each:.0} welcomes for a second of the comet's processor time")?;
        }
        write!(f, "\n{HEADER}")?;
        f.write_str(&row("due to welcome", &self.to_welcome))?;
        f.write_str(&row("client late by", &self.client_late))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn welcomes_are_counted_in_their_second_and_charged_from_when_they_were_due() {
        let (mut one, mut other) = (Connects::default(), Connects::default());
        one.welcomed(5 * SECOND, 5 * SECOND + 1, 5 * SECOND);
        one.welcomed(5 * SECOND, 8 * SECOND, 5 * SECOND);
        other.welcomed(6 * SECOND, 6 * SECOND + 10, 5 * SECOND);
        other.failures.insert("timeout", 2);
        (one.begun, other.begun) = (2, 3);
        one.add(&other);
        let churn = one.figures(1, 5 * SECOND, Cpu::default());
        assert_eq!(churn.each_second, [1, 1, 0, 1]);
        assert_eq!((churn.begun, churn.welcomed, churn.per_second_min), (5, 3, 0));
        assert_eq!(churn.failures["timeout"], 2);
        assert!((churn.per_second - 1.0).abs() < 1e-9, "{}", churn.per_second);
        assert!((churn.to_welcome.max_ms - 3000.0).abs() < 5.0, "{:?}", churn.to_welcome);
    }
}
