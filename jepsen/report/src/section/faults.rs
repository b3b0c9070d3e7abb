//! Faults: all of them, with what became of each.

use judge::history::FaultOutcome;

use crate::figures::{count, length, moment};
use crate::limits::FAULTS_MAX;
use crate::markup::{esc, put};
use crate::survey::Survey;

/// Draws the section.
pub(crate) fn draw(survey: &Survey<'_>, out: &mut String) {
    out.push_str("<section id=\"faults\"><h2>Faults</h2>");
    if survey.faults.is_empty() {
        out.push_str("<p>None.</p></section>");
        return;
    }
    out.push_str(
        "<div class=\"wide\"><table><thead><tr><th scope=\"col\">Id</th><th scope=\"col\">Time</th>\
         <th scope=\"col\">Family</th><th scope=\"col\">What</th><th scope=\"col\">Targets</th>\
         <th scope=\"col\">Outcome</th><th scope=\"col\">Lasted</th></tr></thead><tbody>",
    );
    for span in survey.faults.iter().take(FAULTS_MAX) {
        let outcome = match span.fault.outcome {
            Some(FaultOutcome::Installed) => "installed",
            Some(FaultOutcome::Skipped) => "○ skipped",
            _ => "? indeterminate",
        };
        put!(
            out,
            "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{outcome}",
            span.id.map(|id| id.to_string()).unwrap_or_default(),
            moment(span.from()),
            esc(&span.fault.family),
            esc(&span.words),
            esc(span.targets()),
        );
        if let Some(reason) = &span.fault.reason {
            put!(out, ": {}", esc(reason));
        }
        let lasted = match span.until {
            Some(until) => length(until.saturating_sub(span.from())),
            None if span.may_hurt() => "at once".to_owned(),
            None => String::new(),
        };
        put!(out, "</td><td class=\"n\">{lasted}</td></tr>");
    }
    out.push_str("</tbody></table></div>");
    if survey.faults.len() > FAULTS_MAX {
        put!(out, "<p>And {} more.</p>", count(survey.faults.len() - FAULTS_MAX));
    }
    out.push_str("</section>");
}
