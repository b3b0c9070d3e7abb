//! `jepsen sim`: one simulation for each seed, each in a process of its own.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use report::RunFacts;

use super::child::RUN;
use super::say;
use super::seeded::Seeded;
use super::seeds;
use crate::outcome::Outcome;
use crate::plan::{Plan, scenario};
use crate::run_report;
use crate::verdict::{self, Ending};
use crate::world::sim;

/// What to simulate.
#[derive(Debug, Args)]
pub struct Sim {
    /// How many seeds.
    #[arg(long, default_value_t = 10)]
    pub(super) seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1)]
    pub(super) from: u64,
    /// Seeds that run at the same time; 0: one for each processor.
    #[arg(long, default_value_t = 0)]
    pub(super) jobs: usize,
    /// Runs each seed twice and wants the same history, byte for byte.
    #[arg(long)]
    pub(super) twice: bool,
    /// Keeps the histories of all seeds, not only of those that do not hold.
    #[arg(long)]
    pub(super) keep: bool,
    /// Runs this seed alone, in this process.
    #[arg(long)]
    seed: Option<u64>,
    /// Draws a page of the run also if it holds.
    #[arg(long)]
    pub(super) report: bool,
    /// Says what each seed came to as a line of JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) choice: Choice,
    /// Where histories and pages go.
    #[arg(long, default_value = "target/jepsen")]
    pub(super) folder: PathBuf,
}

/// What is another than the seed draws.
#[derive(Debug, Clone, Default, Args)]
pub struct Choice {
    /// Faults of this scenario instead of those that the seed draws.
    #[arg(long)]
    pub(super) scenario: Option<String>,
    /// Faults to leave out, by their ids.
    #[arg(long, value_delimiter = ',')]
    pub(super) without: Vec<u32>,
    /// Writers.
    #[arg(long)]
    pub(super) writers: Option<usize>,
    /// Devices per comet.
    #[arg(long)]
    pub(super) devices: Option<usize>,
    /// Milliseconds of the main phase.
    #[arg(long)]
    pub(super) main_ms: Option<u64>,
    #[command(flatten)]
    pub(super) seeded: Seeded,
}

impl Choice {
    /// The plan of a seed.
    ///
    /// # Errors
    /// When there is no such scenario, or the simulation cannot do it.
    pub(super) fn plan(&self, seed: u64) -> anyhow::Result<Plan> {
        let mut plan = Plan::of(seed);
        if let Some(name) = &self.scenario {
            match scenario::named(name) {
                None => bail!("no scenario {name:?}; known are\n{}", scenario::list()),
                Some(known) if !known.simulated => {
                    bail!("the simulation cannot do the scenario {name:?}; see `jepsen process`")
                }
                Some(known) => plan = known.over(plan),
            }
        }
        plan = plan.without(&self.without);
        plan.swarm.writers = self.writers.unwrap_or(plan.swarm.writers);
        plan.swarm.devices = self.devices.unwrap_or(plan.swarm.devices);
        plan.swarm.main_ms = self.main_ms.unwrap_or(plan.swarm.main_ms);
        Ok(plan)
    }

    /// Families of which a fault must have been installed: those of its scenario.
    fn required(&self, plan: &Plan) -> Vec<String> {
        let scenario = self.scenario.as_deref().and_then(scenario::named);
        scenario.map(|scenario| plan.required_faults(scenario.families)).unwrap_or_default()
    }

    /// How another process is told of it.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        if let Some(scenario) = &self.scenario {
            add("--scenario", scenario.clone());
        }
        if !self.without.is_empty() {
            let ids: Vec<String> = self.without.iter().map(u32::to_string).collect();
            add("--without", ids.join(","));
        }
        let numbers = [
            ("--writers", self.writers.map(|number| number as u64)),
            ("--devices", self.devices.map(|number| number as u64)),
            ("--main-ms", self.main_ms),
        ];
        for (name, value) in numbers {
            if let Some(value) = value {
                add(name, value.to_string());
            }
        }
        arguments.extend(self.seeded.arguments());
        arguments
    }

    /// The command that runs a seed so.
    pub(super) fn command(&self, command: &str, seed: u64) -> String {
        let mut words = vec![format!("{} {command} --seed {seed}", me())];
        words.extend(self.arguments());
        words.join(" ")
    }
}

