//! Tally: what many runs came to, for people.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crate::outcome::{Faults, Outcome};
use crate::verdict::Ending;

/// Seeds that are named for a property.
const SEEDS_MAX: usize = 20;

/// What many runs came to.
#[derive(Debug, Default)]
pub struct Tally {
    runs: usize,
    endings: BTreeMap<&'static str, Vec<u64>>,
    seeds: Option<(u64, u64)>,
    ok: usize,
    fail: usize,
    info: usize,
    faults: BTreeMap<String, (Faults, usize)>,
    kinds: BTreeMap<String, usize>,
    quiet: usize,
    shares: BTreeMap<String, (usize, usize)>,
    violated: BTreeMap<String, Vec<u64>>,
    unknown: BTreeMap<String, Vec<u64>>,
    simulated_s: f64,
    real_s: f64,
}

impl Tally {
    /// One more.
    pub fn add(&mut self, outcome: &Outcome) {
        let seed = outcome.seed;
        self.runs += 1;
        self.endings.entry(outcome.ending.word()).or_default().push(seed);
        let (first, last) = self.seeds.unwrap_or((seed, seed));
        self.seeds = Some((first.min(seed), last.max(seed)));
        self.ok += outcome.ok;
        self.fail += outcome.fail;
        self.info += outcome.info;
        for (family, of) in &outcome.faults {
            let (sum, runs) = self.faults.entry(family.clone()).or_default();
            *runs += usize::from(of.installed > 0);
            sum.installed += of.installed;
            sum.skipped += of.skipped;
            sum.indeterminate += of.indeterminate;
        }
        for (kind, installed) in &outcome.kinds {
            *self.kinds.entry(kind.clone()).or_default() += installed;
        }
        for (name, (judged, all)) in &outcome.shares {
            let sum = self.shares.entry(name.clone()).or_default();
            *sum = (sum.0 + judged, sum.1 + all);
        }
        self.quiet += usize::from(outcome.is_quiet());
        outcome.violated.keys().for_each(|name| note(&mut self.violated, name, seed));
        outcome.unknown.keys().for_each(|name| note(&mut self.unknown, name, seed));
        self.simulated_s += outcome.simulated_s;
        self.real_s += outcome.real_s;
    }

    /// How many runs.
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// The worst ending: a violation outweighs a harness that failed, and that a run without a verdict. Of no run
    /// nothing is known.
    pub fn worst(&self) -> Ending {
        let order = [Ending::Violated, Ending::Harness, Ending::Unknown, Ending::Holds];
        let met = order.into_iter().find(|ending| self.endings.contains_key(ending.word()));
        met.unwrap_or(Ending::Unknown)
    }

    /// The first seed that violates something.
    pub fn first_violated(&self) -> Option<u64> {
        self.endings.get(Ending::Violated.word())?.iter().min().copied()
    }

    /// As a row of the record's counters.
    pub fn row(&self, world: &str) -> String {
        let (first, last) = self.seeds.unwrap_or_default();
        let faults: usize = self.faults.values().map(|(of, _)| of.installed).sum();
        format!(
            "| {world}, seeds {first} to {last} | {} | {:.2} h | {} | {} |",
            count(self.runs),
            self.simulated_s / 3600.0,
            count(self.ok),
            count(faults)
        )
    }

    fn seeds_of(&self, ending: Ending) -> usize {
        self.endings.get(ending.word()).map_or(0, Vec::len)
    }
}

