//! Results: one line for each run, and what the lines of many runs add up to.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, Write as _};
use std::path::Path;

use anyhow::Context as _;
use judge::history::{Event, Kind};
use serde::{Deserialize, Serialize};

use super::measure::{self, Measured, quantile};
use crate::verdict::Ending;

/// What a run was and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Its seed.
    pub seed: u64,
    /// Its scenario, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenario: Option<String>,
    /// Its families of faults.
    pub families: Vec<String>,
    /// Seconds of its main phase.
    pub seconds: u64,
    /// Operations that ended ok, failed, and nobody knows how.
    pub operations: [u64; 3],
    /// Faults of each kind: installed, skipped, and neither for certain.
    pub faults: BTreeMap<String, [u64; 3]>,
    /// How soon shards served again.
    pub measured: Measured,
    /// How it ended, in a word.
    pub verdict: String,
    /// Properties that do not hold, or of which that is not known.
    pub broken: Vec<String>,
    /// What no fault explains.
    pub findings: Vec<String>,
}

impl Line {
    /// Counts what a history tells.
    pub fn count(&mut self, events: &[Event], routers: usize, shards: u32) {
        let of = |kind| events.iter().filter(|e| e.kind == kind && !e.op.is_mark()).count() as u64;
        self.operations = [of(Kind::Ok), of(Kind::Fail), of(Kind::Info)];
        self.faults = measure::faults(events);
        self.measured = Measured::of(events, routers, shards);
    }

    /// Whether it is of the same run as another, however each ended.
    pub fn is_of(&self, other: &Self) -> bool {
        let run =
            |line: &Self| (line.seed, line.scenario.clone(), line.families.clone(), line.seconds);
        run(self) == run(other)
    }

    /// Puts it behind the others of a file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&self, path: &Path) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(self)?;
        text.push('\n');
        let file = OpenOptions::new().create(true).append(true).open(path);
        let mut file = file.with_context(|| format!("open {}", path.display()))?;
        // In one write, so that the lines of several runs do not mix.
        file.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
    }

    /// The run's figures, for a person.
    pub fn figures(&self) -> String {
        let [ok, failed, unknown] = self.operations;
        let kinds = self.faults.iter().map(|(kind, [installed, skipped, unclear])| {
            let mut text = format!("{installed} {kind}");
            if skipped + unclear > 0 {
                text.push_str(&format!(" ({skipped} skipped, {unclear} unclear)"));
            }
            text
        });
        format!(
            "{ok} operations ok, {failed} failed, {unknown} unknown\nfaults: {}\n\
             leader kill to first acknowledged write of each shard: {}\n\
             power cut of all, start to first acknowledged write of each shard: {}",
            kinds.collect::<Vec<_>>().join(", "),
            spread(&self.measured.after_kill_ms),
            spread(&self.measured.after_power_ms),
        )
    }
}

fn spread(figures: &[u64]) -> String {
    match (quantile(figures, 0.5), quantile(figures, 0.99), figures.iter().max()) {
        (Some(p50), Some(p99), Some(max)) => {
            format!("p50 {p50} ms, p99 {p99} ms, longest {max} ms of {}", figures.len())
        }
        _ => "none".to_owned(),
    }
}

/// What runs must add up to.
#[derive(Debug, Clone, Copy)]
pub struct Bar {
    /// What is counted.
    pub what: &'static str,
    /// How much there must be, or may be at most.
    pub bound: u64,
    /// Whether the bound is the most.
    pub at_most: bool,
    sum: fn(&[Line]) -> Option<u64>,
}

/// Seconds of a run that counts.
const SECONDS_MIN: u64 = 120;

/// Milliseconds from the kill of a leader to the first acknowledged write.
const AFTER_KILL_MS_MAX: u64 = 3_000;

/// Milliseconds from the start after a power cut of all routers to each shard's first acknowledged write.
const AFTER_POWER_MS_MAX: u64 = 10_000;