impl Sim {
    /// Simulates.
    ///
    /// # Errors
    /// When the harness cannot do its work.
    pub fn run(&self) -> anyhow::Result<Ending> {
        self.choice.seeded.turn_on()?;
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("make the folder {}", self.folder.display()))?;
        match self.seed {
            Some(seed) => self.one(seed),
            // What is wrong with the plan of one seed is wrong with all.
            None => self.choice.plan(self.from).and_then(|_| seeds::run(self)),
        }
    }

    /// Where the history of a run of a seed goes.
    pub(super) fn history(&self, seed: u64, run: u32) -> PathBuf {
        self.folder.join(history_name(seed, run))
    }

    /// Runs a seed in this process, which must be a fresh one.
    #[expect(clippy::disallowed_methods, reason = "how long it takes is told in real time")]
    fn one(&self, seed: u64) -> anyhow::Result<Ending> {
        let plan = self.choice.plan(seed)?;
        let began = Instant::now();
        let ran = match sim::run(&plan) {
            Ok(ran) => ran,
            Err(error) if self.json => {
                say(&serde_json::to_string(&Outcome::failed(seed, error))?);
                return Ok(Ending::Harness);
            }
            Err(error) => bail!(error),
        };
        let real = began.elapsed();
        let run = std::env::var(RUN).ok().and_then(|run| run.parse().ok()).unwrap_or(0);
        let path = self.history(seed, run);
        let facts = facts(&plan, &self.choice);
        let (required, stores) = (plan.required(), Some(&ran.stores));
        let ended = run_report::end(&facts, &ran.events, required, &path, self.report, stores)?;
        let outcome = Outcome {
            simulated_s: ran.simulated.as_secs_f64(),
            real_s: real.as_secs_f64(),
            history: Some(path),
            ..Outcome::of(seed, &ran.events, &ended)
        };
        if self.json {
            say(&serde_json::to_string(&outcome)?);
            return Ok(ended.ending);
        }
        if ended.ending != Ending::Holds {
            say(ended.told.trim_end());
        }
        say(&seeds::line(&outcome));
        if let Some(page) = &outcome.page {
            say(&format!("page: {}", page.display()));
        }
        if ended.ending == Ending::Violated {
            say(&format!("next: {}", self.choice.command("shrink", seed)));
        }
        Ok(ended.ending)
    }
}

/// The history of a run of a seed.
pub(super) fn history_name(seed: u64, run: u32) -> String {
    format!("sim-{seed}-{run}.jsonl")
}

/// This binary, as it is called from here.
fn me() -> String {
    let me = std::env::current_exe().unwrap_or_else(|_| "jepsen".into());
    let here = std::env::current_dir().unwrap_or_default();
    me.strip_prefix(here).unwrap_or(&me).display().to_string()
}

/// What is known of a run before it begins.
pub(super) fn facts(plan: &Plan, choice: &Choice) -> RunFacts {
    RunFacts {
        name: match &choice.scenario {
            Some(scenario) => format!("{scenario}, seed {}", plan.seed),
            None => format!("seed {}", plan.seed),
        },
        world: "simulation".to_owned(),
        seed: Some(plan.seed),
        replay: choice.command("sim", plan.seed),
        drawn: drawn(plan),
        settings: verdict::settings(plan, choice.required(plan)),
        shrunk: None,
    }
}

/// What a plan drew, by the names of its fields.
pub(super) fn drawn(plan: &Plan) -> Vec<(String, String)> {
    let mut drawn = Vec::new();
    let swarm = serde_json::to_value(&plan.swarm).unwrap_or_default();
    add(&swarm, "", &mut drawn);
    drawn
}

fn add(value: &serde_json::Value, name: &str, drawn: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (field, value) in fields {
                let field = format!("{name} {}", field.replace('_', " "));
                add(value, field.trim_start(), drawn);
            }
        }
        serde_json::Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(|item| item.as_str()).collect();
            drawn.push((name.to_owned(), items.join(", ")));
        }
        other => drawn.push((name.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_a_scenario_counts_only_with_its_faults() {
        let of = |scenario: Option<&str>, without: Vec<u32>| {
            let scenario = scenario.map(str::to_owned);
            let choice = Choice { scenario, without, ..Choice::default() };
            facts(&choice.plan(7).unwrap(), &choice).settings.gates.faults
        };
        assert_eq!(of(Some("power-cut-all"), Vec::new()), ["power"]);
        assert_eq!(of(Some("power-cut-all"), (0..100).collect()), [""; 0]);
        assert_eq!(of(None, Vec::new()), [""; 0]);
    }
}
