//! `orrery bench`: loads a running system the way devices and backends do, or its registry the way logic
//! does (`registry`), and measures it. What it does is in the crate of the benchmarks.

mod registry;

use orrery_bench::edge::scenario::{broadcast, churn, idle, room, storm, unicast};
use orrery_bench::edge::{quick, separate_sends};

use crate::cli::BenchCommand;

/// Runs a benchmark.
///
/// # Errors
/// When the system cannot be started or reached. A bar that is missed is no error.
pub(crate) fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command {
        BenchCommand::Quick(options) => quick::run(&options),
        BenchCommand::Idle(options) => idle::run(&options),
        BenchCommand::Churn(options) => churn::run(&options),
        BenchCommand::Unicast(options) => unicast::run(&options),
        BenchCommand::Room(options) => room::run(&options),
        BenchCommand::Broadcast(options) => broadcast::run(&options),
        BenchCommand::Storm(options) => storm::run(&options),
        BenchCommand::Registry(options) => registry::run(&options),
        BenchCommand::SeparateSends => Ok(separate_sends::server::run()?),
    }
}
