//! Faults: from when to when each was in effect.
//!
//! A history marks that a fault was installed, and later that faults of a family are over, without saying
//! which. A planned fault says how long it stays, so the one that is due first is over first; others end
//! in the order in which they began.

use judge::history::{Event, Fault, FaultOutcome, Op};
use serde_json::{Map, Value};

use crate::figures;
use crate::words;

/// A fault with its time.
#[derive(Debug, Clone)]
pub(crate) struct Span<'a> {
    /// The mark that tells its outcome.
    pub(crate) event: &'a Event,
    /// What it says.
    pub(crate) fault: &'a Fault,
    /// Its number in the plan.
    pub(crate) id: Option<u64>,
    /// How long it stays as planned, in nanoseconds; 0: it happens at once.
    planned: Option<u64>,
    /// When it was over; none where it happened at once, or was not installed, or nobody took it back.
    pub(crate) until: Option<u64>,
    /// In words.
    pub(crate) words: String,
}

impl Span<'_> {
    /// When it began.
    pub(crate) fn from(&self) -> u64 {
        self.event.time
    }

    /// Whether it may have been in effect.
    pub(crate) fn may_hurt(&self) -> bool {
        !matches!(self.fault.outcome, Some(FaultOutcome::Skipped) | None)
    }

    /// Whether it happens at once.
    pub(crate) fn is_moment(&self) -> bool {
        self.until.is_none()
    }

    /// What it hit.
    pub(crate) fn targets(&self) -> String {
        self.fault.targets.join(", ")
    }
}

/// All faults of a history that have an outcome, by time.
pub(crate) fn spans(events: &[Event]) -> Vec<Span<'_>> {
    let mut spans: Vec<Span<'_>> = Vec::new();
    // Places of those that were not taken back yet.
    let mut open: Vec<usize> = Vec::new();
    for event in events {
        match &event.op {
            Op::Fault(fault) if fault.outcome.is_some() => {
                let span = span(event, fault);
                if span.may_hurt() && span.planned != Some(0) {
                    open.push(spans.len());
                }
                spans.push(span);
            }
            Op::Heal(heal) if heal.families.is_empty() => {
                open.drain(..).for_each(|at| spans[at].until = Some(event.time));
            }
            Op::Heal(heal) => {
                for family in &heal.families {
                    let of_family = open.iter().filter(|at| spans[**at].fault.family == *family);
                    let first = of_family.min_by_key(|at| {
                        let span = &spans[**at];
                        (span.from().saturating_add(span.planned.unwrap_or_default()), **at)
                    });
                    if let Some(first) = first.copied() {
                        open.retain(|at| *at != first);
                        spans[first].until = Some(event.time);
                    }
                }
            }
            _ => {}
        }
    }
    spans
}

fn span<'a>(event: &'a Event, fault: &'a Fault) -> Span<'a> {
    let plan = planned(&fault.name);
    let number = |name: &str| plan.as_ref()?.get(name)?.as_u64();
    let words = match in_words(&fault.name) {
        words if words.is_empty() => fault.family.clone(),
        words => words,
    };
    let planned = number("lasts_ms").map(|ms| ms.saturating_mul(1_000_000));
    Span { event, fault, id: number("id"), planned, until: None, words }
}

/// A fault of a plan, if a mark's name is one.
fn planned(name: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(name) {
        Ok(Value::Object(plan)) => Some(plan),
        _ => None,
    }
}

/// What a fault does, in words, where its name is the JSON of a plan's fault; any other name stays.
pub fn in_words(name: &str) -> String {
    let Some(plan) = planned(name) else { return name.to_owned() };
    let mut words: Vec<String> = plan.get("fault").map(words::plain).into_iter().collect();
    for (name, value) in &plan {
        match name.as_str() {
            "id" | "at_ms" | "lasts_ms" | "fault" => {}
            // Whom it is meant for needs no name.
            "node" => words.push(words::plain(value)),
            name => words.push(format!("{} {}", name.replace('_', " "), words::plain(value))),
        }
    }
    if let Some(ms) = plan.get("lasts_ms").and_then(Value::as_u64).filter(|ms| *ms > 0) {
        words.push(format!("for {}", figures::length(ms.saturating_mul(1_000_000))));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use judge::history::{Heal, Kind, NEMESIS};

    use super::*;

    fn fault(index: u64, family: &str, name: &str) -> Event {
        let fault = Fault {
            family: family.into(),
            name: name.into(),
            outcome: Some(FaultOutcome::Installed),
            ..Fault::default()
        };
        Event::new(index, index * 1_000_000, NEMESIS, Kind::Info, Op::Fault(fault))
    }

    fn heal(index: u64, families: &[&str]) -> Event {
        let families = families.iter().map(|name| (*name).to_owned()).collect();
        Event::new(index, index * 1_000_000, NEMESIS, Kind::Info, Op::Heal(Heal { families }))
    }

    #[test]
    fn what_is_due_first_ends_first() {
        let long = r#"{"id":1,"at_ms":0,"lasts_ms":900,"fault":"pause","node":{"router":0}}"#;
        let short = r#"{"id":2,"at_ms":1,"lasts_ms":100,"fault":"pause","node":{"leader-of":3}}"#;
        let events = [
            fault(0, "pause", long),
            fault(1, "pause", short),
            heal(2, &["pause"]),
            heal(3, &["pause"]),
        ];
        let spans = spans(&events);
        assert_eq!(
            spans.iter().map(|span| span.until).collect::<Vec<_>>(),
            [Some(3_000_000), Some(2_000_000)]
        );
        assert_eq!(spans[1].words, "pause leader of 3 for 100 ms");
        assert_eq!(spans[1].id, Some(2));
    }

    #[test]
    fn everything_ends_with_the_last_heal() {
        let events = [fault(0, "kill", "round 1"), fault(1, "disk", ""), heal(2, &[])];
        let spans = spans(&events);
        assert!(spans.iter().all(|span| span.until == Some(2_000_000)));
        assert_eq!(spans[1].words, "disk");
    }
}
