//! Pace: spreads work over time at a given rate, in coarse steps.

use tokio::time::{Instant, sleep_until};

use crate::limits::PACE_STEP;

/// A rate that work keeps to. After a pause it does not catch up beyond one step.
#[derive(Debug)]
pub(crate) struct Pace {
    per_step: f64,
    /// How much may be done in the present step.
    allowance: f64,
    next_step: Instant,
}

impl Pace {
    pub(crate) fn per_second(rate: f64) -> Self {
        let per_step = rate * PACE_STEP.as_secs_f64();
        Self { per_step, allowance: per_step.max(1.0), next_step: Instant::now() + PACE_STEP }
    }

    /// Waits until one more piece of work is due.
    pub(crate) async fn ready(&mut self) {
        while self.allowance < 1.0 {
            sleep_until(self.next_step).await;
            // One late step is made up for; beyond that, bursts are what a pace avoids.
            self.next_step = (self.next_step + PACE_STEP).max(Instant::now());
            self.allowance += self.per_step;
        }
        self.allowance -= 1.0;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn time_for(rate: f64, pieces: u32) -> Duration {
        let began = Instant::now();
        let mut pace = Pace::per_second(rate);
        for _ in 0..pieces {
            pace.ready().await;
        }
        began.elapsed()
    }

    #[tokio::test]
    async fn work_is_never_faster_than_its_rate() {
        // Two steps of it are free: the first, and one late one that is made up for.
        let took = time_for(1000.0, 240).await;
        assert!(took >= Duration::from_millis(195), "{took:?}");
        let took = time_for(20.0, 5).await;
        assert!(took >= Duration::from_millis(175), "{took:?}");
    }
}
