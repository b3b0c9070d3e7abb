//! The configuration of a process: one section for each role and for what is around it.

mod check;
mod example;
mod exposure;
mod listens;

use std::io::Write;
use std::path::PathBuf;

use clap::ValueEnum;
use orrery_daemon::admin::AdminConfig;
use orrery_daemon::config::Layers;
use orrery_daemon::telemetry::TelemetryConfig;
use serde::{Deserialize, Serialize};

pub(crate) use check::{NO_TLS, check_role};
pub(crate) use exposure::refuse_exposure;
pub(crate) use listens::Part;

use crate::cli::{ConfigCommand, Sources};

/// The configuration of a process. A file may hold all sections: each role reads its own.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Accepts to listen beyond this machine although nothing proves who connects. Default false.
    pub(crate) insecure: bool,
    /// Health, metrics.
    pub(crate) admin: AdminConfig,
    /// Logs.
    pub(crate) telemetry: TelemetryConfig,
    /// The router's disk.
    pub(crate) store: StoreConfig,
    /// The registry.
    pub(crate) router: orrery_router::Config,
    /// The push API.
    pub(crate) logic: orrery_logic::Config,
    /// The devices' connections.
    pub(crate) comet: orrery_comet::Config,
}

/// Where a router node keeps its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StoreConfig {
    /// The data directory; made when it is not there. Default `./orrery-data`.
    pub(crate) path: PathBuf,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self { path: PathBuf::from("./orrery-data") }
    }
}

/// A role that a process can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// The registry.
    Router,
    /// The push API.
    Logic,
    /// The devices' connections.
    Comet,
}

impl Role {
    /// All of them, in the order in which they start.
    pub(crate) const ALL: [Self; 3] = [Self::Router, Self::Logic, Self::Comet];

    /// Its word, which is also its section.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Logic => "logic",
            Self::Comet => "comet",
        }
    }
}

/// Loads a configuration over `defaults`.
pub(crate) fn load(sources: &Sources, defaults: &Config) -> anyhow::Result<Config> {
    let mut layers = Layers::new().process_environment();
    if let Some(file) = &sources.config {
        layers = layers.file(file);
    }
    for (key, value) in &sources.set {
        layers = layers.flag("--set", key, value);
    }
    Ok(layers.load_over(defaults)?)
}

/// Runs `orrery config …`.
pub(crate) fn run(command: ConfigCommand) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match command {
        ConfigCommand::Check { file, role } => {
            for warning in check::check(&file, role)? {
                writeln!(std::io::stderr(), "orrery: warning: {warning}")?;
            }
            writeln!(out, "{} is good", file.display())?;
        }
        ConfigCommand::Example { role } => write!(out, "{}", example::text(role))?,
    }
    Ok(())
}
