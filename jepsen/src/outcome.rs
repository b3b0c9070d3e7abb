//! Outcome: what one run came to, as a line for machines.

use std::collections::BTreeMap;
use std::path::PathBuf;

use judge::history::{self, Event, FaultOutcome, Kind, Op};
use judge::verdict::Verdict;
use serde::{Deserialize, Serialize};

use crate::run_report::Ended;
use crate::verdict::Ending;

/// What one run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// What it was drawn from.
    pub seed: u64,
    /// In a word.
    pub ending: Ending,
    /// Violations by property.
    pub violated: BTreeMap<String, usize>,
    /// Why there is no verdict, by property.
    pub unknown: BTreeMap<String, String>,
    /// What the harness could not do.
    pub error: Option<String>,
    /// Operations that ended ok.
    pub ok: usize,
    /// Operations that did not happen.
    pub fail: usize,
    /// Operations of which nobody knows.
    pub info: usize,
    /// Faults by family.
    pub faults: BTreeMap<String, Faults>,
    /// Faults that were in effect, by kind.
    pub kinds: BTreeMap<String, usize>,
    /// Of properties that do not judge all there is: how many they judged, and of how many.
    pub shares: BTreeMap<String, (usize, usize)>,
    /// Seconds of the system's own time.
    pub simulated_s: f64,
    /// Seconds that it took.
    pub real_s: f64,
    /// Where its history is.
    pub history: Option<PathBuf>,
    /// Where its page is.
    pub page: Option<PathBuf>,
}

/// Faults of a family.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Faults {
    /// In effect.
    pub installed: usize,
    /// Not in effect.
    pub skipped: usize,
    /// Nobody knows.
    pub indeterminate: usize,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            seed: 0,
            ending: Ending::Harness,
            violated: BTreeMap::new(),
            unknown: BTreeMap::new(),
            error: None,
            ok: 0,
            fail: 0,
            info: 0,
            faults: BTreeMap::new(),
            kinds: BTreeMap::new(),
            shares: BTreeMap::new(),
            simulated_s: 0.0,
            real_s: 0.0,
            history: None,
            page: None,
        }
    }
}

impl Outcome {
    /// Of a run that the harness could not do.
    pub fn failed(seed: u64, error: impl Into<String>) -> Self {
        Self { seed, error: Some(error.into()), ..Self::default() }
    }

    /// Of a run that was judged.
    pub fn of(seed: u64, events: &[Event], ended: &Ended) -> Self {
        let mut outcome = Self { seed, ending: ended.ending, ..Self::default() };
        for one in &ended.judged {
            let name = one.property.name.to_owned();
            match &one.verdict {
                Some(Verdict::Violated(all)) => drop(outcome.violated.insert(name, all.len())),
                Some(Verdict::Unknown(why)) => drop(outcome.unknown.insert(name, why.clone())),
                Some(Verdict::Holds) | None => {}
            }
            if let Some(share) = &one.share {
                let name = one.property.name.to_owned();
                outcome.shares.insert(name, (share.judged, share.all));
            }
        }
        for event in events {
            match (&event.op, event.kind) {
                (Op::Fault(fault), _) => {
                    let of = outcome.faults.entry(fault.family.clone()).or_default();
                    match fault.outcome {
                        Some(FaultOutcome::Installed) => {
                            of.installed += 1;
                            *outcome.kinds.entry(kind(fault)).or_default() += 1;
                        }
                        Some(FaultOutcome::Skipped) => of.skipped += 1,
                        Some(FaultOutcome::Indeterminate) => of.indeterminate += 1,
                        None => {}
                    }
                }
                (op, _) if op.is_mark() => {}
                (_, Kind::Ok) => outcome.ok += 1,
                (_, Kind::Fail) => outcome.fail += 1,
                (_, Kind::Info) => outcome.info += 1,
                (_, Kind::Invoke) => {}
            }
        }
        outcome.page.clone_from(&ended.page);
        outcome
    }

    /// Whether nothing was done to the system: such a run says what one without faults would.
    pub fn is_quiet(&self) -> bool {
        self.error.is_none() && self.installed() == 0
    }

    /// Faults that were in effect.
    pub fn installed(&self) -> usize {
        self.faults.values().map(|of| of.installed).sum()
    }
}

/// What a fault is, in a word.
fn kind(fault: &history::Fault) -> String {
    let told: Option<serde_json::Value> = serde_json::from_str(&fault.name).ok();
    let word = told.as_ref().and_then(|told| told.get("fault")?.as_str());
    word.unwrap_or(&fault.family).to_owned()
}
