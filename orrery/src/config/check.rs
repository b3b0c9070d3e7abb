//! `orrery config check`: whether a configuration is good, without starting anything.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, anyhow};
use orrery_daemon::config::Layers;
use orrery_daemon::telemetry;
use orrery_host::system::SystemClock;

use super::{Config, Role, refuse_exposure};

/// What is said first of a certificate that cannot be used.
pub(crate) const NO_TLS: &str =
    "cannot serve devices over TLS (keys comet.tls.certificates and comet.tls.keys)";

/// Checks a file as a role would read it; without one, as every role would. The certificates that it names are read
/// and checked too. Returns what a start would go on with though it should be looked at, one line each.
///
/// # Errors
/// What is wrong, with file, line and key.
pub(super) fn check(file: &Path, role: Option<Role>) -> anyhow::Result<Vec<String>> {
    let config: Config = Layers::new().file(file).load()?;
    telemetry::check(&config.telemetry)?;
    let roles = role.map_or(Role::ALL.to_vec(), |role| vec![role]);
    for role in &roles {
        refuse_exposure(&config, *role)?;
        check_role(&config, *role)?;
    }
    match roles.contains(&Role::Comet) {
        true => config.comet.tls.check_files(Arc::new(SystemClock)).context(NO_TLS),
        false => Ok(Vec::new()),
    }
}

/// Checks the values of a role's section among each other.
///
/// # Errors
/// The key that breaks a rule.
pub(crate) fn check_role(config: &Config, role: Role) -> anyhow::Result<()> {
    match role {
        Role::Router => config.router.check().map_err(|what| anyhow!("router.{what}")),
        Role::Logic => config.logic.check().map_err(|error| match error {
            orrery_logic::StartError::Config { key, what } => anyhow!("logic.{key}: {what}"),
            other => other.into(),
        }),
        Role::Comet => config.comet.check().map_err(|error| match error {
            orrery_comet::StartError::Config { key, what } => anyhow!("comet.{key}: {what}"),
            other => other.into(),
        }),
    }
}