/// All bars.
pub const BARS: &[Bar] = &[
    Bar {
        what: "runs of two minutes or more",
        bound: 100,
        at_most: false,
        sum: |lines| Some(lines.iter().filter(|line| line.seconds >= SECONDS_MIN).count() as u64),
    },
    Bar {
        what: "faults installed",
        bound: 1_000,
        at_most: false,
        sum: |lines| {
            let of =
                |line: &Line| line.faults.values().map(|[installed, ..]| installed).sum::<u64>();
            Some(lines.iter().map(of).sum())
        },
    },
    Bar {
        what: "power cuts",
        bound: 50,
        at_most: false,
        sum: |lines| Some(lines.iter().map(|line| line.measured.power_cuts).sum()),
    },
    Bar {
        what: "leader kills",
        bound: 100,
        at_most: false,
        sum: |lines| Some(lines.iter().map(|line| line.measured.leader_kills).sum()),
    },
    Bar {
        what: "operations that ended ok",
        bound: 1_000_000,
        at_most: false,
        sum: |lines| Some(lines.iter().map(|line| line.operations[0]).sum()),
    },
    Bar {
        what: "runs that do not hold",
        bound: 0,
        at_most: true,
        sum: |lines| {
            let holds = Ending::Holds.word();
            Some(lines.iter().filter(|line| line.verdict != holds).count() as u64)
        },
    },
    Bar {
        what: "leader kill to first write, p99 in ms",
        bound: AFTER_KILL_MS_MAX,
        at_most: true,
        sum: |lines| {
            let silent = all(lines, |measured| &measured.silent_after_kill_ms);
            let mut waited = all(lines, |measured| &measured.after_kill_ms);
            waited.extend(at_least(silent, AFTER_KILL_MS_MAX));
            quantile(&waited, 0.99)
        },
    },
    Bar {
        what: "power cut of all to serving, longest in ms",
        bound: AFTER_POWER_MS_MAX,
        at_most: true,
        sum: |lines| {
            let silent = all(lines, |measured| &measured.silent_after_power_ms);
            let waited = all(lines, |measured| &measured.after_power_ms);
            waited.into_iter().chain(at_least(silent, AFTER_POWER_MS_MAX)).max()
        },
    },
];

/// Of shards that acknowledged nothing as long as they were watched, those that were watched for long enough to
/// break the bar; of the others nothing is known.
fn at_least(silent: Vec<u64>, bound: u64) -> impl Iterator<Item = u64> {
    silent.into_iter().filter(move |ms| *ms > bound)
}

fn all(lines: &[Line], of: impl Fn(&Measured) -> &Vec<u64>) -> Vec<u64> {
    lines.iter().flat_map(|line| of(&line.measured).iter().copied()).collect()
}

impl Bar {
    /// What the runs add up to, where they say anything.
    pub fn sum(&self, lines: &[Line]) -> Option<u64> {
        (self.sum)(lines)
    }

    /// Whether so much passes.
    pub fn passes(&self, sum: u64) -> bool {
        match self.at_most {
            true => sum <= self.bound,
            false => sum >= self.bound,
        }
    }
}

/// Reads the lines of a file.
///
/// # Errors
/// When a line is none.
pub fn read(from: impl BufRead) -> anyhow::Result<Vec<Line>> {
    let line = |(at, line): (usize, std::io::Result<String>)| {
        serde_json::from_str(&line?).with_context(|| format!("line {}", at + 1))
    };
    from.lines().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            seed: 7,
            scenario: Some("leader-pause".to_owned()),
            families: vec!["pause".to_owned()],
            seconds: 120,
            operations: [10, 2, 1],
            faults: [("pause".to_owned(), [3, 1, 0])].into(),
            measured: Measured {
                leader_kills: 2,
                power_cuts: 1,
                after_kill_ms: vec![900, 1_100],
                after_power_ms: vec![],
                silent_after_kill_ms: vec![2_000],
                silent_after_power_ms: vec![],
            },
            verdict: "holds".to_owned(),
            broken: vec![],
            findings: vec![],
        }
    }

    #[test]
    fn a_line_is_read_as_it_was_written_behind_the_others() {
        let path = std::env::temp_dir().join(format!("jepsen-results-{}", std::process::id()));
        line().append(&path).unwrap();
        let other = Line { seed: 8, scenario: None, ..line() };
        other.append(&path).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let lines = read(std::io::BufReader::new(file)).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(lines, [line(), other]);
        assert!(read(&b"{\"seed\":1"[..]).is_err(), "a line that was cut off");
    }

    #[test]
    fn a_run_is_the_same_however_it_ended_and_another_one_of_another_length() {
        assert!(line().is_of(&Line {
            verdict: "VIOLATED".to_owned(),
            operations: [0; 3],
            ..line()
        }));
        for other in [Line { seconds: 30, ..line() }, Line { scenario: None, ..line() }] {
            assert!(!line().is_of(&other));
        }
    }

    #[test]
    fn runs_add_up_and_a_bar_that_nothing_speaks_of_does_not_pass() {
        let lines = [line(), Line { verdict: "unknown".to_owned(), seconds: 60, ..line() }];
        let sums: Vec<Option<u64>> = BARS.iter().map(|bar| bar.sum(&lines)).collect();
        let expected = [Some(1), Some(6), Some(2), Some(4), Some(20), Some(1), Some(1_100), None];
        assert_eq!(sums, expected);
        assert!(!BARS[5].passes(1) && BARS[5].passes(0) && BARS[0].passes(100));
        let silent = Measured { silent_after_kill_ms: vec![3_001], ..line().measured };
        let sum = BARS[6].sum(&[Line { measured: silent, ..line() }]);
        assert_eq!(sum, Some(3_001), "a shard that was silent for as long as it was watched");
    }
}
