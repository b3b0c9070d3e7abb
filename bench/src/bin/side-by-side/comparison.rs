//! Comparison: the same loads on both systems, and the bars.

use std::fmt;

use anyhow::{Context, bail};
use orrery_bench::bar::Bar;
use orrery_bench::measure::Figures;
use orrery_bench::report::{HEADER, Report, notes, row, title};
use orrery_bench::target::Op;

/// Bar: so many times etcd's rate.
const TIMES_MIN: f64 = 5.0;

/// Bar: with so many callers.
const BAR_CALLERS: usize = 1024;

/// Two systems.
pub(crate) struct Comparison {
    systems: [String; 2],
    loads: Vec<Load>,
}

/// The rounds of one load: (etcd, Orrery), neighbours in time.
struct Load {
    rounds: Vec<(Figures, Figures)>,
}

/// How many times etcd's Orrery's is.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Times {
    /// Of the means over all rounds.
    mean: f64,
    min: f64,
    max: f64,
}

impl Comparison {
    /// Pairs what was measured in turn.
    ///
    /// # Errors
    /// When the two were not measured under the same loads as often.
    pub(crate) fn of(etcd: &[Report], orrery: &[Report]) -> anyhow::Result<Self> {
        let system = |reports: &[Report]| {
            let first = reports.first().context("no reports were given")?;
            anyhow::Ok(first.system.clone())
        };
        let systems = [system(etcd)?, system(orrery)?];
        let all = |reports: &[Report]| {
            reports.iter().flat_map(|report| report.figures.clone()).collect::<Vec<_>>()
        };
        let (etcd, orrery) = (all(etcd), all(orrery));
        if etcd.len() != orrery.len() {
            bail!("etcd was measured {} times, orrery {} times", etcd.len(), orrery.len());
        }
        let mut loads: Vec<Load> = Vec::new();
        for (theirs, ours) in etcd.into_iter().zip(orrery) {
            if kind(&theirs) != kind(&ours) {
                bail!("{} of etcd meets {} of orrery", title(&theirs), title(&ours));
            }
            let same = loads.iter_mut().find(|load| kind(&load.rounds[0].0) == kind(&theirs));
            match same {
                Some(load) => load.rounds.push((theirs, ours)),
                None => loads.push(Load { rounds: vec![(theirs, ours)] }),
            }
        }
        loads.sort_by_key(|load| {
            let (op, callers) = kind(&load.rounds[0].0);
            (op == Op::Read, callers)
        });
        Ok(Self { systems, loads })
    }

    fn bars(&self) -> Vec<Bar> {
        let at =
            |op| self.loads.iter().find(move |load| kind(&load.rounds[0].0) == (op, BAR_CALLERS));
        let mut bars = Vec::new();
        let rates =
            [(Op::Write, "binds/s at 1024 callers"), (Op::Read, "look-ups/s at 1024 callers")];
        for (op, what) in rates {
            if let Some(load) = at(op) {
                let times = load.times(|figures| figures.per_second);
                bars.push(Bar {
                    what,
                    asked: format!("at least {TIMES_MIN} times etcd's"),
                    measured: times.to_string(),
                    reached: times.mean >= TIMES_MIN && load.failed_here() == 0,
                });
            }
        }
        if let Some(load) = at(Op::Write) {
            let times = load.times(|figures| figures.latency.p99_ms);
            bars.push(Bar {
                what: "p99 of binds at 1024 callers",
                asked: "not above etcd's".to_owned(),
                measured: times.to_string(),
                reached: times.mean <= 1.0,
            });
        }
        bars
    }
}

impl Load {
    fn times(&self, of: impl Fn(&Figures) -> f64) -> Times {
        let (mut theirs, mut ours) = (0.0, 0.0);
        let (mut min, mut max) = (f64::INFINITY, 0.0_f64);
        for round in &self.rounds {
            let (their, our) = (of(&round.0), of(&round.1));
            (theirs, ours) = (theirs + their, ours + our);
            (min, max) = (min.min(our / their), max.max(our / their));
        }
        Times { mean: ours / theirs, min, max }
    }

    fn failed_here(&self) -> u64 {
        self.rounds.iter().flat_map(|(_, ours)| ours.failures.values()).sum()
    }
}

