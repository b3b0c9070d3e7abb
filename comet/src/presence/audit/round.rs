//! Round: spreads the pages of a walk evenly over the audit's period.

use std::time::Duration;

use orrery_host::Random;

use crate::limits::{AUDIT_PAGES_MIN, AUDIT_PAUSE_MIN};

/// A walk's round. How many pages there are is known only at its end, so it is taken to be as long as the one
/// before, and hurried where it turns out longer.
#[derive(Debug)]
pub(super) struct Round {
    period: Duration,
    /// Pages of the round before.
    before: u32,
    done: u32,
}

impl Round {
    pub(super) fn new(period: Duration) -> Self {
        Self { period, before: 0, done: 0 }
    }

    /// How long to wait before the next page of a round that has at least so many.
    pub(super) fn pause(&self, least: u64, random: &dyn Random) -> Duration {
        let even = self.period / self.pages(least);
        let jitter = random.below(u64::try_from(even.as_micros()).unwrap_or(u64::MAX));
        // Around the even pause, so that comets that began together do not ask together.
        (even / 2 + Duration::from_micros(jitter)).max(AUDIT_PAUSE_MIN)
    }

    /// A page is done.
    pub(super) fn advance(&mut self) {
        self.done = self.done.saturating_add(1);
    }

    /// The next page is the first one again.
    pub(super) fn begin_anew(&mut self) {
        self.before = self.done;
        self.done = 0;
    }

    fn pages(&self, least: u64) -> u32 {
        let least = u32::try_from(least).unwrap_or(u32::MAX);
        let expected = self.before.max(least).max(AUDIT_PAGES_MIN);
        if self.done < expected { expected } else { self.done.saturating_mul(2) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws nothing but this number.
    struct Drawn(u64);

    impl Random for Drawn {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.0.to_le_bytes()[..bytes.len()]);
        }
    }

    const PERIOD: Duration = Duration::from_secs(600);

    /// How long a round of so many pages takes, with the least jitter and half of what is possible.
    fn takes(round: &mut Round, pages: u32, least: u64) -> Duration {
        let mut took = Duration::ZERO;
        for _ in 0..pages {
            took += round.pause(least, &Drawn(0)) * 2;
            round.advance();
        }
        round.begin_anew();
        took
    }

    #[test]
    fn a_round_takes_its_period_once_its_length_is_known() {
        let mut round = Round::new(PERIOD);
        assert!(takes(&mut round, 1000, 1000).abs_diff(PERIOD) < Duration::from_secs(1));
        assert!(takes(&mut round, 1000, 10).abs_diff(PERIOD) < Duration::from_secs(1));
    }

    #[test]
    fn a_round_that_turns_out_longer_is_hurried() {
        let mut round = Round::new(PERIOD);
        let first = takes(&mut round, 2000, 20);
        assert!(first > PERIOD && first < PERIOD * 4, "{first:?}");
        assert!(takes(&mut round, 2000, 20).abs_diff(PERIOD) < Duration::from_secs(1));
    }

    #[test]
    fn pauses_vary_around_an_even_one_and_are_never_nothing() {
        let round = Round::new(PERIOD);
        let even = PERIOD / 100;
        assert_eq!(round.pause(100, &Drawn(0)), even / 2);
        let longest = even.as_micros() as u64 - 1;
        assert_eq!(round.pause(100, &Drawn(longest)), even * 3 / 2 - Duration::from_micros(1));
        assert_eq!(Round::new(Duration::ZERO).pause(100, &Drawn(7)), AUDIT_PAUSE_MIN);
    }
}
