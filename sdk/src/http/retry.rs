//! Retry: when events are asked for again after a failure, and for how long. Pure: it never looks at a clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::{Backoff, Pacing};
use crate::limits::{HTTP_FAILING_MAX, HTTP_FAILING_SHARE, HTTP_PAUSE, HTTP_PAUSE_MAX};

/// Failures in a row.
pub(super) struct Retry {
    backoff: Backoff,
    /// How long asking may fail.
    longest: Duration,
    /// The first failure since the last success.
    since: Option<Instant>,
}

impl Retry {
    /// None yet. A session's id is random, so that each pauses in its own way.
    pub(super) fn new(session: &str, silence_max: Duration) -> Self {
        let seed = session.bytes().fold(0_u64, |seed, byte| {
            // The FNV prime.
            (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let pacing = Pacing { base: HTTP_PAUSE, cap: HTTP_PAUSE_MAX };
        let longest = HTTP_FAILING_MAX.min(silence_max / HTTP_FAILING_SHARE);
        Self { backoff: Backoff::new(pacing, seed), longest, since: None }
    }

    /// Something was answered.
    pub(super) fn succeeded(&mut self) {
        self.since = None;
        self.backoff.reset();
    }

    /// Something was not; whether to ask again.
    pub(super) fn failed(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        now.saturating_duration_since(since) < self.longest
    }

    /// How long asking may fail.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// Something was answered, and from now on asking may fail for no longer than this.
    pub(super) fn shorten(&mut self, longest: Duration) {
        self.succeeded();
        self.longest = self.longest.min(longest);
    }

    /// The first failure since the last success.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The pause before the next request, where a comet asked for one no shorter than that.
    pub(super) fn pause(&mut self, hint: Option<Duration>) -> Duration {
        match self.since {
            None => Duration::ZERO,
            Some(_) => self.backoff.pause(hint.map(|hint| hint.min(self.longest))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_bounded_by_their_time_and_a_success_begins_anew() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        for (silence_max_s, longest_ms) in [(480, 60_000), (20, 10_000)] {
            let mut retry = Retry::new("S", Duration::from_secs(silence_max_s));
            assert_eq!(retry.pause(None), Duration::ZERO);
            assert!(retry.failed(at(0)) && retry.failed(at(longest_ms - 1)));
            assert!(!retry.failed(at(longest_ms)));
            retry.succeeded();
            assert_eq!(retry.pause(None), Duration::ZERO);
            assert!(retry.failed(at(longest_ms)));
        }
    }

    #[test]
    fn a_comet_may_ask_for_a_pause_and_for_no_longer_than_failures_last() {
        let mut retry = Retry::new("S", Duration::from_secs(480));
        retry.failed(Instant::now());
        for (hint_s, pause_s) in [(5, 5), (3600, 60)] {
            let pause = retry.pause(Some(Duration::from_secs(hint_s)));
            assert!((0.0..=1.0).contains(&(pause.as_secs_f64() - f64::from(pause_s))), "{pause:?}");
        }
    }

    #[test]
    fn sessions_pause_differently_and_never_for_long() {
        let pauses = |session| {
            let mut retry = Retry::new(session, Duration::from_secs(480));
            retry.failed(Instant::now());
            (0..20).map(|_| retry.pause(None)).collect::<Vec<_>>()
        };
        assert_ne!(pauses("3a0c3a51"), pauses("3a0c3a52"));
        assert!(pauses("3a0c3a51").iter().all(|pause| *pause <= HTTP_PAUSE_MAX));
    }
}
