//! The command line.

use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use orrery_bench::edge::quick::QuickOptions;
use orrery_bench::edge::scenario::broadcast::BroadcastOptions;
use orrery_bench::edge::scenario::churn::ChurnOptions;
use orrery_bench::edge::scenario::idle::IdleOptions;
use orrery_bench::edge::scenario::room::RoomOptions;
use orrery_bench::edge::scenario::storm::StormOptions;
use orrery_bench::edge::scenario::unicast::UnicastOptions;

use crate::config::Role;
use crate::ctl::CtlOptions;

/// A push router: backends say whom a message is for, Orrery knows where they are.
#[derive(Debug, Parser)]
#[command(name = "orrery", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs router, logic and comet in one process, open to every device of this machine.
    Dev(DevOptions),
    /// Runs a router node: the registry of where everybody is.
    Router(RoleOptions),
    /// Runs a comet: holds the devices' connections.
    Comet(RoleOptions),
    /// Runs a logic: the push API.
    Logic(RoleOptions),
    /// Operates a cluster of router nodes.
    Ctl(CtlOptions),
    /// Checks and explains configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Measures.
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Prints the version.
    Version,
}

/// Where a configuration comes from, besides `ORRERY_SECTION__KEY` variables.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Sources {
    /// Configuration file (TOML); `orrery config example` prints one.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Sets one key over file and environment.
    #[arg(long = "set", value_name = "SECTION.KEY=VALUE", value_parser = key_value)]
    pub(crate) set: Vec<(String, String)>,
}

#[derive(Debug, Args)]
pub(crate) struct RoleOptions {
    #[command(flatten)]
    pub(crate) sources: Sources,
}

#[derive(Debug, Args)]
pub(crate) struct DevOptions {
    /// Folder of the data; made when it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Router nodes: with more than one they form a cluster, and two logics and two comets run beside it.
    /// Instance n listens on ports 100 x n higher; the admin port stays one.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=7))]
    pub(crate) nodes: u16,
    /// Data shards; fixed once the data is there. Default 4.
    #[arg(long)]
    pub(crate) shards: Option<u32>,
    /// IP address that everything listens on. There is no authentication in dev: anything but a
    /// loopback address lets strangers in.
    #[arg(long, value_name = "IP")]
    pub(crate) listen: Option<IpAddr>,
    /// Added to every port, so that several can run on one machine.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "any_ports")]
    pub(crate) port_offset: u16,
    /// Takes free ports instead of the usual ones, except where one is configured.
    #[arg(long)]
    pub(crate) any_ports: bool,
    /// Prints one line of JSON with the addresses instead of the table.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) sources: Sources,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Says whether a configuration is good, and what is wrong otherwise. The certificates that it names are checked too.
    Check {
        /// The file.
        file: PathBuf,
        /// Only what this role would read and refuse.
        #[arg(long)]
        role: Option<Role>,
    },
    /// Prints every key with its default and what it means.
    Example {
        /// Only what this role reads.
        role: Option<Role>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// A minute's look at what this machine can do.
    Quick(QuickOptions),
    /// A comet's memory for each connection that does nothing.
    Idle(IdleOptions),
    /// Devices that come at a rate and go at once: how many a second get in, and how soon.
    Churn(ChurnOptions),
    /// Pushes to one user after the other, at a rate.
    Unicast(UnicastOptions),
    /// Pushes to a room, at a rate, each for every member.
    Room(RoomOptions),
    /// Pushes to everybody, at a rate.
    Broadcast(BroadcastOptions),
    /// Everybody is cut at once: how soon they are back.
    Storm(StormOptions),
    /// Binds and look-ups a second, against router nodes that run.
    Registry(RegistryOptions),
    /// The bare loop that `room --separate-sends-baseline` compares with.
    #[command(hide = true)]
    SeparateSends,
}

#[derive(Debug, Args)]
pub(crate) struct RegistryOptions {
    /// Registry addresses of some router nodes; the others are learned from them.
    #[arg(long, value_name = "HOST:PORT,…", value_delimiter = ',', required = true)]
    pub(crate) routers: Vec<String>,
    /// Callers that each wait for their answer, one number after the other.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_values_t = [1, 64, 1024])]
    pub(crate) callers: Vec<usize>,
    /// Seconds of each load.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    pub(crate) seconds: u64,
    /// Processes of the router nodes, if they run here: shows what they take.
    #[arg(long, value_name = "PID,…", value_delimiter = ',')]
    pub(crate) server_pids: Vec<u32>,
    /// Prints JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Prints the version.
pub(crate) fn print_version() -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "orrery {}", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}

fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected SECTION.KEY=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn command_line_has_no_contradictions() {
        super::Cli::command().debug_assert();
    }
}
