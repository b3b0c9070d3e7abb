//! The admin port: is it alive, is it ready, what does it count, and whatever else is mounted.
//!
//! `/livez` answers while the process runs. `/readyz` answers 200 once every check passes and 503 with
//! the failing ones otherwise; `/readyz?verbose` lists each with its parts. `/metrics` is Prometheus text.

mod health;
mod serve;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use orrery_host::{Host, Task};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

pub use health::{Health, Outcome};

use crate::limits::{ADMIN_BODY_BYTES_MAX, ADMIN_STOP_TIMEOUT};

/// What Prometheus asks for, word for word.
const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where the admin port is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdminConfig {
    /// Address of health, metrics and, in dev, the demo page. Default `127.0.0.1:3131`; port 0 takes a
    /// free one.
    pub listen: SocketAddr,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 3131)) }
    }
}

/// What the admin port shows.
#[derive(Default)]
pub struct Surface {
    /// What makes the process ready.
    pub health: Health,
    /// What it counts.
    pub metrics: Registry,
    /// Further routes.
    pub routes: Router,
}

/// Why the admin port could not open.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is taken, or not one of this machine.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A running admin port.
#[derive(Debug)]
pub struct Admin {
    address: SocketAddr,
    health: Health,
    stop: watch::Sender<bool>,
    server: Task,
}

/// Opens the admin port.
///
/// # Errors
/// [`AdminError::Listen`]; another address, or the same once it is free, may work.
pub async fn start(
    config: &AdminConfig,
    host: &Host,
    surface: Surface,
) -> Result<Admin, AdminError> {
    let listen_error = |source| AdminError::Listen { address: config.listen, source };
    let listener = host.net.listen(config.listen).await.map_err(listen_error)?;
    let address = listener.local_addr().map_err(listen_error)?;
    let health = surface.health.clone();
    let routes = routes(surface);
    let (stop, stopped) = watch::channel(false);
    let server = host.tasks.spawn("admin", serve::serve(listener, routes, stopped));
    Ok(Admin { address, health, stop, server })
}

impl Admin {
    /// The address it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes `/readyz` refuse from now on, so that nobody sends new work here.
    pub fn drain(&self) {
        self.health.drain();
    }

    /// Closes the port. Requests under way get a bounded time to end.
    pub async fn stop(self) {
        // No receiver means that the server has ended already.
        let _ = self.stop.send(true);
        // A server that does not end is cancelled when the time-out drops its task.
        let _ = tokio::time::timeout(ADMIN_STOP_TIMEOUT, self.server.join()).await;
    }
}

fn routes(surface: Surface) -> Router {
    let health = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(health::readyz))
        .with_state(surface.health);
    let metrics =
        Router::new().route("/metrics", get(metrics)).with_state(Arc::new(surface.metrics));
    health.merge(metrics).merge(surface.routes).layer(DefaultBodyLimit::max(ADMIN_BODY_BYTES_MAX))
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => ([(CONTENT_TYPE, METRICS_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
