//! Page: the parts in their order, with the style and the script that they need.

use judge::checker::Judged;
use judge::history::Event;

use crate::calls;
use crate::facts::RunFacts;
use crate::markup::{esc, put};
use crate::section::head::Ending;
use crate::section::{
    availability, counters, faults, head, latency, shrunk, timeline, verdicts, violations,
};
use crate::survey::Survey;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Draws a run as one HTML page that needs nothing besides itself.
pub fn page(run: &RunFacts, events: &[Event], judged: &[Judged]) -> String {
    let survey = Survey::of(events);
    let kinds = calls::by_kind(&survey);
    let mut out = String::with_capacity(1 << 18);
    put!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'\">\
         <title>{} {}: {}</title><style>{STYLE}</style></head><body><main>",
        Ending::of(&survey, judged).sign(),
        esc(&run.name),
        Ending::of(&survey, judged).word(),
    );
    head::draw(run, &survey, judged, &mut out);
    verdicts::draw(judged, &mut out);
    shrunk::draw(run, &mut out);
    violations::draw(run, &survey, judged, &mut out);
    timeline::draw(&survey, &mut out);
    availability::draw(&survey, &mut out);
    latency::draw(&survey, &kinds, &mut out);
    faults::draw(&survey, &mut out);
    counters::draw(run, &survey, &kinds, &mut out);
    put!(out, "</main><script>{SCRIPT}</script></body></html>\n");
    out
}
