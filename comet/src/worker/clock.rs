//! Clock: a worker's own milliseconds. They stand still while the worker does.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::GAP_MAX;

/// A worker's clock. Between two looks at it at most [`GAP_MAX`] passes: a worker that did not run for longer
/// has not heard its devices, so the time counts against none of them.
pub(super) struct Clock {
    /// What had passed at the last look.
    passed: Cell<Duration>,
    looked_at: Cell<Instant>,
}

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self { passed: Cell::default(), looked_at: Cell::new(now) }
    }

    /// What it says.
    pub(super) fn read(&self, now: Instant) -> Duration {
        self.passed.get() + now.saturating_duration_since(self.looked_at.get()).min(GAP_MAX)
    }

    /// Looks at it, which has to happen often; tells what has passed since the last look.
    pub(super) fn look(&self, now: Instant) -> Duration {
        let gap = now.saturating_duration_since(self.looked_at.replace(now)).min(GAP_MAX);
        self.passed.set(self.passed.get() + gap);
        gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_while_it_is_looked_at_and_stands_still_else() {
        let mut now = Instant::now();
        let clock = Clock::new(now);
        for _ in 0..50 {
            now += GAP_MAX / 10;
            assert_eq!(clock.look(now), GAP_MAX / 10);
        }
        assert_eq!(clock.read(now), GAP_MAX * 5);
        now += GAP_MAX * 100;
        assert_eq!(clock.read(now), GAP_MAX * 6);
        assert_eq!(clock.look(now), GAP_MAX);
        assert_eq!(clock.read(now), GAP_MAX * 6, "a look changes nothing");
    }
}
