//! Page: the parts in their order, with the style and the script that they need.

use std::collections::BTreeSet;

use judge::checker::Judged;
use judge::history::Event;

use crate::breach::{Breach, Place, breaches};
use crate::calls;
use crate::entries::Entries;
use crate::facts::RunFacts;
use crate::markup::{esc, put};
use crate::section::head::Ending;
use crate::section::{
    availability, counters, faults, head, latency, shrunk, timeline, verdicts, violations,
};
use crate::survey::Survey;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// A run as one HTML page that needs nothing besides itself.
pub struct Page<'a> {
    run: &'a RunFacts,
    judged: &'a [Judged],
    survey: Survey<'a>,
    breaches: Vec<Breach<'a>>,
}

impl<'a> Page<'a> {
    /// Looks at a run.
    pub fn of(run: &'a RunFacts, events: &'a [Event], judged: &'a [Judged]) -> Self {
        let survey = Survey::of(events);
        let breaches = breaches(run, &survey, judged);
        Self { run, judged, survey, breaches }
    }

    /// The shards and indices of their logs around which entries would tell how what is violated came about:
    /// of each property where what shows best that it is violated was answered, then all else that shows it; then
    /// all else of the addresses of the one and the other.
    pub fn places(&self) -> Vec<(u32, u64)> {
        let survey = &self.survey;
        let of_breach = |breach: &Breach<'_>| {
            let of_all = (breach.places_of_all(survey), breach.places_of_all_keys(survey));
            [breach.places(survey), of_all.0, breach.places_of_keys(survey), of_all.1]
        };
        let all: Vec<[Vec<Place>; 4]> = self.breaches.iter().map(of_breach).collect();
        let mut seen = BTreeSet::new();
        let ranked = (0..4).flat_map(|rank| all.iter().flat_map(move |of| &of[rank]));
        ranked.copied().filter(|place| seen.insert(*place)).collect()
    }

    /// Draws it, with what the routers kept around those places.
    pub fn draw(&self, entries: Option<&Entries>) -> String {
        let Self { run, judged, survey, breaches } = self;
        let kinds = calls::by_kind(survey);
        let mut out = String::with_capacity(1 << 18);
        put!(
            out,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
             <meta name=\"color-scheme\" content=\"light dark\">\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
             script-src 'unsafe-inline'\">\
             <title>{} {}: {}</title><style>{STYLE}</style></head><body><main>",
            Ending::of(survey, judged).sign(),
            esc(&run.name),
            Ending::of(survey, judged).word(),
        );
        head::draw(run, survey, judged, &mut out);
        verdicts::draw(judged, &mut out);
        shrunk::draw(run, &mut out);
        violations::draw(survey, breaches, entries, &mut out);
        timeline::draw(survey, &mut out);
        availability::draw(survey, &mut out);
        latency::draw(survey, &kinds, &mut out);
        faults::draw(survey, &mut out);
        counters::draw(run, survey, &kinds, &mut out);
        put!(out, "</main><script>{SCRIPT}</script></body></html>\n");
        out
    }
}
