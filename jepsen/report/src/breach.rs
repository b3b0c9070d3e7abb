//! Breach: a property that is violated, with the beginning of the history that is enough to see it, and where
//! in which logs that points to.

use std::collections::{BTreeMap, BTreeSet};

use judge::checker::Judged;
use judge::history::{Event, Op, Replica};
use judge::verdict::{Verdict, Violation};

use crate::facts::RunFacts;
use crate::limits::{KEY_EVENTS_MAX, KEYS_MAX};
use crate::narrow::{self, Prefix};
use crate::survey::Survey;

/// A place in a shard's log.
pub(crate) type Place = (u32, u64);

/// A property that is violated.
pub(crate) struct Breach<'a> {
    /// Its name.
    pub(crate) name: &'static str,
    /// What is wrong, all of it.
    pub(crate) all: &'a [Violation],
    /// What is enough to see it.
    pub(crate) prefix: Option<Prefix>,
}

/// All properties that are violated, in their order.
pub(crate) fn breaches<'a>(
    run: &RunFacts,
    survey: &Survey<'_>,
    judged: &'a [Judged],
) -> Vec<Breach<'a>> {
    let mut breaches = Vec::new();
    for judged in judged {
        let Some(Verdict::Violated(all)) = &judged.verdict else { continue };
        // Where nothing less shows it, the whole history does.
        let whole = || {
            let (length, violation) = (survey.events.len(), all.first()?.clone());
            Some(Prefix { length, violation, is_smallest: true })
        };
        let narrow = narrow::narrow(survey.events, judged.property, all, &run.settings);
        let prefix = narrow.or_else(whole);
        breaches.push(Breach { name: judged.property.name, all, prefix });
    }
    breaches
}

impl Breach<'_> {
    /// The addresses of the events that show it, as many as are told.
    pub(crate) fn keys<'e>(&'e self, survey: &Survey<'e>) -> BTreeSet<&'e str> {
        let prefix = self.prefix.iter();
        prefix.flat_map(|prefix| narrow::keys(survey.events, &prefix.violation)).collect()
    }

    /// Where in which logs the events that show it were answered, the last ones first.
    pub(crate) fn places(&self, survey: &Survey<'_>) -> Vec<Place> {
        let shown = self.prefix.iter().flat_map(|prefix| prefix.violation.events.iter().rev());
        places(survey, shown.filter_map(|at| survey.event(*at)))
    }

    /// The same of all else that is wrong with it.
    pub(crate) fn places_of_all(&self, survey: &Survey<'_>) -> Vec<Place> {
        let shown = self.all.iter().flat_map(|violation| violation.events.iter().rev());
        places(survey, shown.filter_map(|at| survey.event(*at)))
    }

    /// Where all that was done with its addresses was answered, as far as it is told, the last ones first.
    pub(crate) fn places_of_keys<'e>(&'e self, survey: &Survey<'e>) -> Vec<Place> {
        let Some(prefix) = &self.prefix else { return Vec::new() };
        let keys = self.keys(survey).into_iter().take(KEYS_MAX);
        places(survey, keys.flat_map(|key| of_key(survey, key, prefix.length)))
    }

    /// The same of the addresses of all else that is wrong with it.
    pub(crate) fn places_of_all_keys<'e>(&'e self, survey: &Survey<'e>) -> Vec<Place> {
        let mut until: BTreeMap<&str, usize> = BTreeMap::new();
        for violation in self.all {
            let last = violation.events.last().and_then(|last| usize::try_from(*last).ok());
            for key in narrow::keys(survey.events, violation).take(KEYS_MAX) {
                let end = until.entry(key).or_default();
                *end = last.map_or(0, |last| last + 1).max(*end);
            }
        }
        places(survey, until.into_iter().flat_map(|(key, end)| of_key(survey, key, end)))
    }
}

/// What was done last with an address, in the beginning of a history of this length.
fn of_key<'e>(survey: &Survey<'e>, key: &'e str, length: usize) -> impl Iterator<Item = &'e Event> {
    let events = survey.events[..length.min(survey.events.len())].iter().rev();
    events.filter(move |event| event.key.as_deref() == Some(key)).take(KEY_EVENTS_MAX)
}

fn places<'e>(survey: &Survey<'_>, events: impl Iterator<Item = &'e Event>) -> Vec<Place> {
    let shards = survey.shards_of_keys();
    let mut seen = BTreeSet::new();
    let place = |event: &Event| match &event.op {
        Op::Digest(digest) => vec![(digest.shard, digest.applied)],
        Op::Standing(standing) => standing.replicas.iter().flat_map(reached).collect(),
        _ => {
            let known = event.key.as_deref().and_then(|key| shards.get(key)).copied();
            event.shard.or(known).zip(event.log_index).into_iter().collect()
        }
    };
    events.flat_map(place).filter(|place| seen.insert(*place)).collect()
}

/// How far a replica says that it is: it has applied so much, and knows so much to be committed.
fn reached(replica: &Replica) -> impl Iterator<Item = Place> {
    let indexes = [Some(replica.applied), replica.committed].into_iter().flatten();
    let shard = replica.shard;
    indexes.filter(|index| *index > 0).map(move |index| (shard, index))
}
