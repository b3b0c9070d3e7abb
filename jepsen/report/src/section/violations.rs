//! Violations: each broken property with what shows it.

use std::collections::BTreeSet;

use super::{entries, events, log};
use crate::breach::Breach;
use crate::entries::Entries;
use crate::figures::{count, moment, some};
use crate::limits::{
    FAULT_BEFORE, KEY_EVENTS_MAX, KEY_EVENTS_SEEN, KEYS_MAX, PLACES_MAX, TAIL_EVENTS,
    VIOLATIONS_MAX,
};
use crate::markup::{esc, put};
use crate::narrow::Prefix;
use crate::properties::sentence;
use crate::survey::Survey;

/// Draws what is wrong, if anything is.
pub(crate) fn draw(
    survey: &Survey<'_>,
    breaches: &[Breach<'_>],
    entries: Option<&Entries>,
    out: &mut String,
) {
    let mut told = Vec::new();
    for breach in breaches {
        one(survey, breach, entries, &mut told, out);
    }
}

/// The events that showed a violation already, and of which property.
type Told = Vec<(Vec<u64>, &'static str)>;

fn one(
    survey: &Survey<'_>,
    breach: &Breach<'_>,
    entries: Option<&Entries>,
    told: &mut Told,
    out: &mut String,
) {
    let (name, all) = (breach.name, breach.all);
    put!(
        out,
        "<section class=\"violation\" id=\"{0}\"><h2><span class=\"sign\" aria-hidden=\"true\">✕</span> \
         {0} is violated</h2><p class=\"soft\">It says: {1}.</p>",
        esc(name),
        esc(sentence(name).unwrap_or_default())
    );
    if let Some(prefix) = &breach.prefix
        && shown(survey, prefix, name, told, out)
    {
        surrounded(survey, breach, prefix, entries, out);
    }
    if all.len() > 1 {
        put!(
            out,
            "<details><summary>{} in all</summary><ol class=\"more\">",
            some(all.len(), "violation")
        );
        for violation in all.iter().take(VIOLATIONS_MAX) {
            put!(
                out,
                "<li>{} <small>events {:?}</small></li>",
                esc(&violation.text),
                violation.events
            );
        }
        out.push_str("</ol>");
        if all.len() > VIOLATIONS_MAX {
            put!(out, "<p>And {} more.</p>", all.len() - VIOLATIONS_MAX);
        }
        out.push_str("</details>");
    }
    out.push_str("</section>");
}

/// Draws what shows it. Whether what surrounds it was not told yet.
fn shown(
    survey: &Survey<'_>,
    prefix: &Prefix,
    name: &'static str,
    told: &mut Told,
    out: &mut String,
) -> bool {
    let (violation, last) = (&prefix.violation, prefix.length.saturating_sub(1) as u64);
    put!(out, "<p class=\"breach\">{}</p><h3>What shows it</h3>", esc(&violation.text));
    events::list(survey, &violation.events, &violation.events, out);
    put!(
        out,
        "<p>{}: the first {} of {} events, until {}.{}</p>",
        match prefix.is_smallest {
            true => "Smallest failing prefix",
            false => "A failing prefix, the smallest for the events of its addresses",
        },
        count(prefix.length),
        count(survey.events.len()),
        moment(survey.time(last)),
        if prefix.is_smallest && prefix.length < survey.events.len() {
            " One event less is not enough."
        } else {
            ""
        },
    );
    // Several properties are often broken by the same events; what surrounds them is told once.
    let last_of = |events: &[u64]| events.last().copied();
    let earlier = told.iter().find(|(events, _)| last_of(events) == last_of(&violation.events));
    if let Some((_, earlier)) = earlier {
        put!(out, "<p>What surrounds it is told under <a href=\"#{0}\">{0}</a>.</p>", esc(earlier));
        return false;
    }
    told.push((violation.events.clone(), name));
    true
}

/// Draws what else happened then: faults, all that was done with its addresses, and in the logs.
fn surrounded(
    survey: &Survey<'_>,
    breach: &Breach<'_>,
    prefix: &Prefix,
    entries: Option<&Entries>,
    out: &mut String,
) {
    let violation = &prefix.violation;
    faults(survey, survey.time(prefix.length.saturating_sub(1) as u64), out);
    let keys: BTreeSet<&str> = breach.keys(survey);
    for key in keys.iter().take(KEYS_MAX) {
        of_key(survey, key, prefix, out);
    }
    let from = (prefix.length.saturating_sub(TAIL_EVENTS)) as u64;
    let tail: Vec<u64> = (from..prefix.length as u64).collect();
    put!(
        out,
        "<details{}><summary>The last {} of the prefix</summary>",
        if keys.is_empty() { " open" } else { "" },
        some(tail.len(), "event")
    );
    events::list(survey, &tail, &violation.events, out);
    out.push_str("</details>");
    for place in breach.places(survey).into_iter().take(PLACES_MAX) {
        log::around(survey, place, &keys, &violation.events, out);
        entries::around(entries, place, &keys, out);
    }
}

/// What was wrong with the system when it happened.
fn faults(survey: &Survey<'_>, at: u64, out: &mut String) {
    let near = |until: u64| until >= at.saturating_sub(FAULT_BEFORE);
    let hurting = survey.faults.iter().filter(|span| {
        span.may_hurt() && span.from() <= at && near(span.until.unwrap_or(span.from()))
    });
    let mut items = String::new();
    for span in hurting {
        put!(items, "<li>{} · {}", moment(span.from()), esc(&span.words));
        if !span.fault.targets.is_empty() {
            put!(items, " → {}", esc(span.targets()));
        }
        if let Some(until) = span.until {
            put!(items, ", until {}", moment(until));
        }
        items.push_str("</li>");
    }
    match items.is_empty() {
        true => out.push_str("<p>No fault was in effect then, nor in the ten seconds before.</p>"),
        false => put!(
            out,
            "<h4>Faults in effect then, or in the ten seconds before</h4><ul>{items}</ul>"
        ),
    }
}

/// All that was done with one address.
fn of_key(survey: &Survey<'_>, key: &str, prefix: &Prefix, out: &mut String) {
    let events = survey.events[..prefix.length].iter();
    let of_key = events.filter(|event| event.key.as_deref() == Some(key));
    let mut places: Vec<u64> = of_key.map(|event| event.index).collect();
    let all = places.len();
    places.drain(..all.saturating_sub(KEY_EVENTS_MAX));
    put!(out, "<h4>{} of <code>{}</code> in the prefix</h4>", some(all, "event"), esc(key));
    let (before, seen) = places.split_at(places.len().saturating_sub(KEY_EVENTS_SEEN));
    if !before.is_empty() {
        put!(
            out,
            "<details><summary>{} before these{}</summary>",
            some(before.len(), "event"),
            if all > places.len() { ", and older ones that are left out" } else { "" }
        );
        events::list(survey, before, &prefix.violation.events, out);
        out.push_str("</details>");
    }
    events::list(survey, seen, &prefix.violation.events, out);
}
