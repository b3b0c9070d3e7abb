//! Rounds: what each death of a comet showed, and whether that is good enough.

use std::fmt;
use std::time::Duration;

use orrery_bench::bar::Bar;
use orrery_bench::experiment;
use orrery_bench::latency::Latency;
use serde::Serialize;

use crate::survivors::Seen;

/// How long after the lease the routes may still be there.
const GRACE: Duration = Duration::from_secs(2);

/// What else happens to the cluster when a comet goes silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// The control shard's leader is killed.
    Killed,
}

/// One death. Times are milliseconds since the last acknowledged keep-alive was sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Round {
    pub(crate) trouble: Trouble,
    /// Routes of the comet.
    pub(crate) routes: u64,
    /// How long binding them took, in seconds.
    pub(crate) bound_s: f64,
    /// The last look-up that found a route, in the first shard without any.
    pub(crate) first_gone_ms: f64,
    /// No shard has any, as readers see it.
    pub(crate) gone_ms: f64,
    /// No replica counts any.
    pub(crate) uncounted_ms: f64,
    /// No replica holds a body of any.
    pub(crate) swept_ms: f64,
    /// Most bodies seen waiting for the sweep, on all nodes together.
    pub(crate) unswept_max: u64,
    /// Shards in which some of the routes were visible when others were not.
    pub(crate) torn: usize,
    /// Writes of others before the comet went silent, and around its end.
    pub(crate) before: Latency,
    pub(crate) during: Latency,
    /// The longest time without an acknowledgement in a shard, in the same times.
    pub(crate) gap_before_ms: f64,
    pub(crate) gap_during_ms: f64,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    lease_ms: u64,
    rounds: Vec<Round>,
    survivors: Seen,
    /// Routes that the shards count in the end, and those that should be there.
    counted: u64,
    expected: u64,
    bars: Vec<Bar>,
}

/// How long after the last keep-alive everything must be gone.
pub(crate) fn asked(trouble: Trouble, lease_ms: u64) -> Duration {
    let lease = Duration::from_millis(lease_ms);
    match trouble {
        Trouble::None => lease + GRACE,
        Trouble::Killed => 2 * lease + GRACE,
    }
}

impl Trouble {
    fn word(self) -> &'static str {
        match self {
            Self::None => "comet silent",
            Self::Killed => "control leader killed too",
        }
    }
}

impl Outcome {
    pub(crate) fn new(
        lease_ms: u64,
        rounds: Vec<Round>,
        survivors: Seen,
        counted: u64,
        expected: u64,
    ) -> Self {
        let mut bars = Vec::new();
        for trouble in [Trouble::None, Trouble::Killed] {
            let mine = || rounds.iter().filter(|round| round.trouble == trouble);
            let Some(gone_ms) = mine().map(|round| round.gone_ms).reduce(f64::max) else {
                continue;
            };
            let swept_ms = mine().map(|round| round.swept_ms).fold(0.0, f64::max);
            let first_ms = mine().map(|round| round.first_gone_ms).fold(f64::MAX, f64::min);
            let asked = asked(trouble, lease_ms);
            let asked_ms = asked.as_secs_f64() * 1e3;
            bars.push(Bar {
                what: trouble.word(),
                asked: format!("not before {lease_ms} ms, gone and swept within {asked:?}"),
                measured: format!(
                    "first shard {first_ms:.0} ms, gone {gone_ms:.0} ms, swept {swept_ms:.0} ms"
                ),
                reached: first_ms >= lease_ms as f64 && gone_ms.max(swept_ms) <= asked_ms,
            });
        }
        let torn: usize = rounds.iter().map(|round| round.torn).sum();
        bars.push(Bar {
            what: "routes of a shard vanish",
            asked: "at one position of its log".to_owned(),
            measured: format!("{torn} shards torn"),
            reached: torn == 0,
        });
        bars.push(Bar {
            what: "living comets",
            asked: "no route is ever missing".to_owned(),
            measured: format!(
                "{} of {} look-ups missed; {counted} routes counted of {expected}",
                survivors.missing, survivors.looks,
            ),
            reached: survivors.missing == 0 && survivors.looks > 0 && counted == expected,
        });
        Self { lease_ms, rounds, survivors, counted, expected, bars }
    }
}

