//! Narrow: the smallest beginning of a history that is enough for a property to be violated.

use std::collections::BTreeSet;

use judge::checker::Property;
use judge::history::{Event, History};
use judge::settings::Settings;
use judge::shrink::smallest_failing_prefix;
use judge::verdict::{Verdict, Violation};

use crate::limits::{SEARCH_STEPS_MAX, WHOLE_SEARCH_MAX};

/// The beginning of a history that is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prefix {
    /// So many events.
    pub(crate) length: usize,
    /// What is wrong then.
    pub(crate) violation: Violation,
    /// Whether one event less is not enough. Otherwise it is known only for the events of the address.
    pub(crate) is_smallest: bool,
}

/// Finds what is enough for the violation that shows first, or for one before it.
///
/// Most properties judge each address alone, so its events are judged without the others', which is quick
/// enough to be done again and again; then the result is tried on the whole history.
pub(crate) fn narrow(
    events: &[Event],
    property: &Property,
    violations: &[Violation],
    settings: &Settings,
) -> Option<Prefix> {
    let last = |violation: &&Violation| violation.events.last().copied().unwrap_or(u64::MAX);
    let earliest = violations.iter().min_by_key(last)?;
    let mut settings = settings.clone();
    settings.search.steps_max = settings.search.steps_max.min(SEARCH_STEPS_MAX);
    let narrowed = by_address(events, property, earliest, &settings);
    // Without the others' events some properties miss these: only what the whole history shows counts.
    let whole = |prefix: Prefix| {
        let violation = first(&events[..prefix.length], property, &settings)?;
        Some(Prefix { violation, ..prefix })
    };
    let narrowed = narrowed.and_then(whole);
    if events.len() > WHOLE_SEARCH_MAX {
        return narrowed.or_else(|| {
            let length = usize::try_from(last(&earliest)).ok()?.saturating_add(1);
            let length = length.min(events.len());
            Some(Prefix { length, violation: earliest.clone(), is_smallest: false })
        });
    }
    if let Some(prefix) = &narrowed
        && first(&events[..prefix.length - 1], property, &settings).is_none()
    {
        return narrowed.map(|prefix| Prefix { is_smallest: true, ..prefix });
    }
    let fails = |history: &History<'_>| (property.check)(history, &settings).is_violated();
    let length = smallest_failing_prefix(events, fails)?;
    let violation = first(&events[..length], property, &settings)?;
    Some(Prefix { length, violation, is_smallest: true })
}

fn by_address(
    events: &[Event],
    property: &Property,
    violation: &Violation,
    settings: &Settings,
) -> Option<Prefix> {
    let keys: BTreeSet<&str> = keys(events, violation).collect();
    if keys.is_empty() {
        return None;
    }
    let concerns = |event: &&Event| event.key.as_deref().is_none_or(|key| keys.contains(key));
    let mut places = Vec::new();
    let mut few: Vec<Event> = Vec::new();
    for event in events.iter().filter(concerns) {
        places.push(event.index);
        few.push(Event { index: few.len() as u64, ..event.clone() });
    }
    let fails = |history: &History<'_>| (property.check)(history, settings).is_violated();
    let length = smallest_failing_prefix(&few, fails)?;
    let mut violation = first(&few[..length], property, settings)?;
    for event in &mut violation.events {
        *event = *places.get(usize::try_from(*event).ok()?)?;
    }
    let length = usize::try_from(*places.get(length.checked_sub(1)?)?).ok()? + 1;
    Some(Prefix { length, violation, is_smallest: false })
}

/// The first thing that a property finds wrong.
fn first(events: &[Event], property: &Property, settings: &Settings) -> Option<Violation> {
    match (property.check)(&History::new(events).ok()?, settings) {
        Verdict::Violated(violations) => violations.into_iter().next(),
        _ => None,
    }
}

/// The addresses of the events that show a violation.
pub(crate) fn keys<'a>(
    events: &'a [Event],
    violation: &'a Violation,
) -> impl Iterator<Item = &'a str> {
    let shown =
        violation.events.iter().filter_map(|index| events.get(usize::try_from(*index).ok()?));
    shown.filter_map(|event| event.key.as_deref())
}
