//! `jepsen shrink`: makes the plan of a seed that fails as small as it goes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::Args;
use judge::checker;
use report::Shrunk;

use super::child::{Child, LOOK};
use super::sim::{self, Choice};
use super::{check, say, seeds};
use crate::ddmin::ddmin;
use crate::outcome::Outcome;
use crate::plan::{Fault, Plan};
use crate::run_report;
use crate::verdict::Ending;

/// Values that are tried of a number that is made smaller, between the least that makes sense and what it is.
const STEPS: u64 = 6;

/// How long the main phase must at least go on after its last fault, in milliseconds.
const AFTER_FAULTS_MS: u64 = 1_000;

/// What to make small.
#[derive(Debug, Args)]
pub struct Shrink {
    /// The seed.
    #[arg(long)]
    seed: u64,
    /// The property that must stay violated; the first that is, unless said.
    #[arg(long)]
    property: Option<String>,
    /// Runs at the same time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    #[command(flatten)]
    choice: Choice,
    /// Where the smallest run's history and page go.
    #[arg(long, default_value = "target/jepsen/shrink")]
    folder: PathBuf,
}

impl Shrink {
    /// Makes it small. Ends as the smallest run does, or holds where nothing is violated to begin with.
    ///
    /// # Errors
    /// When the harness cannot do its work.
    pub fn run(&self) -> anyhow::Result<Ending> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("make the folder {}", self.folder.display()))?;
        let plan = self.choice.plan(self.seed)?;
        let whole = self.outcome(&self.choice)?;
        say(&seeds::line(&whole));
        let Some(property) = self.property_of(&whole)? else {
            say("nothing is violated: there is nothing to shrink");
            return Ok(whole.ending);
        };
        let mut trial = Trial { shrink: self, property: &property, runs: 1, began: now() };
        let faults: Vec<u32> = plan.faults.iter().map(|fault| fault.id).collect();
        let kept = ddmin(&faults, self.jobs, |parts| {
            let choices: Vec<Choice> = parts.iter().map(|part| self.only(&plan, part)).collect();
            let failed = trial.fail(&choices)?;
            for (part, failed) in parts.iter().zip(&failed) {
                trial.tell(&format!("{} of {} faults", part.len(), faults.len()), *failed);
            }
            anyhow::Ok(failed)
        })?;
        let mut smallest = self.only(&plan, &kept);
        let left: Vec<&Fault> = plan.faults.iter().filter(|f| kept.contains(&f.id)).collect();
        let less = self.numbers(&plan, &left, &mut smallest, &mut trial)?;
        let shrunk = Shrunk {
            property: property.clone(),
            kept: left.iter().map(|fault| words(fault)).collect(),
            faults_before: faults.len(),
            less,
            runs: trial.runs,
        };
        self.end(&plan, &smallest, shrunk)
    }

    /// The property that is looked at.
    fn property_of(&self, whole: &Outcome) -> anyhow::Result<Option<String>> {
        let violated = &whole.violated;
        if let Some(error) = &whole.error {
            bail!("the run itself failed: {error}");
        }
        match &self.property {
            Some(name) if violated.contains_key(name) => Ok(Some(name.clone())),
            Some(name) if checker::ALL.iter().any(|known| known.name == name) => {
                bail!("{name} is not violated; violated are {:?}", violated.keys())
            }
            Some(name) => {
                let known: Vec<&str> = checker::ALL.iter().map(|known| known.name).collect();
                bail!("no property {name:?}; known are {}", known.join(", "))
            }
            None => {
                let first = checker::ALL.iter().find(|known| violated.contains_key(known.name));
                Ok(first.map(|known| known.name.to_owned()))
            }
        }
    }

    /// Only these faults of the plan.
    fn only(&self, plan: &Plan, ids: &[u32]) -> Choice {
        let mut choice = self.choice.clone();
        let others = plan.faults.iter().map(|fault| fault.id).filter(|id| !ids.contains(id));
        choice.without.extend(others);
        choice.without.sort_unstable();
        choice
    }

    /// Makes the load and the time smaller too; what became smaller, in words.
    fn numbers(
        &self,
        plan: &Plan,
        left: &[&Fault],
        smallest: &mut Choice,
        trial: &mut Trial<'_>,
    ) -> anyhow::Result<Vec<String>> {
        let mut less = Vec::new();
        let last = left.iter().map(|fault| fault.at_ms + fault.lasts_ms).max().unwrap_or_default();
        let swarm = &plan.swarm;
        let mut number = |name: &str, least: u64, most: u64, set: fn(&mut Choice, u64)| {
            let with = |value: u64| {
                let mut choice = smallest.clone();
                set(&mut choice, value);
                choice
            };
            if let Some(value) = trial.least(name, least, most, with)? {
                set(smallest, value);
                less.push(format!("{name}: {value} instead of {most}"));
            }
            anyhow::Ok(())
        };
        number(
            "milliseconds of the main phase",
            last + AFTER_FAULTS_MS,
            swarm.main_ms,
            |to, ms| {
                to.main_ms = Some(ms);
            },
        )?;
        number("devices per comet", 0, swarm.devices as u64, |to, devices| {
            to.devices = usize::try_from(devices).ok();
        })?;
        number("writers", 1, swarm.writers as u64, |to, writers| {
            to.writers = usize::try_from(writers).ok();
        })?;
        Ok(less)
    }

    /// Runs the smallest once more, and leaves its page.
    fn end(&self, plan: &Plan, smallest: &Choice, shrunk: Shrunk) -> anyhow::Result<Ending> {
        let outcome = self.outcome(smallest)?;
        let history = outcome.history.context("the smallest run left no history")?;
        let events = check::readable(&history)?.events;
        let run = sim::facts(&smallest.plan(self.seed)?, smallest);
        let run = report::RunFacts { shrunk: Some(shrunk.clone()), ..run };
        let ended = run_report::end(&run, &events, &[], &history, true, None)?;
        say(ended.told.trim_end());
        say(&format!(
            "{} stays violated with {} of {} faults, after {} runs",
            shrunk.property,
            shrunk.kept.len(),
            plan.faults.len(),
            shrunk.runs
        ));
        shrunk.kept.iter().chain(&shrunk.less).for_each(|line| say(&format!("  {line}")));
        say(&format!("history: {}", history.display()));
        if let Some(page) = &ended.page {
            say(&format!("page: {}", page.display()));
        }
        say(&format!("again: {}", run.replay));
        Ok(ended.ending)
    }

    /// Runs a choice by itself.
    fn outcome(&self, choice: &Choice) -> anyhow::Result<Outcome> {
        let outcomes = self.outcomes(std::slice::from_ref(choice))?;
        outcomes.into_iter().next().context("one run has one outcome")
    }

    /// Runs choices side by side. Their histories have names of their own; the first one's stays.
    #[expect(
        clippy::disallowed_methods,
        reason = "this waits for processes, outside of any simulation"
    )]
    fn outcomes(&self, choices: &[Choice]) -> anyhow::Result<Vec<Outcome>> {
        let mut running = Vec::new();
        for (run, choice) in (0..).zip(choices) {
            let folder = self.folder.display().to_string();
            let mut arguments = vec!["--folder".to_owned(), folder];
            arguments.extend(choice.arguments());
            running.push((run, Child::start(self.seed, run, &arguments)?));
        }
        let mut outcomes = BTreeMap::new();
        while !running.is_empty() {
            std::thread::sleep(LOOK);
            for at in (0..running.len()).rev() {
                let (run, child) = &mut running[at];
                if let Some(outcome) = child.ended()? {
                    outcomes.insert(*run, outcome);
                    running.swap_remove(at);
                }
            }
        }
        // Only what the first of them leaves is looked at.
        for run in outcomes.keys().filter(|run| **run > 0) {
            let history = self.folder.join(sim::history_name(self.seed, *run));
            seeds::forget(&history)?;
            run_report::remove(&history.with_extension("html"))?;
        }
        Ok(outcomes.into_values().collect())
    }
}

