//! Isolation: a comet that no logic has answered for two leases sends its devices elsewhere.

use std::sync::Arc;
use std::time::Duration;

use orrery_model::message::CloseReason;
use tokio::time::sleep;

use super::Presence;
use crate::pace::Pace;

/// How often the silence of logic is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// Watches over the silence of logic.
pub(super) async fn run(presence: Arc<Presence>) {
    loop {
        sleep(PERIOD).await;
        let Some(lease) = *presence.lease.lock() else { continue };
        if presence.edge.silent_for() < lease.duration * 2 {
            continue;
        }
        tracing::error!("no logic has answered for two leases; sending devices elsewhere");
        let mut pace = Pace::per_second(f64::from(lease.rebind_per_second));
        while presence.edge.silent_for() >= lease.duration * 2 {
            pace.ready().await;
            if !presence.workers.close_one(CloseReason::Drain).await {
                // Nobody is left; look again as often as before.
                break;
            }
        }
    }
}
