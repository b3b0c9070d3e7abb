//! Checkers: one property a file, its source in the first line.

pub mod binds_survive;
mod comings;
pub mod conservation;
pub mod crashes;
pub mod digests;
mod drained;
pub mod end_to_end;
mod instances;
pub mod leases;
pub mod linear_by_index;
pub mod linear_by_search;
pub mod membership;
mod next_seqs;
pub mod presence;
mod quorums;
pub mod recovery;
pub mod rooms;
pub mod seq_rises;
pub mod sessions;
pub mod validity;

use std::fmt;

use crate::history::History;
use crate::settings::Settings;
use crate::verdict::Verdict;

/// A property of a history.
#[derive(Debug, Clone, Copy)]
pub struct Property {
    /// Its name in reports and on the command line.
    pub name: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// Operations of which the history must have at least one, for the property to say anything; none:
    /// it applies to every history.
    pub needs: &'static [&'static str],
    /// Judges a history.
    pub check: fn(&History<'_>, &Settings) -> Verdict,
    /// The same, with how much of what the history has was judged; none where that is all.
    pub covers: Option<Covers>,
}

/// A checker that says how much it judged.
pub type Covers = fn(&History<'_>, &Settings) -> (Verdict, Share);

/// How much of what a history has was judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Share {
    /// How many were.
    pub judged: usize,
    /// How many there are.
    pub all: usize,
    /// What they are, and why some were not.
    pub what: String,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} {}", self.judged, self.all, self.what)
    }
}

/// Every property.
pub const ALL: &[Property] = &[
    validity::PROPERTY,
    crashes::PROPERTY,
    binds_survive::PROPERTY,
    seq_rises::PROPERTY,
    linear_by_index::PROPERTY,
    linear_by_search::PROPERTY,
    rooms::PROPERTY,
    conservation::PROPERTY,
    leases::PROPERTY,
    presence::PROPERTY,
    end_to_end::PROPERTY,
    digests::PROPERTY,
    recovery::PROPERTY,
    membership::PROPERTY,
    sessions::PROPERTY,
];

/// A property with its verdict.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The property.
    pub property: &'static Property,
    /// What its checker says; none where the history has nothing that it speaks of.
    pub verdict: Option<Verdict>,
    /// How much was judged, where that may not be all.
    pub share: Option<Share>,
}

/// Judges a history by every property that it has something to say about. A property in `required` that
/// it has nothing to say about is unknown, and so is a required one that does not exist.
pub fn judge(history: &History<'_>, settings: &Settings, required: &[&str]) -> Vec<Judged> {
    let names = history.names();
    let judge = |property: &'static Property| {
        let applies =
            property.needs.is_empty() || property.needs.iter().any(|need| names.contains(need));
        let mut share = None;
        let verdict = if applies {
            Some(match property.covers {
                None => (property.check)(history, settings),
                Some(covers) => {
                    let (verdict, judged) = covers(history, settings);
                    share = Some(judged);
                    verdict
                }
            })
        } else if required.contains(&property.name) {
            Some(Verdict::Unknown(format!("the history has none of {:?}", property.needs)))
        } else {
            None
        };
        Judged { property, verdict, share }
    };
    ALL.iter().map(judge).collect()
}

/// Whether a run may pass: every verdict holds, and every required property has one.
pub fn passes(judged: &[Judged], required: &[&str]) -> bool {
    let holds = |name: &&str| {
        judged.iter().any(|j| j.property.name == *name && j.verdict == Some(Verdict::Holds))
    };
    let unbroken = judged.iter().all(|j| j.verdict.as_ref().is_none_or(Verdict::passes));
    unbroken && required.iter().all(holds)
}
