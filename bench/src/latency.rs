//! Latency: how long things took, with every tail kept.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// What a histogram tells apart: a microsecond at the low end, three digits everywhere, a minute at most.
const LOWEST_NS: u64 = 1_000;
const HIGHEST_NS: u64 = 60_000_000_000;
const DIGITS: u8 = 3;

/// Latencies as they are gathered.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

/// What became of them, in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// How many there were.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// 90 of 100 took no longer.
    pub p90_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// 999 of 1000 took no longer.
    pub p99_9_ms: f64,
    /// None took longer.
    pub max_ms: f64,
}

impl Default for Latencies {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(LOWEST_NS, HIGHEST_NS, DIGITS);
        Self(histogram.expect("the bounds above are in order"))
    }
}

impl Latencies {
    /// Adds one, in nanoseconds.
    pub fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// Adds all of another's.
    pub fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// What became of them.
    pub fn summary(&self) -> Latency {
        let ms = |ns: u64| ns as f64 / 1e6;
        let at = |quantile| ms(self.0.value_at_quantile(quantile));
        Latency {
            count: self.0.len(),
            p50_ms: at(0.5),
            p90_ms: at(0.9),
            p99_ms: at(0.99),
            p99_9_ms: at(0.999),
            max_ms: ms(self.0.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_all_that_was_added() {
        let (mut all, mut late) = (Latencies::default(), Latencies::default());
        (1..=98).for_each(|_| all.record(1_000_000));
        (1..=2).for_each(|_| late.record(8_000_000));
        all.add(&late);
        let Latency { count, p50_ms, p99_ms, max_ms, .. } = all.summary();
        assert_eq!(count, 100);
        assert!((p50_ms - 1.0).abs() < 0.01 && (p99_ms - 8.0).abs() < 0.01, "{p50_ms} {p99_ms}");
        assert!((max_ms - 8.0).abs() < 0.01, "{max_ms}");
    }
}