fn note(of: &mut BTreeMap<String, Vec<u64>>, name: &str, seed: u64) {
    of.entry(name.to_owned()).or_default().push(seed);
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} runs: {} hold, {} violated, {} unknown, {} harness failures",
            count(self.runs),
            count(self.seeds_of(Ending::Holds)),
            count(self.seeds_of(Ending::Violated)),
            count(self.seeds_of(Ending::Unknown)),
            count(self.seeds_of(Ending::Harness)),
        )?;
        writeln!(
            f,
            "  simulated    {:.2} h, in {:.0} s of all runs together: {:.1} simulated seconds a second",
            self.simulated_s / 3600.0,
            self.real_s,
            self.simulated_s / self.real_s.max(1e-9),
        )?;
        writeln!(
            f,
            "  operations   {} ok, {} fail, {} info",
            count(self.ok),
            count(self.fail),
            count(self.info)
        )?;
        let sum = |of: fn(&Faults) -> usize| {
            count(self.faults.values().map(|(faults, _)| of(faults)).sum())
        };
        writeln!(
            f,
            "  faults       {} installed, {} skipped, {} indeterminate",
            sum(|of| of.installed),
            sum(|of| of.skipped),
            sum(|of| of.indeterminate)
        )?;
        for (family, (of, runs)) in &self.faults {
            let (installed, runs) = (count(of.installed), count(*runs));
            writeln!(f, "    {family:<11}{installed:>7} in {runs} runs")?;
        }
        if self.quiet > 0 {
            writeln!(f, "    none               in {} runs", count(self.quiet))?;
        }
        if !self.kinds.is_empty() {
            let kinds = self.kinds.iter().map(|(kind, of)| format!("{kind} {}", count(*of)));
            writeln!(f, "  of these     {}", kinds.collect::<Vec<_>>().join(", "))?;
        }
        for (name, (judged, all)) in &self.shares {
            let percent = *judged as f64 * 100.0 / (*all).max(1) as f64;
            let (judged, all) = (count(*judged), count(*all));
            writeln!(f, "  judged       {name}: {judged} of {all}, {percent:.1} %")?;
        }
        for (word, of) in [("violated", &self.violated), ("unknown", &self.unknown)] {
            for (name, seeds) in of {
                writeln!(f, "  {word:<12} {name}: {}", named(seeds))?;
            }
        }
        if let Some(seeds) = self.endings.get(Ending::Harness.word()) {
            writeln!(f, "  harness      failed: {}", named(seeds))?;
        }
        Ok(())
    }
}

fn named(seeds: &[u64]) -> String {
    let mut seeds = seeds.to_vec();
    seeds.sort_unstable();
    seeds.dedup();
    let shown: Vec<String> = seeds.iter().take(SEEDS_MAX).map(u64::to_string).collect();
    let more = match seeds.len().saturating_sub(SEEDS_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let noun = if seeds.len() == 1 { "seed" } else { "seeds" };
    format!("{noun} {}{more}", shown.join(", "))
}

/// `12,345`.
pub(crate) fn count(number: usize) -> String {
    report::count(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seed: u64, ending: Ending) -> Outcome {
        let faults =
            BTreeMap::from([("kill".to_owned(), Faults { installed: 2, ..Faults::default() })]);
        Outcome {
            seed,
            ending,
            ok: 1_000,
            simulated_s: 36.0,
            real_s: 2.0,
            faults,
            ..Outcome::default()
        }
    }

    #[test]
    fn runs_sum_up() {
        let mut tally = Tally::default();
        tally.add(&run(4, Ending::Holds));
        let violated = BTreeMap::from([("recovery".to_owned(), 1)]);
        tally.add(&Outcome { violated, ..run(9, Ending::Violated) });
        tally.add(&Outcome::failed(7, "no disk"));
        let kinds = [("kill", 1), ("rolling-restart", 2)].map(|(kind, of)| (kind.to_owned(), of));
        let shares = [("linear-by-search".to_owned(), (95, 100))];
        let quiet = BTreeMap::new();
        tally.add(&Outcome {
            faults: quiet,
            kinds: kinds.into(),
            shares: shares.into(),
            ..run(5, Ending::Holds)
        });
        assert_eq!(tally.worst(), Ending::Violated);
        assert_eq!(tally.first_violated(), Some(9));
        assert_eq!(
            tally.row("simulation"),
            "| simulation, seeds 4 to 9 | 4 | 0.03 h | 3,000 | 4 |"
        );
        let told = tally.to_string();
        for line in [
            "4 runs: 2 hold, 1 violated, 0 unknown, 1 harness failures",
            "  simulated    0.03 h, in 6 s of all runs together: 18.0 simulated seconds a second",
            "  operations   3,000 ok, 0 fail, 0 info",
            "    kill             4 in 2 runs",
            "    none               in 1 runs",
            "  of these     kill 1, rolling-restart 2",
            "  judged       linear-by-search: 95 of 100, 95.0 %",
            "  violated     recovery: seed 9",
            "  harness      failed: seed 7",
        ] {
            assert!(told.lines().any(|told| told == line), "{line:?} is not in\n{told}");
        }
    }

    #[test]
    fn a_harness_that_failed_is_worse_than_no_verdict_and_never_a_pass() {
        let mut tally = Tally::default();
        assert_eq!(tally.worst(), Ending::Unknown);
        tally.add(&run(0, Ending::Holds));
        assert_eq!(tally.worst(), Ending::Holds);
        tally.add(&run(1, Ending::Unknown));
        assert_eq!(tally.worst(), Ending::Unknown);
        tally.add(&run(2, Ending::Harness));
        assert_eq!(tally.worst(), Ending::Harness);
    }

    #[test]
    fn many_seeds_are_not_all_named() {
        let seeds: Vec<u64> = (1..=30).collect();
        assert!(named(&seeds).ends_with("19, 20 and 10 more"), "{}", named(&seeds));
    }
}
