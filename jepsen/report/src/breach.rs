//! Breach: a property that is violated, with the beginning of the history that is enough to see it, and where
//! in which logs that points to.

use std::collections::BTreeSet;

use judge::checker::Judged;
use judge::history::{Event, Op};
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

    /// Where all that was done with its addresses was answered, as far as it is told, the last ones first.
    pub(crate) fn places_of_keys(&self, survey: &Survey<'_>) -> Vec<Place> {
        let Some(prefix) = &self.prefix else { return Vec::new() };
        let events = survey.events[..prefix.length.min(survey.events.len())].iter().rev();
        let mut all = Vec::new();
        for key in self.keys(survey).into_iter().take(KEYS_MAX) {
            let of_key = events.clone().filter(|event| event.key.as_deref() == Some(key));
            all.extend(places(survey, of_key.take(KEY_EVENTS_MAX)));
        }
        all
    }
}

fn places<'e>(survey: &Survey<'_>, events: impl Iterator<Item = &'e Event>) -> Vec<Place> {
    let shards = survey.shards_of_keys();
    let mut seen = BTreeSet::new();
    let place = |event: &Event| match &event.op {
        Op::Digest(digest) => Some((digest.shard, digest.applied)),
        _ => {
            let known = event.key.as_deref().and_then(|key| shards.get(key)).copied();
            event.shard.or(known).zip(event.log_index)
        }
    };
    events.filter_map(place).filter(|place| seen.insert(*place)).collect()
}
