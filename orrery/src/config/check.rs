//! `orrery config check`: whether a configuration is good, without starting anything.

use std::path::Path;

use anyhow::anyhow;
use orrery_daemon::config::Layers;
use orrery_daemon::telemetry;

use super::{Config, Role, refuse_exposure};

/// Checks a file as a role would read it; without one, as every role would.
///
/// # Errors
/// What is wrong, with file, line and key.
pub(super) fn check(file: &Path, role: Option<Role>) -> anyhow::Result<()> {
    let config: Config = Layers::new().file(file).load()?;
    telemetry::check(&config.telemetry)?;
    let roles = role.map_or(Role::ALL.to_vec(), |role| vec![role]);
    roles.into_iter().try_for_each(|role| {
        refuse_exposure(&config, role)?;
        check_role(&config, role)
    })
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
