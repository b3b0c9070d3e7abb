//! Rebind: after the comet was given a new incarnation, has its living connections bind again.

use std::sync::Arc;

use orrery_model::Conn;

use super::Presence;
use crate::pace::Pace;

/// Tells each living connection to bind again, at the pace the cluster asked for. Their rooms are
/// being listed already; each connection waits for its own.
pub(super) async fn run(presence: Arc<Presence>, living: Vec<Conn>, per_second: u32) {
    tracing::info!(connections = living.len(), per_second, "binding living connections again");
    let mut pace = Pace::per_second(f64::from(per_second));
    for conn in living {
        pace.ready().await;
        presence.workers.rebind(conn).await;
    }
}
