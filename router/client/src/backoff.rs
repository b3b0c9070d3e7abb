//! Backoff: pauses between repeated asks, growing and never in step with those of other callers.

use std::time::Duration;

use orrery_host::Random;

/// Pauses that double from `min` to `max`; half of each is random.
pub(crate) struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    pub(crate) fn new(min: Duration, max: Duration) -> Self {
        Self { next: min, max }
    }

    /// The next pause.
    pub(crate) fn pause(&mut self, random: &dyn Random) -> Duration {
        let full = self.next;
        self.next = (full * 2).min(self.max);
        let half = full / 2;
        let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX);
        half + Duration::from_micros(random.below(spread + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws the same number always.
    struct Fixed(u64);

    impl Random for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            for (to, from) in bytes.iter_mut().zip(self.0.to_le_bytes().iter().cycle()) {
                *to = *from;
            }
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_keep_half_of_it() {
        let mut backoff = Backoff::new(Duration::from_millis(4), Duration::from_millis(10));
        let low: Vec<_> = (0..4).map(|_| backoff.pause(&Fixed(0)).as_millis()).collect();
        assert_eq!(low, [2, 4, 5, 5]);
        let mut backoff = Backoff::new(Duration::from_millis(4), Duration::from_millis(10));
        let most = backoff.pause(&Fixed(2000));
        assert_eq!(most, Duration::from_millis(4));
    }
}