impl experiment::Outcome for Outcome {
    const KEY: &'static str = "outcome";

    fn is_good(&self) -> bool {
        self.rounds.iter().all(|round| round.torn == 0)
            && self.survivors.missing == 0
            && self.counted == self.expected
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "ms since the last acknowledged keep-alive; lease {} ms", self.lease_ms)?;
        writeln!(
            f,
            "{:<28}{:>9}{:>9}{:>9}{:>9}{:>10}{:>9}",
            "", "routes", "first", "gone", "counted", "swept", "unswept"
        )?;
        for round in &self.rounds {
            let Round { routes, first_gone_ms, gone_ms, uncounted_ms, swept_ms, .. } = round;
            writeln!(
                f,
                "{:<28}{routes:>9}{first_gone_ms:>9.0}{gone_ms:>9.0}{uncounted_ms:>9.0}{swept_ms:>10.0}{:>9}",
                round.trouble.word(),
                round.unswept_max,
            )?;
        }
        writeln!(
            f,
            "\nwrites of others, ms{:>17}{:>9}{:>9}{:>9}{:>9}",
            "p50", "p99", "p99.9", "max", "gap"
        )?;
        for round in &self.rounds {
            let rows = [
                ("before", &round.before, round.gap_before_ms),
                ("around the end", &round.during, round.gap_during_ms),
            ];
            for (when, Latency { p50_ms, p99_ms, p99_9_ms, max_ms, .. }, gap_ms) in rows {
                writeln!(
                    f,
                    "{when:<28}{p50_ms:>9.1}{p99_ms:>9.1}{p99_9_ms:>9.1}{max_ms:>9.1}{gap_ms:>9.1}"
                )?;
            }
        }
        if let Some(first) = &self.survivors.first {
            writeln!(f, "first that was missing: {first}")?;
        }
        writeln!(f)?;
        self.bars.iter().try_for_each(|bar| writeln!(f, "{bar}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(trouble: Trouble, first_gone_ms: f64, gone_ms: f64, swept_ms: f64) -> Round {
        let (before, during) = (Latency::default(), Latency::default());
        Round {
            trouble,
            routes: 1,
            bound_s: 1.0,
            first_gone_ms,
            gone_ms,
            uncounted_ms: gone_ms,
            swept_ms,
            unswept_max: 1,
            torn: 0,
            before,
            during,
            gap_before_ms: 0.0,
            gap_during_ms: 0.0,
        }
    }

    fn reached(rounds: Vec<Round>, missing: u64, counted: u64) -> Vec<bool> {
        let seen = Seen { looks: 9, missing, ..Seen::default() };
        let outcome = Outcome::new(10_000, rounds, seen, counted, 5);
        outcome.bars.iter().map(|bar| bar.reached).collect()
    }

    #[test]
    fn bars_are_judged_by_what_they_ask() {
        let (none, killed) = (Trouble::None, Trouble::Killed);
        let good = vec![round(none, 1e4, 11e3, 12e3), round(killed, 1.1e4, 21e3, 22e3)];
        assert_eq!(reached(good.clone(), 0, 5), [true, true, true, true]);
        assert_eq!(reached(vec![round(none, 9_990.0, 11e3, 12e3)], 0, 5), [false, true, true]);
        assert_eq!(reached(vec![round(none, 1e4, 11e3, 12_001.0)], 0, 5), [false, true, true]);
        assert_eq!(reached(vec![round(killed, 1e4, 22_001.0, 12e3)], 0, 5), [false, true, true]);
        assert_eq!(reached(vec![Round { torn: 1, ..good[0].clone() }], 1, 5), [true, false, false]);
        assert_eq!(reached(good, 0, 4), [true, true, true, false]);
    }
}
