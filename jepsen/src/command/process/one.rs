//! One: a single run, from its plan to its line of results.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use machine::Fabric;
use report::RunFacts;

use super::cell::{Cell, words};
use super::{Connects, Process, RESULTS};
use crate::command::stop::{Stopped, stopped};
use crate::command::{fresh, say, sim};
use crate::plan::Plan;
use crate::run_report;
use crate::verdict::{self, Ending};
use crate::world::process::results::Line;
use crate::world::process::{self, Setting};

/// Threads of the load. One may wait for a fault that is being installed.
const THREADS: usize = 4;

impl Process {
    /// Runs it in this process.
    pub(super) fn one(&self, cell: &Cell) -> anyhow::Result<Ending> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .enable_all()
            .build()?;
        runtime.block_on(self.until_stopped(cell))
    }

    /// Ends early, with everything unmade, when somebody wants that.
    async fn until_stopped(&self, cell: &Cell) -> anyhow::Result<Ending> {
        let stopped = stopped(self.child)?;
        tokio::select! {
            biased;
            why = stopped => Err(Stopped(why).into()),
            ended = self.whole(cell) => ended,
        }
    }

    async fn whole(&self, cell: &Cell) -> anyhow::Result<Ending> {
        let plan = cell.plan(self.seconds, &self.without);
        let folder = self.folder.join(cell.name());
        let _claim = fresh(&folder)?;
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
        // Of a run that fails somebody may want to look into the rest of them.
        let stores = folder.join(process::STORES);
        if ended != Ending::Violated && stores.exists() {
            fs::remove_dir_all(&stores).with_context(|| format!("remove {}", stores.display()))?;
        }
        say(&format!("{}: {}", cell.name(), ended.word()));
        // A hundred of them would fill a disk.
        if self.child && !self.keep && !self.report && ended == Ending::Holds {
            fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
        }
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
        let (required, stores) = (plan.required(), Some(&ran.stores));
        let judged = run_report::end(&run, &ran.events, required, &path, self.report, stores)?;
        let mut ended = judged.ending;
        let mut told = judged.told.trim_end().to_owned();
        for finding in &ran.findings {
            told.push_str(&format!("\nfound: {finding}"));
            ended = Ending::Violated;
        }
        let broken = judged.told.lines().filter(|line| !line.starts_with(' '));
        let broken =
            broken.filter(|line| line.contains(": VIOLATED") || line.contains(": unknown"));
        let mut line = Line {
            verdict: ended.word().to_owned(),
            broken: broken.map(str::to_owned).collect(),
            findings: ran.findings.clone(),
            ..self.line(cell, plan)
        };
        line.count(&ran.events, plan.swarm.routers, plan.swarm.shards);
        let packets = ran.packets;
        told.push_str(&format!(
            "\n{}\npackets: {} passed, {} cut, {} lost, {} duplicated, {} reordered, {} delayed\n\
             history: {} ({} events)",
            line.figures(),
            packets.passed,
            packets.cut,
            packets.lost,
            packets.duplicated,
            packets.reordered,
            packets.delayed,
            path.display(),
            ran.events.len()
        ));
        if let Some(page) = &judged.page {
            told.push_str(&format!("\npage: {}", page.display()));
        }
        // At once: another run may tell of itself beside it.
        say(&told);
        line.append(&self.folder.join(RESULTS))?;
        Ok(ended)
    }

    /// What its line of results says before it has run.
    pub(super) fn line(&self, cell: &Cell, plan: &Plan) -> Line {
        Line {
            seed: cell.seed,
            scenario: cell.scenario.clone(),
            families: words(&plan.swarm.families),
            seconds: self.seconds,
            ..Line::default()
        }
    }

    /// What is known of a run before it begins.
    fn facts(&self, cell: &Cell, plan: &Plan) -> RunFacts {
        RunFacts {
            name: cell.name(),
            world: "processes".to_owned(),
            seed: Some(cell.seed),
            replay: format!("target/release/jepsen {}", self.arguments(cell).join(" ")),
            drawn: sim::drawn(plan),
            settings: verdict::settings(plan, cell.required(plan)),
            shrunk: None,
        }
    }

    /// How another process is told of a run.
    pub(super) fn arguments(&self, cell: &Cell) -> Vec<String> {
        let mut arguments = vec!["process".to_owned()];
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        add("--seed", cell.seed.to_string());
        add("--seconds", self.seconds.to_string());
        if let Some(scenario) = &cell.scenario {
            add("--scenario", scenario.clone());
        }
        if !cell.families.is_empty() {
            add("--families", words(&cell.families).join(","));
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
