//! The one binary: every role, everything in one process for development, and the tools around them.

mod bench;
mod cli;
mod config;
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
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("orrery: {}", error::one_line(&error));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Dev(options) => dev::run(options),
        Command::Router(options) => role::run(config::Role::Router, &options),
        Command::Comet(options) => role::run(config::Role::Comet, &options),
        Command::Logic(options) => role::run(config::Role::Logic, &options),
        Command::Config(command) => config::run(command),
        Command::Bench(command) => bench::run(command),
        Command::Version => cli::print_version(),
    }
}
