//! Counters: operations by kind and outcome, why some did not happen, and what the run was drawn as.

use std::collections::BTreeMap;

use crate::calls::{Calls, Ended};
use crate::facts::RunFacts;
use crate::figures::count;
use crate::limits::REASONS_MAX;
use crate::markup::{cut, esc, put};
use crate::survey::Survey;
use crate::words;

/// Draws the sections.
pub(crate) fn draw(
    run: &RunFacts,
    survey: &Survey<'_>,
    kinds: &[(&'static str, Calls)],
    out: &mut String,
) {
    operations(kinds, out);
    reasons(survey, out);
    drawn(run, out);
}

fn operations(kinds: &[(&'static str, Calls)], out: &mut String) {
    out.push_str(
        "<section id=\"counters\"><h2>Counters</h2><div class=\"wide\"><table class=\"numbers\"><thead><tr>\
         <th scope=\"col\">Operation</th><th scope=\"col\" class=\"n\">ok</th>\
         <th scope=\"col\" class=\"n\">fail</th><th scope=\"col\" class=\"n\">info</th>\
         <th scope=\"col\" class=\"n\">All</th></tr></thead><tbody>",
    );
    let mut sum = Ended::default();
    let row = |name: &str, ended: &Ended, out: &mut String| {
        put!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            esc(name),
            count(ended.ok),
            count(ended.fail),
            count(ended.info),
            count(ended.all())
        );
    };
    for (name, Calls { ended, .. }) in kinds {
        row(name, ended, out);
        sum = Ended {
            ok: sum.ok + ended.ok,
            fail: sum.fail + ended.fail,
            info: sum.info + ended.info,
        };
    }
    out.push_str("</tbody><tfoot>");
    row("all", &sum, out);
    out.push_str("</tfoot></table></div></section>");
}

fn reasons(survey: &Survey<'_>, out: &mut String) {
    let mut reasons: BTreeMap<(&str, &str, String), usize> = BTreeMap::new();
    for event in survey.events {
        if let Some(error) = &event.error {
            let reason = (event.op.name(), words::kind(event), cut(&error.to_string(), 160));
            *reasons.entry(reason).or_default() += 1;
        }
    }
    if reasons.is_empty() {
        return;
    }
    let mut reasons: Vec<_> = reasons.into_iter().collect();
    reasons.sort_by(|(a, many), (b, more)| more.cmp(many).then(a.cmp(b)));
    out.push_str(
        "<section id=\"reasons\"><h2>Why operations did not end ok</h2><div class=\"wide\"><table class=\"numbers\"><thead><tr>\
         <th scope=\"col\" class=\"n\">Times</th><th scope=\"col\">Operation</th><th scope=\"col\">Ended</th>\
         <th scope=\"col\">Why</th></tr></thead><tbody>",
    );
    for ((name, kind, error), times) in reasons.iter().take(REASONS_MAX) {
        put!(
            out,
            "<tr><td class=\"n\">{}</td><td>{}</td><td><span class=\"k {kind}\">{kind}</span></td><td>{}</td></tr>",
            count(*times),
            esc(name),
            esc(error)
        );
    }
    out.push_str("</tbody></table></div></section>");
}

fn drawn(run: &RunFacts, out: &mut String) {
    if run.drawn.is_empty() {
        return;
    }
    out.push_str("<section id=\"drawn\"><h2>What the seed drew</h2><dl class=\"drawn\">");
    for (name, value) in &run.drawn {
        put!(out, "<div><dt>{}</dt><dd>{}</dd></div>", esc(name), esc(value));
    }
    out.push_str("</dl></section>");
}
