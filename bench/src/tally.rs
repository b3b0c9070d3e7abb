//! Tally: what became of the calls of a run, told apart by when they began and ended.

use std::collections::BTreeMap;

use crate::latency::Latencies;
use crate::target::Failure;

/// The time that is measured, in nanoseconds of the run's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its first moment.
    pub begin_ns: u64,
    /// The first moment after it.
    pub end_ns: u64,
}

/// One call that ended.
#[derive(Debug)]
pub struct Ended {
    /// When it was made.
    pub begun_ns: u64,
    /// When its answer was there.
    pub ended_ns: u64,
    /// How it went.
    pub result: Result<(), Failure>,
}

/// What became of calls.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Successes whose answer came within the window: the rate is made of these.
    pub completed: u64,
    /// Successes that began within the window, however late their answer came: a stall at its end is
    /// part of the tail.
    pub latencies: Latencies,
    /// Failures that ended within the window or began in it, by kind.
    pub failures: BTreeMap<String, u64>,
    /// The first of them, for people.
    pub first_failure: Option<String>,
}

impl Window {
    fn contains(&self, ns: u64) -> bool {
        (self.begin_ns..self.end_ns).contains(&ns)
    }

    /// Its length in seconds.
    pub fn seconds(&self) -> f64 {
        (self.end_ns - self.begin_ns) as f64 / 1e9
    }
}

impl Tally {
    /// Counts one call.
    pub fn count(&mut self, window: &Window, ended: &Ended) {
        let (began_in, ended_in) =
            (window.contains(ended.begun_ns), window.contains(ended.ended_ns));
        match &ended.result {
            Ok(()) => {
                self.completed += u64::from(ended_in);
                if began_in {
                    self.latencies.record(ended.ended_ns.saturating_sub(ended.begun_ns));
                }
            }
            Err(failure) if began_in || ended_in => {
                *self.failures.entry(failure.kind.to_owned()).or_default() += 1;
                let words = || format!("{}: {}", failure.kind, failure.detail);
                self.first_failure.get_or_insert_with(words);
            }
            Err(_) => {}
        }
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: Self) {
        self.completed += other.completed;
        self.latencies.add(&other.latencies);
        for (kind, count) in other.failures {
            *self.failures.entry(kind).or_default() += count;
        }
        self.first_failure = self.first_failure.take().or(other.first_failure);
    }

    /// How many failed.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { begin_ns: 1_000_000_000, end_ns: 3_000_000_000 };

    fn call(begun_ms: u64, ended_ms: u64) -> Ended {
        let ns = |ms: u64| ms * 1_000_000;
        Ended { begun_ns: ns(begun_ms), ended_ns: ns(ended_ms), result: Ok(()) }
    }

    fn failing(call: Ended, kind: &'static str) -> Ended {
        Ended { result: Err(Failure::new(kind, "why")), ..call }
    }

    #[test]
    fn rate_counts_what_ended_in_the_window_and_latency_what_began_in_it() {
        let mut tally = Tally::default();
        for call in [
            call(0, 999),     // warm-up
            call(900, 1_100), // only its end
            call(1_000, 1_005),
            call(2_900, 3_900), // only its beginning: a stall at the end
            call(3_000, 3_001), // after it
        ] {
            tally.count(&WINDOW, &call);
        }
        assert_eq!(tally.completed, 2);
        let latency = tally.latencies.summary();
        assert_eq!(latency.count, 2);
        assert!((latency.max_ms - 1_000.0).abs() < 1.0, "{latency:?}");
        assert!((WINDOW.seconds() - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn failures_are_counted_by_kind_and_are_no_successes() {
        let mut tally = Tally::default();
        tally.count(&WINDOW, &failing(call(0, 500), "early"));
        tally.count(&WINDOW, &failing(call(900, 1_100), "overloaded"));
        tally.count(&WINDOW, &failing(call(2_900, 3_900), "unknown"));
        let mut other = Tally::default();
        other.count(&WINDOW, &failing(call(1_500, 1_600), "unknown"));
        other.count(&WINDOW, &call(1_600, 1_700));
        tally.add(other);
        let expected = [("overloaded".to_owned(), 1), ("unknown".to_owned(), 2)];
        assert_eq!(tally.failures, BTreeMap::from(expected));
        assert_eq!((tally.completed, tally.failed()), (1, 3));
        assert_eq!(tally.latencies.summary().count, 1);
        assert_eq!(tally.first_failure.as_deref(), Some("overloaded: why"));
    }
}
