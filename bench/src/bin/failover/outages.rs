//! Outages: how long shards took no writes, over all rounds, and whether that is good enough.

use std::fmt;
use std::time::Duration;

use orrery_bench::bar::Bar;
use orrery_bench::clock::ns;
use orrery_bench::experiment;
use orrery_bench::latency::{Latencies, Latency};
use orrery_bench::paced_load::Verdict;
use serde::Serialize;

/// Bars: of a leader that is killed, and of one that is moved.
const KILLED_P50_MAX: Duration = Duration::from_millis(1200);
const KILLED_P99_MAX: Duration = Duration::from_secs(2);
const MOVED_MAX: Duration = Duration::from_millis(100);

/// What was measured as it is gathered.
#[derive(Debug, Default)]
pub(crate) struct Outages {
    /// Shards whose leader was killed: from the kill to the first acknowledged write.
    killed: Latencies,
    /// All other shards: the longest time without an acknowledged write meanwhile.
    bystanders: Latencies,
    /// Shards whose leader was moved: the longest time without an acknowledged write.
    moved: Latencies,
    /// The same in the second before.
    at_rest: Latencies,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) kills: usize,
    pub(crate) moves: usize,
    pub(crate) killed: Latency,
    pub(crate) bystanders: Latency,
    pub(crate) moved: Latency,
    pub(crate) at_rest: Latency,
    pub(crate) verdict: Verdict,
    pub(crate) bars: Vec<Bar>,
}

impl Outages {
    pub(crate) fn killed(&mut self, took: Duration) {
        self.killed.record(ns(took));
    }

    pub(crate) fn bystander(&mut self, gap: Duration) {
        self.bystanders.record(ns(gap));
    }

    pub(crate) fn moved(&mut self, at_rest: Duration, gap: Duration) {
        self.at_rest.record(ns(at_rest));
        self.moved.record(ns(gap));
    }

    pub(crate) fn outcome(&self, kills: usize, moves: usize, verdict: Verdict) -> Outcome {
        let (killed, moved) = (self.killed.summary(), self.moved.summary());
        let ms = |limit: Duration| limit.as_secs_f64() * 1e3;
        let mut bars = Vec::new();
        if kills > 0 {
            bars.push(Bar {
                what: "leader killed",
                asked: format!("p50 ≤ {KILLED_P50_MAX:?}, p99 ≤ {KILLED_P99_MAX:?}"),
                measured: format!("p50 {:.0} ms, p99 {:.0} ms", killed.p50_ms, killed.p99_ms),
                reached: killed.p50_ms <= ms(KILLED_P50_MAX) && killed.p99_ms <= ms(KILLED_P99_MAX),
            });
        }
        if moves > 0 {
            bars.push(Bar {
                what: "leader moved",
                asked: format!("at most {MOVED_MAX:?}"),
                measured: format!("max {:.0} ms", moved.max_ms),
                reached: moved.max_ms <= ms(MOVED_MAX),
            });
        }
        bars.push(Bar {
            what: "acknowledged binds",
            asked: "all there, each with its seq".to_owned(),
            measured: format!(
                "{} of {} lost, {} changed, {} could not be looked for",
                verdict.lost, verdict.acknowledged, verdict.changed, verdict.unread,
            ),
            reached: verdict.is_good(),
        });
        let (bystanders, at_rest) = (self.bystanders.summary(), self.at_rest.summary());
        Outcome { kills, moves, killed, bystanders, moved, at_rest, verdict, bars }
    }
}

impl experiment::Outcome for Outcome {
    const KEY: &'static str = "outcome";

    fn is_good(&self) -> bool {
        self.verdict.is_good()
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ms without acknowledged writes            count      p50      p99      max")?;
        let rows = [
            (format!("leader killed, {} times", self.kills), &self.killed),
            ("  shards led by others meanwhile".to_owned(), &self.bystanders),
            (format!("leader moved, {} times", self.moves), &self.moved),
            ("  the same shards in the second before".to_owned(), &self.at_rest),
        ];
        for (what, latency) in rows.iter().filter(|(_, latency)| latency.count > 0) {
            let Latency { count, p50_ms, p99_ms, max_ms, .. } = latency;
            writeln!(f, "{what:<40}{count:>7}{p50_ms:>9.0}{p99_ms:>9.0}{max_ms:>9.0}")?;
        }
        let Verdict { first, failures, .. } = &self.verdict;
        if !failures.is_empty() {
            writeln!(f, "not acknowledged, outcome not judged: {failures:?}")?;
        }
        if let Some(first) = first {
            writeln!(f, "first that is not as it was: {first}")?;
        }
        writeln!(f)?;
        self.bars.iter().try_for_each(|bar| writeln!(f, "{bar}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reached(killed: &[u64], moved: &[u64], verdict: Verdict) -> Vec<bool> {
        let mut outages = Outages::default();
        killed.iter().for_each(|ms| outages.killed(Duration::from_millis(*ms)));
        moved.iter().for_each(|ms| outages.moved(Duration::ZERO, Duration::from_millis(*ms)));
        let outcome = outages.outcome(killed.len(), moved.len(), verdict);
        outcome.bars.iter().map(|bar| bar.reached).collect()
    }

    #[test]
    fn bars_are_judged_by_what_they_ask() {
        let good = Verdict::default;
        assert_eq!(reached(&[900, 1100, 1900], &[50, 90], good()), [true, true, true]);
        assert_eq!(reached(&[900, 1300, 1900], &[50, 101], good()), [false, false, true]);
        assert_eq!(reached(&[900, 1100, 2100], &[], good()), [false, true]);
        let lost = Verdict { lost: 1, ..good() };
        assert_eq!(reached(&[], &[], lost), [false]);
    }
}
