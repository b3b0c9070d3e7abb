//! Isolation: a comet that no logic has answered for two leases sends its devices elsewhere.

use std::sync::Arc;
use std::time::Duration;

use orrery_model::message::CloseReason;
use tokio::time::{Instant, sleep};

use super::Presence;
use crate::limits::GAP_MAX;
use crate::pace::Pace;

/// How often the silence of logic is looked at.
const PERIOD: Duration = Duration::from_millis(500);

/// Watches over the silence of logic.
pub(super) async fn run(presence: Arc<Presence>) {
    let mut silence = Silence::default();
    let mut looked_at = Instant::now();
    let mut alone = false;
    loop {
        sleep(PERIOD).await;
        let gap = looked_at.elapsed();
        looked_at = Instant::now();
        silence.grow(gap, presence.edge.silent_for());
        let Some(lease) = *presence.lease.lock() else { continue };
        if silence.0 < lease.duration * 2 {
            alone = false;
            continue;
        }
        if !std::mem::replace(&mut alone, true) {
            tracing::error!("no logic has answered for two leases; sending devices elsewhere");
        }
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

/// For how long this comet listened and logic said nothing. While the comet itself did not run it did not
/// listen: whatever logic said meanwhile is still to be read.
#[derive(Debug, Default, Clone, Copy)]
struct Silence(Duration);

impl Silence {
    /// Takes another look, so long after the one before; logic was last heard `silent_for` ago.
    fn grow(&mut self, gap: Duration, silent_for: Duration) {
        self.0 = silent_for.min(self.0 + gap.min(GAP_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_grows_with_time_and_ends_with_a_word() {
        let mut silence = Silence::default();
        for seconds in 1..=20 {
            silence.grow(SECOND, SECOND * seconds);
        }
        assert_eq!(silence.0, SECOND * 20);
        silence.grow(SECOND, SECOND / 4);
        assert_eq!(silence.0, SECOND / 4);
    }

    #[test]
    fn a_comet_that_stood_still_has_not_listened() {
        let mut silence = Silence::default();
        silence.grow(SECOND / 2, SECOND / 2);
        silence.grow(SECOND * 100, SECOND * 100);
        assert!(silence.0 <= GAP_MAX + SECOND / 2, "{silence:?}");
    }
}
