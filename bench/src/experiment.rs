//! Experiment: something happens to router processes on this machine, and what came of it is printed.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use orrery_daemon::shutdown::Signals;
use orrery_host::Host;
use serde::Serialize;
use serde_json::json;

use crate::clock::Clock;
use crate::closed_loop;
use crate::cluster::Cluster;
use crate::machine::{self, Machine};

/// After all options but `--help`.
const LAST: usize = 998;

/// The options that all experiments have.
#[derive(Debug, Args)]
pub struct Site {
    /// The `orrery` binary.
    #[arg(long, default_value = "target/release/orrery")]
    pub binary: PathBuf,
    /// Folder for the data; its disk is part of what is measured.
    #[arg(long, default_value = ".")]
    pub data: PathBuf,
    /// Router processes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=9))]
    pub nodes: u8,
    /// Data shards.
    #[arg(long, default_value_t = 16)]
    pub shards: u32,
    /// Prints JSON instead of a table.
    #[arg(long, display_order = LAST)]
    pub json: bool,
}

impl Site {
    /// Starts the router processes with their data below a folder, as one cluster. See [`Cluster::start`].
    ///
    /// # Errors
    /// When they do not become one in time.
    pub async fn start(
        &self,
        host: &Host,
        folder: &Path,
        settings: &str,
    ) -> anyhow::Result<Cluster> {
        let nodes = usize::from(self.nodes);
        Cluster::start(host, &self.binary, folder, nodes, self.shards, settings).await
    }
}

/// What came of an experiment.
pub trait Outcome: fmt::Display + Serialize {
    /// What it is called in JSON.
    const KEY: &'static str;

    /// Whether every promise was kept. A bar that is missed is a figure, and breaks none.
    fn is_good(&self) -> bool;
}

/// Carries an experiment out in a folder of its own and prints what came of it, below the machine, the size
/// of the cluster and `load` in words. The folder stays if a promise was broken.
///
/// # Errors
/// When the experiment fails, or a signal ends it.
pub fn run<O: Outcome>(
    name: &str,
    site: &Site,
    load: &str,
    experiment: impl AsyncFnOnce(Clock, &Path) -> anyhow::Result<O>,
) -> anyhow::Result<ExitCode> {
    let runtime = closed_loop::runtime()?;
    let (machine, outcome) = runtime.block_on(async {
        // Whatever ends this, the routers end with it.
        let mut signals = Signals::catch()?;
        tokio::select! {
            outcome = carry_out(name, site, experiment) => outcome,
            signal = signals.next() => bail!("ended by {signal}"),
        }
    })?;
    let mut out = std::io::stdout().lock();
    if site.json {
        writeln!(out, "{:#}", json!({ "machine": machine, (O::KEY): outcome }))?;
    } else {
        let Site { nodes, shards, .. } = site;
        write!(out, "{machine}\n{nodes} routers, {shards} shards, {load}\n\n{outcome}")?;
    }
    Ok(if outcome.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn carry_out<O: Outcome>(
    name: &str,
    site: &Site,
    experiment: impl AsyncFnOnce(Clock, &Path) -> anyhow::Result<O>,
) -> anyhow::Result<(Machine, O)> {
    let clock = Clock::start();
    let folder = tempfile::Builder::new().prefix(&format!("orrery-{name}-")).tempdir_in(&site.data);
    let folder = folder.with_context(|| format!("use {}", site.data.display()))?;
    let sync = machine::time_syncs(folder.path(), clock).context("time syncs")?;
    let machine = Machine { sync: Some(sync), ..Machine::look() };
    match experiment(clock, folder.path()).await {
        Ok(outcome) if outcome.is_good() => Ok((machine, outcome)),
        outcome => {
            say(name, format_args!("logs and data stay in {}", folder.keep().display()));
            Ok((machine, outcome?))
        }
    }
}

/// Tells whoever watches where the experiment is.
pub fn say(name: &str, what: impl fmt::Display) {
    eprintln!("{name}: {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Came {
        good: bool,
    }

    impl fmt::Display for Came {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            writeln!(f, "good: {}", self.good)
        }
    }

    impl Outcome for Came {
        const KEY: &'static str = "came";

        fn is_good(&self) -> bool {
            self.good
        }
    }

    /// Folders that an experiment leaves behind, and the code it exits with; none where it fails.
    fn left(result: anyhow::Result<Came>) -> (usize, Option<String>) {
        let data = tempfile::tempdir().unwrap();
        let site = Site {
            binary: PathBuf::new(),
            data: data.path().to_owned(),
            nodes: 3,
            shards: 1,
            json: false,
        };
        let code = run("test", &site, "no load", async |_, folder| {
            assert!(folder.is_dir());
            result
        });
        let left = data.path().read_dir().unwrap().count();
        (left, code.ok().map(|code| format!("{code:?}")))
    }

    #[test]
    fn data_stays_where_a_promise_was_broken_or_nobody_knows() {
        let words = |code: ExitCode| Some(format!("{code:?}"));
        assert_eq!(left(Ok(Came { good: true })), (0, words(ExitCode::SUCCESS)));
        assert_eq!(left(Ok(Came { good: false })), (1, words(ExitCode::FAILURE)));
        assert_eq!(left(Err(anyhow::anyhow!("the disk is gone"))), (1, None));
    }
}
