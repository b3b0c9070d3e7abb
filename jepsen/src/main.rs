//! The harness's command line.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jepsen::command::{bars, check, doctor, kill, mutate, process, report, shrink, sim, sum};
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
    /// Runs real binaries on this machine, breaks it under them, and judges what everybody saw.
    Process(process::Process),
    /// Adds up what many such runs gave.
    Bars(bars::Bars),
    /// Says what this machine can do, and what of it will be used.
    Doctor(doctor::Doctor),
    /// Kills a real router with SIGKILL under load, again and again, and checks what it remembers.
    Kill(kill::Kill),
    /// Turns seeded bugs on, one after the other, and sees whether each is found.
    Mutate(mutate::Mutate),
    /// Makes the plan of a seed that fails as small as it goes.
    Shrink(shrink::Shrink),
    /// Sums up the lines of `sim --json`.
    Sum(sum::Sum),
    /// Judges a history again.
    Check(check::Check),
    /// Draws a run's page from its history.
    Report(report::Report),
    /// Tells a history in a form that other people's checkers read.
    Export(check::Export),
}

fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Sim(sim) => sim.run(),
        Command::Process(process) => process.run(),
        Command::Bars(bars) => bars.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Kill(kill) => kill.run(),
        Command::Mutate(mutate) => mutate.run(),
        Command::Shrink(shrink) => shrink.run(),
        Command::Sum(sum) => sum.run(),
        Command::Check(check) => check.run(),
        Command::Report(report) => report.run(),
        Command::Export(export) => export.run(),
    };
    let ending = ended.unwrap_or_else(|error| {
        complain(&format!("jepsen: {error:#}"));
        Ending::Harness
    });
    ExitCode::from(ending.code())
}

fn complain(line: &str) {
    // Whoever closed it does not want to hear it, and the exit code says what it says.
    let _ = writeln!(std::io::stderr(), "{line}");
}
