//! Backoff: how long to wait before the next try. Pure: its seed is handed in, and it never looks at a clock.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

use crate::limits::{BACKOFF_BASE, BACKOFF_CAP};

/// By how much the window of a pause may grow: 2 to the power of it.
const DOUBLINGS_MAX: u32 = 20;

/// Between what a pause is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pacing {
    /// The longest first pause. Each further one may be twice as long.
    pub base: Duration,
    /// The longest pause of all.
    pub cap: Duration,
}

impl Default for Pacing {
    fn default() -> Self {
        Self { base: BACKOFF_BASE, cap: BACKOFF_CAP }
    }
}

/// Pauses with full jitter: each is drawn evenly between nothing and a window that doubles up to the cap, so
/// that devices that were cut at the same moment do not come back at the same moment.
#[derive(Debug, Clone)]
pub struct Backoff {
    pacing: Pacing,
    chance: SmallRng,
    /// Pauses since the last success.
    tries: u32,
}

impl Backoff {
    /// One that has not paused yet. Equal seeds give equal pauses, so that each device needs its own.
    pub fn new(pacing: Pacing, seed: u64) -> Self {
        Self { pacing, chance: SmallRng::seed_from_u64(seed), tries: 0 }
    }

    /// The next pause. With a server's word when to come back it is never shorter than that, and spread
    /// over the base behind it: a server tells many the same.
    pub fn pause(&mut self, hint: Option<Duration>) -> Duration {
        let window = self.window();
        self.tries = self.tries.saturating_add(1);
        match hint {
            None => self.draw(window),
            Some(hint) => hint.saturating_add(self.draw(self.pacing.base.min(self.pacing.cap))),
        }
    }

    /// Begins again with the first window: a try succeeded.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// Draws one of so many, from 0, by the same chance as the pauses. There is at least one.
    pub(crate) fn choose(&mut self, count: usize) -> usize {
        self.chance.random_range(0..count)
    }

    /// The longest that the next pause may be, without a server's word.
    pub fn window(&self) -> Duration {
        let doubled = 1_u32 << self.tries.min(DOUBLINGS_MAX);
        self.pacing.base.saturating_mul(doubled).min(self.pacing.cap)
    }

    fn draw(&mut self, window: Duration) -> Duration {
        let window_ns = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.chance.random_range(0..=window_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACING: Pacing =
        Pacing { base: Duration::from_millis(100), cap: Duration::from_millis(1000) };

    #[test]
    fn windows_double_up_to_the_cap_and_begin_again_after_a_success() {
        let mut backoff = Backoff::new(PACING, 1);
        for expected in [100, 200, 400, 800, 1000, 1000] {
            assert_eq!(backoff.window(), Duration::from_millis(expected));
            assert!(backoff.pause(None) <= Duration::from_millis(expected));
        }
        backoff.reset();
        assert_eq!(backoff.window(), PACING.base);
    }

    #[test]
    fn pauses_are_spread_evenly_over_the_whole_window() {
        // The first pause of many devices, in tenths of its window.
        let mut tenths = [0_u32; 10];
        let devices = 10_000;
        for seed in 0..devices {
            let pause = Backoff::new(PACING, seed).pause(None);
            tenths[(pause.as_nanos() * 10 / PACING.base.as_nanos()).min(9) as usize] += 1;
        }
        // The standard deviation of each is 30.
        for (tenth, count) in tenths.iter().enumerate() {
            assert!((850..1150).contains(count), "{count} of {devices} in tenth {tenth}");
        }
    }

    #[test]
    fn equal_seeds_give_equal_pauses_and_others_do_not() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(PACING, seed);
            (0..8).map(|_| backoff.pause(None)).collect::<Vec<_>>()
        };
        assert_eq!(pauses(7), pauses(7));
        assert_ne!(pauses(7), pauses(8));
    }

    #[test]
    fn nobody_comes_back_before_the_server_said_or_all_at_once() {
        let hint = Duration::from_secs(5);
        let pauses: Vec<_> =
            (0..100).map(|seed| Backoff::new(PACING, seed).pause(Some(hint))).collect();
        assert!(pauses.iter().all(|pause| (hint..=hint + PACING.base).contains(pause)));
        assert_ne!(pauses.iter().min(), pauses.iter().max());
    }

    #[test]
    fn extremes_neither_panic_nor_wait_for_ever() {
        let forever = Pacing { base: Duration::MAX, cap: Duration::MAX };
        let mut backoff = Backoff::new(forever, 1);
        for _ in 0..100 {
            backoff.pause(Some(Duration::MAX));
        }
        let mut never = Backoff::new(Pacing { base: Duration::ZERO, cap: Duration::ZERO }, 1);
        assert_eq!(never.pause(None), Duration::ZERO);
    }
}
