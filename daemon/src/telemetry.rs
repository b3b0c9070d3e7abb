//! Logs: what a process says on its standard error, for people or as JSON.
//!
//! `ORRERY_LOG` overrides the configured filter, as in `ORRERY_LOG=info,orrery_comet=debug`.

use std::io::{self, IsTerminal};

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The variable that overrides the configured filter.
pub const FILTER_VARIABLE: &str = "ORRERY_LOG";

/// How a process logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetryConfig {
    /// Shape of the log lines. Default `human`.
    pub format: Format,
    /// What is logged: a level, or levels by module, as in `info,orrery_comet=debug`. Default `info`
    /// with libraries at `warn`, which are otherwise talkative about every connection, and openraft at
    /// `error`: it warns of every message that a change of leader or an end has overtaken.
    pub filter: String,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            format: Format::Human,
            filter: "info,openraft=error,raft_engine=warn,sled=warn,h2=warn,hyper=warn".to_owned(),
        }
    }
}

/// Shape of the log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people; coloured on a terminal.
    Human,
    /// One JSON object a line, for collectors.
    Json,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not one.
    #[error("{source_name}: {detail}")]
    Filter {
        /// Key or variable that holds it.
        source_name: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// This process logs already.
    #[error("logging was already set up")]
    Twice,
}

/// Begins to log, for the whole process and until its end.
///
/// # Errors
/// [`TelemetryError`] when the filter cannot be understood, or when called twice.
pub fn start(config: &TelemetryConfig) -> Result<(), TelemetryError> {
    let filter = filter(config, std::env::var(FILTER_VARIABLE).ok())?;
    let registry = tracing_subscriber::registry().with(filter);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let started = match config.format {
        Format::Human => registry.with(lines.with_ansi(io::stderr().is_terminal())).try_init(),
        Format::Json => registry.with(lines.json().flatten_event(true)).try_init(),
    };
    started.map_err(|_| TelemetryError::Twice)
}

/// Says whether a process could begin to log like this.
///
/// # Errors
/// [`TelemetryError::Filter`].
pub fn check(config: &TelemetryConfig) -> Result<(), TelemetryError> {
    filter(config, None).map(drop)
}

fn filter(config: &TelemetryConfig, variable: Option<String>) -> Result<EnvFilter, TelemetryError> {
    let (source_name, text) = match &variable {
        Some(text) => (FILTER_VARIABLE, text),
        None => ("telemetry.filter", &config.filter),
    };
    EnvFilter::try_new(text)
        .map_err(|error| TelemetryError::Filter { source_name, detail: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_overrides_configured_filter() {
        let config = TelemetryConfig::default();
        let chosen = filter(&config, Some("trace".to_owned())).unwrap();
        assert_eq!(chosen.to_string(), "trace");
        assert!(filter(&config, None).unwrap().to_string().contains("openraft=error"));
    }

    #[test]
    fn bad_filter_is_named_by_its_source() {
        let config = TelemetryConfig { filter: "info,=".to_owned(), ..Default::default() };
        let error = filter(&config, None).unwrap_err();
        assert!(error.to_string().starts_with("telemetry.filter: "), "{error}");
        let error = filter(&config, Some("orrery=loud".to_owned())).unwrap_err();
        assert!(error.to_string().starts_with("ORRERY_LOG: "), "{error}");
    }
}
