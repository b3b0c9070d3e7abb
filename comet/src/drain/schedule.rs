//! Schedule: how many devices may go by when. Pure: it is told the time.

use std::time::Duration;

use crate::limits::DRAIN_GAP_MAX;

/// Devices that go at a rate; faster where the last of them would not have gone in time.
#[derive(Debug)]
pub(super) struct Schedule {
    per_second: f64,
    /// By when all of them must have gone.
    until: Option<Duration>,
    looked_at: Duration,
    /// How many may go that have not gone yet.
    allowance: f64,
}

impl Schedule {
    /// One that begins at the time 0.
    pub(super) fn new(per_second: u32, until: Option<Duration>) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, until, looked_at: Duration::ZERO, allowance: 0.0 }
    }

    /// How many may go now, of so many that are left. Never one before its time: the nth goes no earlier than the nth
    /// part of a second that the rate allows.
    pub(super) fn due(&mut self, now: Duration, left: usize) -> usize {
        let passed = now.saturating_sub(self.looked_at);
        let rate = match self.until {
            Some(until) if now >= until => return left,
            Some(until) => {
                let time_left = until.saturating_sub(self.looked_at);
                self.per_second.max(left as f64 / time_left.as_secs_f64())
            }
            None => self.per_second,
        };
        self.looked_at = now;
        self.allowance += rate * passed.min(DRAIN_GAP_MAX).as_secs_f64();
        // What nobody was left for is not saved up.
        self.allowance = self.allowance.min(left as f64);
        self.allowance as usize
    }

    /// So many of them went.
    pub(super) fn sent(&mut self, count: usize) {
        self.allowance = (self.allowance - count as f64).max(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::PACE_STEP;

    /// When each of so many goes.
    fn times(mut schedule: Schedule, count: usize, step: Duration) -> Vec<Duration> {
        let mut times = Vec::new();
        let mut now = Duration::ZERO;
        while times.len() < count {
            let due = schedule.due(now, count - times.len());
            schedule.sent(due);
            times.extend(std::iter::repeat_n(now, due));
            now += step;
        }
        times
    }

    #[test]
    fn each_goes_no_earlier_than_its_rate_allows_and_hardly_later() {
        for per_second in [1, 7, 49, 50, 51, 500, 12_345] {
            let count = per_second as usize * 3;
            let times = times(Schedule::new(per_second, None), count, PACE_STEP);
            for (number, at) in times.iter().enumerate() {
                let earliest = Duration::from_secs_f64((number + 1) as f64 / f64::from(per_second));
                assert!(*at + Duration::from_micros(1) >= earliest, "{number} of {per_second}/s");
                assert!(
                    *at <= earliest + 2 * PACE_STEP,
                    "{number} of {per_second}/s went at {at:?}"
                );
            }
        }
    }

    #[test]
    fn who_would_be_late_goes_earlier_and_evenly() {
        let until = Duration::from_secs(2);
        let times = times(Schedule::new(10, Some(until)), 1000, PACE_STEP);
        assert!(*times.last().unwrap() <= until);
        for (number, at) in times.iter().enumerate() {
            let even = until.mul_f64((number + 1) as f64 / 1000.0);
            assert!(at.abs_diff(even) <= 2 * PACE_STEP, "{number} went at {at:?}");
        }
    }

    #[test]
    fn who_has_time_goes_at_the_rate() {
        let times = times(Schedule::new(100, Some(Duration::from_secs(60))), 100, PACE_STEP);
        assert!(*times.last().unwrap() >= Duration::from_millis(990));
    }

    #[test]
    fn a_rate_is_kept_however_long_each_look_takes_up_to_the_longest_gap() {
        for step in [PACE_STEP * 3, PACE_STEP * 10, DRAIN_GAP_MAX] {
            let times = times(Schedule::new(500, None), 5000, step);
            let took = *times.last().unwrap();
            assert!(took <= Duration::from_secs(10) + step, "{took:?} with looks each {step:?}");
        }
    }

    #[test]
    fn after_a_pause_nobody_is_made_up_for_beyond_the_longest_gap_unless_time_is_up() {
        let mut schedule = Schedule::new(100, Some(Duration::from_secs(60)));
        assert_eq!(schedule.due(Duration::from_secs(20), 1000), 100);
        assert_eq!(schedule.due(Duration::from_secs(60), 1000), 1000);
    }

    #[test]
    fn what_nobody_was_left_for_is_not_saved_up() {
        let mut schedule = Schedule::new(100, None);
        for step in 1..1000 {
            assert_eq!(schedule.due(PACE_STEP * step, 0), 0);
        }
        assert!(schedule.due(PACE_STEP * 1000, 1000) <= 2);
    }
}
