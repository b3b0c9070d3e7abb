//! A process around its services: what it shows on the admin port, how it waits, how it ends.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use axum::Router;
use orrery_daemon::admin::{self, Admin, AdminError, Health, Surface};
use orrery_daemon::shutdown::{self, Signals, Step};
use orrery_host::Host;
use prometheus_client::registry::Registry;

use crate::config::{Config, Part};
use crate::service::{Running, Service};

/// How long the admin port may take to close, beyond its own bound.
const ADMIN_STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// What is gathered while services start.
#[derive(Default)]
pub(crate) struct Process {
    health: Health,
    metrics: Registry,
}

impl Process {
    /// Shows a service's readiness and metrics.
    pub(crate) fn show<S: Service>(&mut self, service: &Running<S>) {
        service.show(&mut self.metrics);
        self.health = service.check(std::mem::take(&mut self.health));
    }

    /// Opens the admin port.
    pub(crate) async fn open(
        self,
        config: &Config,
        host: &Host,
        routes: Router,
    ) -> anyhow::Result<Admin> {
        let Self { health, metrics } = self;
        let opened = admin::start(&config.admin, host, Surface { health, metrics, routes }).await;
        opened.map_err(|error| {
            let AdminError::Listen { address, .. } = &error;
            let context = port_context(config, Part::Admin, *address);
            anyhow::Error::new(error).context(context)
        })
    }
}

/// What hurries the end of a process.
pub(crate) type Hurry = Box<dyn FnOnce() + Send>;

/// Ends the process in order: not ready any more, then the steps, the admin port last. Told again to end it hurries,
/// where it can, and ends at once where it cannot, or is told once more.
///
/// # Errors
/// When a part did not end in time.
pub(crate) async fn end(
    signals: &mut Signals,
    admin: Option<Admin>,
    steps: Vec<Step>,
    hurry: Option<Hurry>,
) -> anyhow::Result<()> {
    if let Some(admin) = &admin {
        admin.drain();
    }
    let admin = admin.map(|admin| {
        Step::new(Part::Admin.word(), ADMIN_STEP_TIMEOUT, async { admin.stop().await })
    });
    let steps = steps.into_iter().chain(admin).collect();
    let late = signals.or_exit(shutdown::in_order(steps), hurry).await;
    if !late.is_empty() {
        bail!("did not stop in time: {}", late.join(", "));
    }
    Ok(())
}

/// Says which role, port and key a listener's trouble is about.
pub(crate) fn port_context(config: &Config, part: Part, address: SocketAddr) -> String {
    format!("{}: port {} (key {})", part.word(), address.port(), config.key_of(part, address))
}

/// Waits until a service is ready.
///
/// # Errors
/// When it ends by itself, or is not ready in time; with its own reason.
pub(crate) async fn wait_ready<S: Service>(
    service: &Running<S>,
    within: Duration,
) -> anyhow::Result<()> {
    /// How often a starting service is looked at: a start takes some tens of these.
    const LOOK: Duration = Duration::from_millis(5);

    let role = S::ROLE.word();
    let ready = async {
        while service.ready().is_err() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::select! {
        reason = service.ended() => bail!("{role} ended while starting: {reason}"),
        ready = tokio::time::timeout(within, ready) => ready.with_context(|| {
            let reason = service.ready().err().unwrap_or_default();
            format!("{role} was not ready within {within:?}: {reason}")
        }),
    }
}
