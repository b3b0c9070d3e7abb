//! The harness's command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jepsen::command::{check, kill, sim};
use jepsen::verdict::Ending;

/// Breaks Orrery on purpose and proves that nothing was lost.
#[derive(Parser)]
#[command(name = "jepsen", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Simulates a whole cluster from a seed, breaks it, and judges what everybody saw.
    Sim(sim::Sim),
    /// Kills a real router with SIGKILL under load, again and again, and checks what it remembers.
    Kill(kill::Kill),
    /// Judges a history again.
    Check(check::Check),
    /// Tells a history in a form that other people's checkers read.
    Export(check::Export),
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Sim(sim) => sim.run(),
        Command::Kill(kill) => kill.run(),
        Command::Check(check) => check.run(),
        Command::Export(export) => export.run(),
    };
    let ending = ended.unwrap_or_else(|error| {
        complain(&format!("jepsen: {error:#}"));
        Ending::Harness
    });
    ExitCode::from(ending.code())
}

#[expect(clippy::print_stderr, reason = "this is where a person looks")]
fn complain(line: &str) {
    eprintln!("{line}");
}