/// Tries smaller plans.
struct Trial<'a> {
    shrink: &'a Shrink,
    property: &'a str,
    runs: usize,
    began: Instant,
}

impl Trial<'_> {
    /// Which of these still violate the property.
    fn fail(&mut self, choices: &[Choice]) -> anyhow::Result<Vec<bool>> {
        self.runs += choices.len();
        let outcomes = self.shrink.outcomes(choices)?;
        // A run that the harness could not do shows nothing.
        Ok(outcomes.iter().map(|one| one.violated.contains_key(self.property)).collect())
    }

    /// The least of some values below what a number is that is still enough.
    fn least(
        &mut self,
        name: &str,
        least: u64,
        most: u64,
        with: impl Fn(u64) -> Choice,
    ) -> anyhow::Result<Option<u64>> {
        let step = (most.saturating_sub(least)).div_ceil(STEPS).max(1);
        let values: Vec<u64> =
            (0..).map(|at| least + at * step).take_while(|value| *value < most).collect();
        for batch in values.chunks(self.shrink.jobs.max(1)) {
            let choices: Vec<Choice> = batch.iter().map(|value| with(*value)).collect();
            let failed = self.fail(&choices)?;
            for (value, failed) in batch.iter().zip(&failed) {
                self.tell(&format!("{name}: {value} instead of {most}"), *failed);
            }
            if let Some(at) = failed.iter().position(|failed| *failed) {
                return Ok(Some(batch[at]));
            }
        }
        Ok(None)
    }

    fn tell(&self, what: &str, failed: bool) {
        let seconds = Duration::as_secs(&self.began.elapsed());
        let word = if failed { "still violated" } else { "not violated" };
        say(&format!("  {seconds:>4} s  {word}: {what}"));
    }
}

#[expect(clippy::disallowed_methods, reason = "how long it takes is told in real time")]
fn now() -> Instant {
    Instant::now()
}

/// A fault in words.
fn words(fault: &Fault) -> String {
    let name = serde_json::to_string(fault).unwrap_or_default();
    let at = fault.at_ms as f64 / 1_000.0;
    format!("fault {} at {at:.3} s of the main phase: {}", fault.id, report::in_words(&name))
}
