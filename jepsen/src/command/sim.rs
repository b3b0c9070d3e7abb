//! `jepsen sim`: one simulation for each seed, each in a process of its own.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use judge::history;
use judge::settings::Gates;

use super::say;
use crate::plan::Plan;
use crate::verdict::{self, Ending};
use crate::world::sim;

/// How long one seed may take in real time.
const SEED_MAX: Duration = Duration::from_secs(600);

/// Pause between two looks at the seeds that run.
const LOOK: Duration = Duration::from_millis(20);

/// What to simulate.
#[derive(Debug, Args)]
pub struct Sim {
    /// How many seeds.
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// Seeds that run at the same time; 0: one for each processor.
    #[arg(long, default_value_t = 0)]
    jobs: usize,
    /// Runs each seed twice and wants the same history, byte for byte.
    #[arg(long)]
    twice: bool,
    /// Runs this seed alone, in this process.
    #[arg(long)]
    seed: Option<u64>,
    /// Faults to leave out, by their ids, with --seed.
    #[arg(long, value_delimiter = ',')]
    without: Vec<u32>,
    /// Where histories go.
    #[arg(long, default_value = "target/jepsen")]
    folder: PathBuf,
}

impl Sim {
    /// Simulates.
    ///
    /// # Errors
    /// When the harness cannot do its work.
    pub fn run(&self) -> anyhow::Result<Ending> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("make the folder {}", self.folder.display()))?;
        match self.seed {
            Some(seed) => self.one(seed),
            None => self.all(),
        }
    }

    fn history(&self, seed: u64, run: u32) -> PathBuf {
        self.folder.join(format!("sim-{seed}-{run}.jsonl"))
    }

    /// Runs a seed in this process, which must be a fresh one.
    #[expect(clippy::disallowed_methods, reason = "how long it takes is told in real time")]
    fn one(&self, seed: u64) -> anyhow::Result<Ending> {
        let plan = Plan::of(seed).without(&self.without);
        let began = Instant::now();
        let ran = sim::run(&plan).map_err(anyhow::Error::msg)?;
        let real = began.elapsed();
        let run = std::env::var(RUN).ok().and_then(|run| run.parse().ok()).unwrap_or(0);
        let path = self.history(seed, run);
        history::write(&ran.events, BufWriter::new(File::create(&path)?))?;
        let shards = (1..=plan.swarm.shards).collect();
        let gates = Gates { faults: Vec::new(), shards, ..Gates::default() };
        let lease = Duration::from_millis(plan.swarm.lease_ms);
        let (ending, report) = verdict::judge(&ran.events, &verdict::settings(lease, gates), &[]);
        if ending != Ending::Holds {
            say(report.trim_end());
        }
        let ok = ran.events.iter().filter(|event| event.kind == history::Kind::Ok).count();
        say(&format!(
            "seed {seed}: {}; {ok} operations ok, {} faults, {:.1} s simulated in {:.1} s; {}",
            ending.word(),
            plan.faults.len(),
            ran.simulated.as_secs_f64(),
            real.as_secs_f64(),
            path.display(),
        ));
        Ok(ending)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this waits for processes, outside of any simulation"
    )]
    fn all(&self) -> anyhow::Result<Ending> {
        let jobs = match self.jobs {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            jobs => jobs,
        };
        let runs = if self.twice { 2 } else { 1 };
        let seeds = self.from..self.from + self.seeds;
        let mut waiting: VecDeque<(u64, u32)> =
            seeds.flat_map(|seed| (0..runs).map(move |run| (seed, run))).collect();
        let mut running: Vec<(u64, u32, Instant, Child)> = Vec::new();
        let mut worst = Ending::Holds;
        let mut failed = Vec::new();
        let mut ended_once = BTreeSet::new();
        while !waiting.is_empty() || !running.is_empty() {
            while running.len() < jobs {
                let Some((seed, run)) = waiting.pop_front() else { break };
                running.push((seed, run, Instant::now(), self.start(seed, run)?));
            }
            std::thread::sleep(LOOK);
            for at in (0..running.len()).rev() {
                let (seed, _, began, child) = &mut running[at];
                let seed = *seed;
                let ended = match child.try_wait()? {
                    Some(status) => Ending::of(status.code()),
                    None if began.elapsed() > SEED_MAX => {
                        child.kill()?;
                        say(&format!("seed {seed}: did not end within {SEED_MAX:?}"));
                        Ending::Harness
                    }
                    None => continue,
                };
                let (.., mut child) = running.swap_remove(at);
                child.wait()?;
                // Judged by whichever of its two runs ends last.
                let is_last = self.twice && !ended_once.insert(seed);
                let same = !is_last || self.is_same(seed)?;
                if !same {
                    say(&format!("seed {seed}: two runs differ"));
                }
                if ended != Ending::Holds || !same {
                    failed.push(seed);
                    worst = if same { ended } else { Ending::Harness };
                }
            }
        }
        failed.dedup();
        say(&format!("{} seeds, {} failed: {failed:?}", self.seeds, failed.len()));
        Ok(worst)
    }

    fn start(&self, seed: u64, run: u32) -> anyhow::Result<Child> {
        let me = std::env::current_exe().context("find the harness's own binary")?;
        Command::new(me)
            .args(["sim", "--seed", &seed.to_string(), "--folder"])
            .arg(&self.folder)
            .env(RUN, run.to_string())
            .stdin(Stdio::null())
            .spawn()
            .context("start a simulation")
    }

    /// Whether both histories of a seed are the same.
    fn is_same(&self, seed: u64) -> anyhow::Result<bool> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
        let (first, second) = (read(&self.history(seed, 0))?, read(&self.history(seed, 1))?);
        if first.is_empty() {
            bail!("the history of seed {seed} is empty");
        }
        Ok(first == second)
    }
}

/// Tells a simulation which run of its seed it is.
const RUN: &str = "JEPSEN_RUN";
