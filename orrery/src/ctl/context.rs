//! What a command works with: a client, a deadline, and the operator's name.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orrery_host::Host;
use orrery_model::cluster::Placement;
use orrery_model::control::ControlCommand;
use orrery_router_client::Config;
use orrery_router_client::cluster::{ClusterClient, ClusterError};
use tokio::time::{Instant, sleep};

use super::args::Shared;
use super::error::CtlError;
use super::fleet::Fleet;

/// How long one node may take to answer for itself. A healthy one takes milliseconds.
const NODE_TIMEOUT: Duration = Duration::from_secs(3);

/// Pause between two looks at something that is waited for.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// How long somebody who watches is left without a word.
const SILENCE_MAX: Duration = Duration::from_secs(3);

/// Longest that a single change may take before it is tried again.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// The surroundings of a command.
pub(super) struct Context {
    pub(super) routers: Vec<String>,
    pub(super) host: Host,
    pub(super) client: ClusterClient,
    /// When the command must be over.
    pub(super) deadline: Instant,
    /// Who gives it, for the audit line.
    pub(super) by: String,
    begun: Instant,
    /// Whether what is waited for was said, or is not to be.
    said: Arc<AtomicBool>,
}

impl Context {
    pub(super) fn new(shared: &Shared, host: Host) -> Self {
        let deadline = Instant::now() + Duration::from_secs(shared.timeout);
        let context = Self::of(&shared.routers, deadline, host);
        context.said.store(false, Ordering::Relaxed);
        context
    }

    /// One that says nothing while it waits.
    pub(super) fn of(routers: &[String], deadline: Instant, host: Host) -> Self {
        let (routers, client) = (routers.to_vec(), client_of(routers, &host));
        let (by, begun, said) = (operator(), Instant::now(), Arc::new(AtomicBool::new(true)));
        Self { routers, host, client, deadline, by, begun, said }
    }

    /// The same, for other nodes.
    pub(super) fn at(&self, routers: &[String]) -> Self {
        Self {
            begun: self.begun,
            said: self.said.clone(),
            ..Self::of(routers, self.deadline, self.host.clone())
        }
    }

    /// The same, knowing all nodes besides those that the operator named.
    pub(super) fn with_all(&self, fleet: &Fleet) -> Self {
        let mut routers = self.routers.clone();
        for node in &fleet.nodes {
            if !routers.contains(&node.node.registry) {
                routers.push(node.node.registry.clone());
            }
        }
        self.at(&routers)
    }

    /// Until when one node may answer for itself.
    pub(super) fn soon(&self) -> Instant {
        self.deadline.min(Instant::now() + NODE_TIMEOUT)
    }

    /// Changes the cluster. Each change that people make may be repeated, so an unknown outcome is.
    pub(super) async fn change(&self, command: &ControlCommand) -> Result<(), CtlError> {
        loop {
            let until = self.deadline.min(Instant::now() + CHANGE_TIMEOUT);
            match self.client.change(command, &self.by, until).await {
                Ok(_) => return Ok(()),
                Err(ClusterError::Unknown { .. } | ClusterError::Unreachable { .. })
                    if Instant::now() + LOOK_PAUSE < self.deadline =>
                {
                    sleep(LOOK_PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Places a shard; returns why that was not taken, where another look may help: it was made from a placement
    /// that is not the newest.
    pub(super) async fn place(&self, placement: Placement) -> Result<Option<String>, CtlError> {
        let until = self.deadline.min(Instant::now() + CHANGE_TIMEOUT);
        match self.client.change(&ControlCommand::Place(placement), &self.by, until).await {
            Ok(_) => Ok(None),
            Err(
                error @ (ClusterError::Refused { .. }
                | ClusterError::Unknown { .. }
                | ClusterError::Unreachable { .. }),
            ) => Ok(Some(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits before the next look. Says what for, once, when that takes long.
    ///
    /// # Errors
    /// [`CtlError::Late`] with what is still missing, when there is no time for another look.
    pub(super) async fn pause(&self, missing: impl Into<String>) -> Result<(), CtlError> {
        if Instant::now() + LOOK_PAUSE >= self.deadline {
            return Err(CtlError::Late(missing.into()));
        }
        if self.begun.elapsed() >= SILENCE_MAX && !self.said.swap(true, Ordering::Relaxed) {
            eprintln!("orrery: waiting: {}", missing.into());
        }
        sleep(LOOK_PAUSE).await;
        Ok(())
    }
}

fn client_of(routers: &[String], host: &Host) -> ClusterClient {
    let config = Config { nodes: routers.to_vec(), ..Config::default() };
    ClusterClient::new(&config, host.clone())
}

/// `user@host`, as far as the environment says.
fn operator() -> String {
    let user = ["USER", "LOGNAME"].into_iter().find_map(|name| env::var(name).ok());
    let host = env::var("HOSTNAME").ok().or_else(|| {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
        Some(name.trim().to_owned())
    });
    let unknown = || "unknown".to_owned();
    format!("{}@{}", user.unwrap_or_else(unknown), host.unwrap_or_else(unknown))
}
