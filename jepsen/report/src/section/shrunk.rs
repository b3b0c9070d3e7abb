//! Shrunk: what is left of a run that was made as small as it goes.

use crate::facts::RunFacts;
use crate::figures::{count, some};
use crate::markup::{esc, put};

/// Draws it, where it was done.
pub(crate) fn draw(run: &RunFacts, out: &mut String) {
    let Some(shrunk) = &run.shrunk else { return };
    let kept = shrunk.kept.len();
    put!(
        out,
        "<section id=\"smallest\"><h2>The smallest plan</h2><p>{} of {} {} enough for <b>{}</b> to be \
         violated; to find that took {}.{}</p>",
        count(kept),
        some(shrunk.faults_before, "fault"),
        if kept == 1 { "is" } else { "are" },
        esc(&shrunk.property),
        some(shrunk.runs, "run"),
        if kept > 1 { " Without any one of them it holds." } else { "" },
    );
    let list = |name: &str, items: &[String], out: &mut String| {
        if !items.is_empty() {
            put!(out, "<h3>{name}</h3><ol>");
            items.iter().for_each(|item| put!(out, "<li>{}</li>", esc(item)));
            out.push_str("</ol>");
        }
    };
    list("Faults that are left", &shrunk.kept, out);
    list("Made smaller too", &shrunk.less, out);
    out.push_str("</section>");
}
