//! `side-by-side`: two systems under the same loads in one table, with how many times one is the other.

mod comparison;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Parser;
use orrery_bench::clock::Clock;
use orrery_bench::machine::{self, Machine};
use orrery_bench::report::Report;

use crate::comparison::Comparison;

/// Compares reports of etcd and Orrery (JSON), one file a round, taken in turn.
#[derive(Debug, Parser)]
struct Options {
    /// Reports of etcd, one round after the other.
    #[arg(long, num_args = 1.., required = true)]
    etcd: Vec<PathBuf>,
    /// Reports of Orrery, as many.
    #[arg(long, num_args = 1.., required = true)]
    orrery: Vec<PathBuf>,
    /// Folder on the disk that was used; how long a sync takes there is measured.
    #[arg(long)]
    disk: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let etcd = read(&options.etcd)?;
    let orrery = read(&options.orrery)?;
    let sync = match &options.disk {
        Some(folder) => {
            let timed = machine::time_syncs(folder, Clock::start());
            Some(timed.with_context(|| format!("time syncs in {}", folder.display()))?)
        }
        None => None,
    };
    let machine = Machine { sync, ..Machine::look() };
    let comparison = Comparison::of(&etcd, &orrery)?;
    let mut out = io::stdout().lock();
    writeln!(out, "{machine}\nclients and servers share the machine\n\n{comparison}")?;
    Ok(())
}

/// The reports of one system: a file holds one or several, one after the other.
fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Report>> {
    let mut reports = Vec::new();
    for path in paths {
        reports.extend(read_one(path).with_context(|| format!("read {}", path.display()))?);
    }
    Ok(reports)
}

fn read_one(path: &Path) -> anyhow::Result<Vec<Report>> {
    let text = fs::read_to_string(path)?;
    let reports = serde_json::Deserializer::from_str(&text).into_iter();
    Ok(reports.collect::<Result<_, _>>()?)
}
