//! `orrery bench`: loads a running system the way devices and backends do (`quick`), or its registry the
//! way logic does (`registry`), and measures it.
//!
//! In `quick` the client reads its devices on threads of its own and pushes from another; the system under
//! load is another process. Latencies begin at the moment a push was *due*, not when the client got round
//! to it, so that a stall of either side is charged to every push that it delayed.

mod crowd;
mod device;
mod frames;
mod limits;
mod metronome;
mod parts;
mod pusher;
mod quick;
mod registry;
mod report;
mod stamp;
mod table;
mod target;
mod worker;

use crate::cli::BenchCommand;

/// Runs a benchmark.
///
/// # Errors
/// When the system cannot be started or reached. A bar that is missed is no error.
pub(crate) fn run(command: BenchCommand) -> anyhow::Result<()> {
    match command {
        BenchCommand::Quick(options) => quick::run(&options),
        BenchCommand::Registry(options) => registry::run(&options),
    }
}
