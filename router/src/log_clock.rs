//! Log clock: the stamps a leader writes into its entries. Elapsed time, never wall time: it goes on
//! from the largest stamp applied, by the leader's monotonic clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::CLOCK_GAP_MAX;

/// A shard's elapsed time as its leader counts it. Call [`LogClock::elapsed_ms`] at least once every
/// [`crate::limits::CLOCK_TICK`]: a longer gap counts for at most [`CLOCK_GAP_MAX`].
#[derive(Debug, Default)]
pub(crate) struct LogClock(Option<Leading>);

#[derive(Debug)]
struct Leading {
    term: u64,
    at: Instant,
    elapsed: Duration,
}

impl LogClock {
    /// The elapsed time now, in milliseconds, for a node that leads in `term` (or does not) and has
    /// applied stamps up to `applied_ms`. Never goes back within a term.
    pub(crate) fn elapsed_ms(&mut self, now: Instant, term: Option<u64>, applied_ms: u64) -> u64 {
        let applied = Duration::from_millis(applied_ms);
        let Some(term) = term else {
            self.0 = None;
            return applied_ms;
        };
        let elapsed = match &self.0 {
            Some(leading) if leading.term == term => {
                let gap = now.saturating_duration_since(leading.at).min(CLOCK_GAP_MAX);
                (leading.elapsed + gap).max(applied)
            }
            _ => applied,
        };
        self.0 = Some(Leading { term, at: now, elapsed });
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_leader_goes_on_from_the_largest_applied_stamp() {
        let mut clock = LogClock::default();
        let start = Instant::now();
        assert_eq!(clock.elapsed_ms(start, Some(1), 5_000), 5_000);
        assert_eq!(clock.elapsed_ms(start + Duration::from_millis(300), Some(1), 5_000), 5_300);
        assert_eq!(clock.elapsed_ms(start + Duration::from_millis(900), None, 5_300), 5_300);
        assert_eq!(clock.elapsed_ms(start + Duration::from_millis(950), Some(3), 5_300), 5_300);
        assert_eq!(clock.elapsed_ms(start + Duration::from_millis(960), Some(3), 5_300), 5_310);
    }

    #[test]
    fn a_pause_counts_for_at_most_a_second() {
        let mut clock = LogClock::default();
        let start = Instant::now();
        clock.elapsed_ms(start, Some(1), 0);
        assert_eq!(clock.elapsed_ms(start + Duration::from_secs(3600), Some(1), 0), 1_000);
    }

    #[test]
    fn what_was_applied_is_never_undercut() {
        let mut clock = LogClock::default();
        let start = Instant::now();
        clock.elapsed_ms(start, Some(1), 0);
        assert_eq!(clock.elapsed_ms(start, Some(1), 7_000), 7_000);
        assert_eq!(clock.elapsed_ms(start, Some(1), 0), 7_000);
    }
}
