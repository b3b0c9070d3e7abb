//! `jepsen process`: real binaries on a real machine, broken in real ways.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use machine::{Fabric, Ledger};
use report::RunFacts;
use tokio::signal::unix::{SignalKind, signal};

use super::{doctor, say, sim};
use crate::plan::{Family, Plan, processes, scenario};
use crate::run_report;
use crate::verdict::{self, Ending};
use crate::world::process::results::Line;
use crate::world::process::{self, LEDGERS, Setting};

/// Pause between two looks at runs in processes of their own.
const LOOK: Duration = Duration::from_millis(100);

/// Threads of the load. One may wait for a fault that is being installed.
const THREADS: usize = 4;

/// What connects the machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Connects {
    /// A switch of the harness's own: it cuts, delays, loses, repeats, reorders and narrows.
    Switch,
    /// The kernel's bridge and nftables: it cuts and loses.
    Bridge,
}

/// What to run.
#[derive(Debug, Args)]
pub struct Process {
    /// The orrery binary.
    #[arg(long, default_value = "target/release/orrery")]
    binary: PathBuf,
    /// Seconds of the main phase of each run.
    #[arg(long, default_value_t = 120)]
    seconds: u64,
    /// Runs this seed alone.
    #[arg(long)]
    seed: Option<u64>,
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// A plan that has a name, instead of what the seed draws; an unknown name lists them.
    #[arg(long)]
    scenario: Option<String>,
    /// Families of faults, instead of those that the seed draws: partition, network, kill, pause, power,
    /// disk, clock, admin, damage.
    #[arg(long, value_delimiter = ',', value_parser = family)]
    families: Vec<Family>,
    /// Faults to leave out, by their ids.
    #[arg(long, value_delimiter = ',')]
    without: Vec<u32>,
    /// Goes through every scenario and every mix of families, one after the other, seed by seed.
    #[arg(long, conflicts_with_all = ["scenario", "families"])]
    matrix: bool,
    /// Runs at the same time.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// What connects the machines.
    #[arg(long, value_enum, default_value_t = Connects::Switch)]
    fabric: Connects,
    /// Draws a page of the run also if it holds.
    #[arg(long)]
    report: bool,
    /// Where histories and logs go, in a folder for each run, and the file of all results.
    #[arg(long, default_value = "target/jepsen/process")]
    folder: PathBuf,
}

fn family(name: &str) -> Result<Family, String> {
    serde_json::from_value(serde_json::Value::String(name.to_owned()))
        .map_err(|_| format!("there is no family {name}"))
}

/// A family in a word.
fn word(family: Family) -> String {
    format!("{family:?}").to_lowercase()
}

/// One run of many.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cell {
    seed: u64,
    scenario: Option<String>,
    families: Vec<Family>,
}

impl Cell {
    /// Where it keeps what it writes.
    fn name(&self) -> String {
        let what = match &self.scenario {
            Some(scenario) => scenario.clone(),
            None if self.families.is_empty() => "drawn".to_owned(),
            None => self.families.iter().map(|one| word(*one)).collect::<Vec<_>>().join("-"),
        };
        format!("{what}-{}", self.seed)
    }
}

/// Every scenario, every family alone, some that make each other worse, and what seeds draw.
fn matrix(seed: u64) -> Cell {
    let scenarios = scenario::ALL.iter().map(|one| (Some(one.name.to_owned()), Vec::new()));
    let alone = Family::ALL.iter().map(|one| (None, vec![*one]));
    let together = [
        vec![Family::Kill, Family::Partition, Family::Admin],
        vec![Family::Power, Family::Disk, Family::Kill],
        vec![Family::Pause, Family::Clock, Family::Network],
        vec![],
        vec![],
        Family::ALL.to_vec(),
    ];
    let mut all = scenarios.chain(alone).chain(together.map(|families| (None, families)));
    let many = all.clone().count() as u64;
    let at = usize::try_from(seed % many).unwrap_or(0);
    let (scenario, families) = all.nth(at).unwrap_or_default();
    Cell { seed, scenario, families }
}