fn kind(figures: &Figures) -> (Op, usize) {
    (figures.op, figures.callers)
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mean, min, max } = self;
        write!(f, "{mean:.2} times etcd's ({min:.2} to {max:.2})")
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [theirs, ours] = &self.systems;
        writeln!(f, "etcd:   {theirs}\norrery: {ours}\nlatencies in ms\n")?;
        for load in &self.loads {
            let name = title(&load.rounds[0].0);
            writeln!(f, "{name:<22}{}", &HEADER[name.len().max(22)..])?;
            for (number, (theirs, ours)) in (1..).zip(&load.rounds) {
                for (system, figures) in [("etcd", theirs), ("orrery", ours)] {
                    f.write_str(&row(&format!("  {number}. {system}"), figures))?;
                    for note in notes(figures) {
                        writeln!(f, "     {note}")?;
                    }
                }
            }
            let rate = load.times(|figures| figures.per_second);
            let p99 = load.times(|figures| figures.latency.p99_ms);
            writeln!(f, "  rate {rate}, p99 {p99}\n")?;
        }
        for bar in self.bars() {
            writeln!(f, "{bar}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use orrery_bench::latency::Latency;
    use orrery_bench::machine::Machine;
    use orrery_bench::measure::Cores;

    use super::*;

    fn figures(op: Op, callers: usize, per_second: f64, p99_ms: f64) -> Figures {
        Figures {
            op,
            callers,
            seconds: 1.0,
            per_second,
            latency: Latency { p99_ms, ..Latency::default() },
            failures: BTreeMap::new(),
            first_failure: None,
            cores: Cores::default(),
            server_rss_mib: None,
            way: None,
        }
    }

    fn report(figures: Vec<Figures>) -> Report {
        Report { system: "a system".to_owned(), machine: Machine::look(), figures }
    }

    #[test]
    fn ratios_are_of_the_means_with_the_range_of_the_rounds() {
        let write = |per_second, p99_ms| figures(Op::Write, 1024, per_second, p99_ms);
        let etcd = [report(vec![write(100.0, 10.0)]), report(vec![write(300.0, 30.0)])];
        let orrery = [report(vec![write(1000.0, 5.0)]), report(vec![write(1400.0, 15.0)])];
        let comparison = Comparison::of(&etcd, &orrery).unwrap();
        let [load] = comparison.loads.as_slice() else { panic!("one load, two rounds") };
        let times = load.times(|figures| figures.per_second);
        assert_eq!(times, Times { mean: 6.0, min: 1400.0 / 300.0, max: 10.0 });
        let reached: Vec<_> = comparison.bars().iter().map(|bar| bar.reached).collect();
        assert_eq!(reached, [true, true]);
    }

    #[test]
    fn bars_are_missed_by_rate_by_p99_and_by_failures() {
        let of = |ours: Figures| {
            let etcd = report(vec![figures(ours.op, 1024, 100.0, 10.0)]);
            let bars = Comparison::of(&[etcd], &[report(vec![ours])]).unwrap().bars();
            bars.iter().map(|bar| bar.reached).collect::<Vec<_>>()
        };
        assert_eq!(of(figures(Op::Read, 1024, 499.0, 10.0)), [false]);
        assert_eq!(of(figures(Op::Read, 1024, 500.0, 99.0)), [true]);
        assert_eq!(of(figures(Op::Write, 1024, 500.0, 10.1)), [true, false]);
        let failures = BTreeMap::from([("unknown".to_owned(), 1)]);
        assert_eq!(of(Figures { failures, ..figures(Op::Read, 1024, 900.0, 1.0) }), [false]);
    }

    #[test]
    fn different_loads_are_not_compared() {
        let etcd = report(vec![figures(Op::Read, 64, 1.0, 1.0)]);
        let orrery = report(vec![figures(Op::Read, 1, 1.0, 1.0)]);
        assert!(Comparison::of(std::slice::from_ref(&etcd), &[orrery]).is_err());
        assert!(Comparison::of(&[etcd], &[report(Vec::new())]).is_err());
        assert!(Comparison::of(&[], &[]).is_err());
    }
}
