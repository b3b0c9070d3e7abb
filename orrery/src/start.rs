//! Starts each service where it belongs, and says what is wrong in terms of the configuration.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use orrery_daemon::runtimes::Runtimes;
use orrery_host::Host;
use orrery_host::system::SystemTasks;

use crate::config::{Config, NO_TLS, Part, Role};
use crate::process::port_context;
use crate::router_store;
use crate::service::Running;

/// Starts a router node, on Raft's own runtime: its tasks, its sockets and its calls all run there.
///
/// # Errors
/// When the data directory or a port cannot be had.
pub(crate) async fn router(
    config: &Config,
    runtimes: &Runtimes,
) -> anyhow::Result<Running<orrery_router::Handle>> {
    let raft = runtimes.raft().clone();
    let host = Host { tasks: Arc::new(SystemTasks::on(raft.clone())), ..Host::system() };
    let start = {
        let config = config.clone();
        async move {
            let disk = Arc::new(router_store::disk(&config, &host));
            let started = orrery_router::start(config.router.clone(), host, disk).await;
            started.map_err(|error| {
                use orrery_router::StartError;
                let path = config.store.path.display();
                let context = match &error {
                    StartError::Listen { address, .. } => taken(&config, Role::Router, *address),
                    StartError::OtherNode { .. } | StartError::OtherShards { .. } => {
                        format!("router (data directory {path})")
                    }
                    StartError::Disk(_) | StartError::Plan(_) => {
                        format!("cannot use the data directory {path} (key store.path)")
                    }
                    StartError::Config(_) => Role::Router.word().to_owned(),
                };
                anyhow::Error::new(error).context(context)
            })
        }
    };
    let handle = raft.spawn(start).await.context("the router's start ended in the middle")??;
    Ok(Running::new(handle))
}

/// Starts a logic.
///
/// # Errors
/// When a port cannot be had.
pub(crate) async fn logic(
    config: &Config,
    host: &Host,
) -> anyhow::Result<Running<orrery_logic::Handle>> {
    let started = orrery_logic::start(config.logic.clone(), host.clone()).await;
    let handle = started.map_err(|error| {
        let context = match &error {
            orrery_logic::StartError::Listen { address, .. } => {
                taken(config, Role::Logic, *address)
            }
            _ => Role::Logic.word().to_owned(),
        };
        anyhow::Error::new(error).context(context)
    })?;
    Ok(Running::new(handle))
}

/// Starts a comet.
///
/// # Errors
/// When a port cannot be had, or a certificate cannot be used.
pub(crate) async fn comet(
    config: &Config,
    host: &Host,
) -> anyhow::Result<Running<orrery_comet::Handle>> {
    let started = orrery_comet::start(config.comet.clone(), host.clone()).await;
    let handle = started.map_err(|error| {
        let context = match &error {
            orrery_comet::StartError::Listen { address, .. } => {
                taken(config, Role::Comet, *address)
            }
            orrery_comet::StartError::Certificates(_) => NO_TLS.to_owned(),
            _ => Role::Comet.word().to_owned(),
        };
        anyhow::Error::new(error).context(context)
    })?;
    Ok(Running::new(handle))
}

fn taken(config: &Config, role: Role, address: SocketAddr) -> String {
    port_context(config, Part::Role(role), address)
}
