//! Axis: the time of a run across a page, the same in every drawing.

use crate::limits::BUCKETS_MAX;

/// Width of a drawing in its own points.
pub(crate) const WIDTH: f64 = 1_000.0;

/// Where time begins: left of it stand names.
pub(crate) const LEFT: f64 = 128.0;

/// Where time ends.
pub(crate) const RIGHT: f64 = 988.0;

/// Widths of buckets and distances of ticks that people can count in, in milliseconds.
const STEPS_MS: [u64; 22] = [
    1, 2, 5, 10, 20, 50, 100, 200, 250, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000,
    120_000, 300_000, 600_000, 1_800_000, 3_600_000,
];

/// Distances between two ticks, at most.
const TICKS_MAX: u64 = 12;

/// The time of a run across a page.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Axis {
    /// The last moment, in nanoseconds; never 0.
    pub(crate) end: u64,
    /// Width of a bucket, in nanoseconds.
    pub(crate) bucket: u64,
    tick: u64,
}

impl Axis {
    /// The axis of a run that ends then.
    pub(crate) fn until(end: u64) -> Self {
        let end = end.max(1_000_000);
        Self { end, bucket: step(end, BUCKETS_MAX), tick: step(end, TICKS_MAX) }
    }

    /// How many buckets there are.
    pub(crate) fn buckets(&self) -> usize {
        self.place(self.end) + 1
    }

    /// The bucket of a moment.
    pub(crate) fn place(&self, time: u64) -> usize {
        (time.min(self.end) / self.bucket) as usize
    }

    /// When a bucket begins.
    pub(crate) fn begins(&self, place: usize) -> u64 {
        place as u64 * self.bucket
    }

    /// Where a moment lies across the page.
    pub(crate) fn x(&self, time: u64) -> f64 {
        LEFT + (RIGHT - LEFT) * (time.min(self.end) as f64 / self.end as f64)
    }

    /// Where the middle of a bucket lies.
    pub(crate) fn middle(&self, place: usize) -> f64 {
        self.x(self.begins(place) + self.bucket / 2)
    }

    /// How wide a bucket is across the page.
    pub(crate) fn width(&self) -> f64 {
        (RIGHT - LEFT) * (self.bucket as f64 / self.end as f64)
    }

    /// The moments that have a number.
    pub(crate) fn ticks(&self) -> impl Iterator<Item = u64> + use<> {
        let (tick, end) = (self.tick, self.end);
        (0..).map(move |place| place * tick).take_while(move |time| *time <= end)
    }

    /// The number at a tick.
    pub(crate) fn label(&self, time: u64) -> String {
        const SECOND: u64 = 1_000_000_000;
        match time {
            _ if self.tick < SECOND => format!("{:.2} s", time as f64 / SECOND as f64),
            _ if self.tick < 60 * SECOND => format!("{} s", time / SECOND),
            _ => format!("{} min", time / SECOND / 60),
        }
    }
}

/// The smallest step of which at most so many fill the time.
fn step(end: u64, most: u64) -> u64 {
    let fits = |step: &u64| end / step < most;
    let round = STEPS_MS.into_iter().map(|step| step * 1_000_000).find(fits);
    round.unwrap_or(end / most + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_run_has_more_buckets_than_fit() {
        for end in [0, 1, 1_000_000, 999_999_999, 62_900_000_000, 3_600_000_000_000, u64::MAX / 2] {
            let axis = Axis::until(end);
            assert!(axis.buckets() as u64 <= BUCKETS_MAX, "{axis:?}");
            assert!(axis.ticks().count() as u64 <= TICKS_MAX + 1, "{axis:?}");
            assert!((LEFT..=RIGHT).contains(&axis.x(end)), "{axis:?}");
        }
    }
}