impl Process {
    /// Runs.
    ///
    /// # Errors
    /// When the harness cannot do its work.
    pub fn run(&self) -> anyhow::Result<Ending> {
        if let Some(name) = &self.scenario
            && scenario::named(name).is_none()
        {
            bail!("there is no scenario {name}; there are\n{}", scenario::list());
        }
        if !self.binary.is_file() {
            bail!("there is no binary {}: build it, or say --binary", self.binary.display());
        }
        if let Some(missing) = doctor::missing() {
            bail!("{missing}");
        }
        for undone in Ledger::sweep(Path::new(LEDGERS))? {
            say(&format!("left by a run that was killed, undone: {undone}"));
        }
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("make the folder {}", self.folder.display()))?;
        let seeds = match self.seed {
            Some(seed) => seed..seed + 1,
            None => self.from..self.from + self.seeds,
        };
        let cell = |seed| match self.matrix {
            true => matrix(seed),
            false => {
                Cell { seed, scenario: self.scenario.clone(), families: self.families.clone() }
            }
        };
        let cells: VecDeque<Cell> = seeds.map(cell).collect();
        match self.jobs {
            0 | 1 => self.one_by_one(cells),
            jobs => self.at_once(cells, jobs),
        }
    }

    fn one_by_one(&self, cells: VecDeque<Cell>) -> anyhow::Result<Ending> {
        let many = cells.len();
        let mut worst = Ending::Holds;
        let mut failed = Vec::new();
        for cell in cells {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(THREADS)
                .enable_all()
                .build()?;
            let ended = match runtime.block_on(self.until_stopped(&cell)) {
                Ok(ended) => ended,
                Err(error) if many > 1 && !error.is::<Stopped>() => {
                    say(&format!("{}: {error:#}", cell.name()));
                    Ending::Harness
                }
                Err(error) => return Err(error),
            };
            if ended != Ending::Holds {
                failed.push(cell.name());
                worst = ended;
            }
        }
        if many > 1 {
            say(&format!("{many} runs, {} do not hold: {failed:?}", failed.len()));
        }
        Ok(worst)
    }

    /// Ends early, with everything unmade, when somebody wants that.
    async fn until_stopped(&self, cell: &Cell) -> anyhow::Result<Ending> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::select! {
            biased;
            _ = terminate.recv() => Err(Stopped("SIGTERM").into()),
            _ = interrupt.recv() => Err(Stopped("SIGINT").into()),
            _ = hangup.recv() => Err(Stopped("SIGHUP").into()),
            ended = self.one(cell) => ended,
        }
    }

    async fn one(&self, cell: &Cell) -> anyhow::Result<Ending> {
        let mut plan = processes::plan(cell.seed, self.seconds * 1_000, &cell.families);
        let named = cell.scenario.as_deref().and_then(scenario::named);
        if let Some(scenario) = named {
            plan = scenario.over(plan);
        }
        let plan = plan.without(&self.without);
        let folder = self.folder.join(cell.name());
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| format!("empty {}", folder.display()))?;
        }
        fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
        // Programs on other machines of the network see the same files by the same names.
        let folder = folder.canonicalize()?;
        fs::write(folder.join("plan.json"), serde_json::to_string_pretty(&plan)?)?;
        let fabric = match self.fabric {
            Connects::Switch => Fabric::Switch,
            Connects::Bridge => Fabric::Bridge,
        };
        let binary = self.binary.canonicalize()?;
        let setting = Setting { binary, folder: folder.clone(), fabric };
        let ran = process::run(&plan, &setting).await?;
        let ended = self.judge(cell, &plan, &ran, &folder)?;
        say(&format!("{}: {}", cell.name(), ended.word()));
        Ok(ended)
    }

    fn judge(
        &self,
        cell: &Cell,
        plan: &Plan,
        ran: &process::Ran,
        folder: &Path,
    ) -> anyhow::Result<Ending> {
        let run = self.facts(cell, plan);
        let path = folder.join("history.jsonl");
        let judged = run_report::end(&run, &ran.events, plan.required(), &path, self.report)?;
        say(judged.told.trim_end());
        let mut ended = judged.ending;
        for finding in &ran.findings {
            say(&format!("found: {finding}"));
            ended = Ending::Violated;
        }
        let broken = judged.told.lines().filter(|line| !line.starts_with(' '));
        let broken =
            broken.filter(|line| line.contains(": VIOLATED") || line.contains(": unknown"));
        let mut line = Line {
            seed: cell.seed,
            scenario: cell.scenario.clone(),
            families: plan.swarm.families.iter().map(|one| word(*one)).collect(),
            seconds: plan.swarm.main_ms / 1_000,
            verdict: ended.word().to_owned(),
            broken: broken.map(str::to_owned).collect(),
            findings: ran.findings.clone(),
            ..Line::default()
        };
        line.count(&ran.events, plan.swarm.routers, plan.swarm.shards);
        say(&line.figures());
        let packets = ran.packets;
        say(&format!(
            "packets: {} passed, {} cut, {} lost, {} duplicated, {} reordered, {} delayed",
            packets.passed,
            packets.cut,
            packets.lost,
            packets.duplicated,
            packets.reordered,
            packets.delayed
        ));
        say(&format!("history: {} ({} events)", path.display(), ran.events.len()));
        if let Some(page) = &judged.page {
            say(&format!("page: {}", page.display()));
        }
        line.append(&self.folder.join("results.jsonl"))?;
        Ok(ended)
    }

    /// What is known of a run before it begins.
    fn facts(&self, cell: &Cell, plan: &Plan) -> RunFacts {
        let required = match cell.scenario.as_deref().and_then(scenario::named) {
            Some(scenario) => scenario.families.to_vec(),
            None => cell.families.clone(),
        };
        // A short run may have had no time for one that was asked for.
        let planned = |one: &Family| plan.faults.iter().any(|fault| fault.kind.family() == *one);
        let faults = required.into_iter().filter(planned).map(word).collect();
        RunFacts {
            name: cell.name(),
            world: "processes".to_owned(),
            seed: Some(cell.seed),
            replay: format!("target/release/jepsen {}", self.arguments(cell).join(" ")),
            drawn: sim::drawn(plan),
            settings: verdict::settings(plan, faults),
            shrunk: None,
        }
    }

    /// Several runs at once, each in a process of its own.
    #[expect(clippy::disallowed_methods, reason = "this waits for processes")]
    fn at_once(&self, mut waiting: VecDeque<Cell>, jobs: usize) -> anyhow::Result<Ending> {
        let many = waiting.len();
        let mut running: Vec<(Cell, Child)> = Vec::new();
        let mut worst = Ending::Holds;
        let mut failed = Vec::new();
        while !waiting.is_empty() || !running.is_empty() {
            while running.len() < jobs {
                let Some(cell) = waiting.pop_front() else { break };
                let child = self.start(&cell)?;
                running.push((cell, child));
            }
            std::thread::sleep(LOOK);
            for at in (0..running.len()).rev() {
                let Some(status) = running[at].1.try_wait()? else { continue };
                let (cell, _) = running.swap_remove(at);
                let ended = Ending::of(status.code());
                if ended != Ending::Holds {
                    failed.push(cell.name());
                    worst = ended;
                }
            }
        }
        say(&format!("{many} runs, {} do not hold: {failed:?}", failed.len()));
        Ok(worst)
    }

    fn start(&self, cell: &Cell) -> anyhow::Result<Child> {
        let me = std::env::current_exe().context("find the harness's own binary")?;
        let mut command = Command::new(me);
        command.args(self.arguments(cell)).arg("--binary").arg(&self.binary);
        command.arg("--folder").arg(&self.folder);
        command.stdin(Stdio::null()).spawn().context("start a run")
    }

    /// How another process is told of a run.
    fn arguments(&self, cell: &Cell) -> Vec<String> {
        let mut arguments = vec!["process".to_owned()];
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        add("--seed", cell.seed.to_string());
        add("--seconds", self.seconds.to_string());
        if let Some(scenario) = &cell.scenario {
            add("--scenario", scenario.clone());
        }
        if !cell.families.is_empty() {
            let families: Vec<String> = cell.families.iter().map(|one| word(*one)).collect();
            add("--families", families.join(","));
        }
        if !self.without.is_empty() {
            let ids: Vec<String> = self.without.iter().map(u32::to_string).collect();
            add("--without", ids.join(","));
        }
        if self.fabric == Connects::Bridge {
            add("--fabric", "bridge".to_owned());
        }
        arguments
    }
}

/// Somebody ended it.
#[derive(Debug, thiserror::Error)]
#[error("ended by {0}")]
struct Stopped(&'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_has_every_scenario_and_every_family() {
        let cells: Vec<Cell> = (0..40).map(matrix).collect();
        for scenario in scenario::ALL {
            assert!(cells.iter().any(|cell| cell.scenario.as_deref() == Some(scenario.name)));
        }
        for family in Family::ALL {
            assert!(cells.iter().any(|cell| cell.families == [family]), "{family:?}");
        }
        assert_eq!(matrix(3), matrix(3));
    }

    #[test]
    fn families_are_told_by_their_names() {
        assert_eq!(family("power"), Ok(Family::Power));
        assert!(family("powder").is_err());
        for one in Family::ALL {
            assert_eq!(family(&word(one)), Ok(one));
        }
    }
}
