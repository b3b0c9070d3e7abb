//! Heard: when a leader of a shard last proved that it leads, and whether it has done so steadily.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{LEADER_SILENCE_ELECTIONS_MAX, LEADER_STEADY_ELECTIONS};

/// Which silences of a leader mean something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silences {
    /// A longer one says that nobody leads.
    pub(super) longest: Duration,
    /// After such a one a leader must have been heard for longer than this: one that has lost its quorum still
    /// speaks up now and then, to find out whether it is back.
    pub(super) steady: Duration,
}

impl Silences {
    /// Where an election begins after at most `election`.
    pub(super) fn of(election: Duration) -> Self {
        Self {
            longest: election * LEADER_SILENCE_ELECTIONS_MAX,
            steady: election * LEADER_STEADY_ELECTIONS,
        }
    }
}

/// When a leader was last heard of. Clones are the same.
#[derive(Debug, Clone)]
pub(super) struct Heard {
    begun: Instant,
    times: Arc<Times>,
}

impl Heard {
    pub(super) fn new(silences: Silences) -> Self {
        Self { begun: Instant::now(), times: Arc::new(Times::new(silences)) }
    }

    /// Takes note that a leader was heard of.
    pub(super) fn now(&self) {
        self.times.hear(micros(self.begun.elapsed()));
    }

    /// How long ago that was; none where it never was.
    pub(super) fn ago(&self) -> Option<Duration> {
        self.times.ago_us(micros(self.begun.elapsed())).map(Duration::from_micros)
    }

    /// Whether somebody leads, by what was heard: lately, and for long enough since it was last not so.
    pub(super) fn is_steady(&self) -> bool {
        self.times.is_steady(micros(self.begun.elapsed()))
    }
}

/// Times in microseconds after some beginning; 0 for never.
#[derive(Debug)]
struct Times {
    silences: Silences,
    last_us: AtomicU64,
    /// When a leader spoke again after a silence that was too long.
    again_us: AtomicU64,
}

impl Times {
    fn new(silences: Silences) -> Self {
        Self { silences, last_us: AtomicU64::new(0), again_us: AtomicU64::new(0) }
    }

    fn hear(&self, now_us: u64) {
        let now_us = now_us.max(1);
        let last_us = self.last_us.load(Ordering::Acquire);
        if last_us != 0 && now_us.saturating_sub(last_us) > micros(self.silences.longest) {
            self.again_us.store(now_us, Ordering::Release);
        }
        self.last_us.fetch_max(now_us, Ordering::AcqRel);
    }

    fn ago_us(&self, now_us: u64) -> Option<u64> {
        match self.last_us.load(Ordering::Acquire) {
            0 => None,
            us => Some(now_us.saturating_sub(us)),
        }
    }

    fn is_steady(&self, now_us: u64) -> bool {
        if self.ago_us(now_us).is_none_or(|ago_us| ago_us > micros(self.silences.longest)) {
            return false;
        }
        let last_us = self.last_us.load(Ordering::Acquire);
        match self.again_us.load(Ordering::Acquire) {
            0 => true,
            again_us => last_us.saturating_sub(again_us) > micros(self.silences.steady),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK_US: u64 = 100_000;

    fn times() -> Times {
        Times::new(Silences::of(Duration::from_micros(6 * TICK_US)))
    }

    #[test]
    fn a_leader_is_believed_at_once_until_it_is_silent_for_too_long() {
        let times = times();
        assert!(!times.is_steady(TICK_US), "nobody was heard yet");
        times.hear(TICK_US);
        assert!(times.is_steady(TICK_US));
        assert!(times.is_steady(13 * TICK_US), "an election may take that long");
        assert!(!times.is_steady(13 * TICK_US + 1));
    }

    #[test]
    fn who_only_speaks_up_now_and_then_is_not_believed_again() {
        let times = times();
        times.hear(1);
        let mut now = 1;
        for _ in 0..3 {
            // A leader without its quorum keeps silent for so long, and speaks for as long.
            now += 18 * TICK_US;
            for _ in 0..18 {
                times.hear(now);
                assert!(!times.is_steady(now));
                now += TICK_US;
            }
        }
    }

    #[test]
    fn who_goes_on_after_a_silence_is_believed_again() {
        let times = times();
        times.hear(1);
        let again = 18 * TICK_US;
        for tick in 0..25 {
            times.hear(again + tick * TICK_US);
            assert!(!times.is_steady(again + tick * TICK_US), "after {tick} ticks");
        }
        times.hear(again + 25 * TICK_US);
        assert!(times.is_steady(again + 25 * TICK_US));
    }
}
