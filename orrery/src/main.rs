//! The one binary: every role, everything in one process for development, and the tools around them.

mod bench;
mod cli;
mod config;
mod ctl;
mod demo;
mod descriptors;
mod dev;
mod error;
mod process;
mod role;
mod router_store;
mod service;
mod start;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Dev(options) => dev::run(options),
        Command::Router(options) => role::run(config::Role::Router, &options),
        Command::Comet(options) => role::run(config::Role::Comet, &options),
        Command::Logic(options) => role::run(config::Role::Logic, &options),
        Command::Config(command) => config::run(command),
        Command::Bench(command) => bench::run(command),
        Command::Version => cli::print_version(),
        // Scripts tell its endings apart by its exit codes.
        Command::Ctl(options) => return ctl::run(options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orrery: {}", error::one_line(&error));
            ExitCode::FAILURE
        }
    }
}
