//! Verdicts: every property with what it says and whether that holds.

use judge::checker::Judged;
use judge::verdict::Verdict;

use crate::figures::some;
use crate::markup::{esc, put};
use crate::properties::sentence;

/// Draws the table.
pub(crate) fn draw(judged: &[Judged], out: &mut String) {
    if judged.is_empty() {
        return;
    }
    out.push_str(
        "<section id=\"verdicts\"><h2>Verdicts</h2><div class=\"wide\"><table class=\"verdicts\">\
         <thead><tr><th scope=\"col\">Verdict</th><th scope=\"col\">Property</th>\
         <th scope=\"col\">What it says</th><th scope=\"col\">Source</th></tr></thead><tbody>",
    );
    // What is wrong comes first.
    let mut ordered: Vec<&Judged> = judged.iter().collect();
    ordered.sort_by_key(|judged| match judged.verdict {
        Some(Verdict::Violated(_)) => 0,
        Some(Verdict::Unknown(_)) => 1,
        Some(Verdict::Holds) => 2,
        None => 3,
    });
    for judged in ordered {
        row(judged, out);
    }
    out.push_str("</tbody></table></div></section>");
}

fn row(judged: &Judged, out: &mut String) {
    let property = judged.property;
    let name = property.name;
    let (class, sign, word) = match &judged.verdict {
        Some(Verdict::Holds) => ("holds", "✓", "holds"),
        Some(Verdict::Violated(_)) => ("violated", "✕", "violated"),
        Some(Verdict::Unknown(_)) => ("unknown", "?", "unknown"),
        None => ("silent", "–", "not asked"),
    };
    put!(
        out,
        "<tr class=\"{class}\"><td><span class=\"verdict small {class}\">\
         <span class=\"sign\" aria-hidden=\"true\">{sign}</span>{word}</span></td><th scope=\"row\">"
    );
    match &judged.verdict {
        Some(Verdict::Violated(_)) => put!(out, "<a href=\"#{0}\">{0}</a>", esc(name)),
        _ => put!(out, "{}", esc(name)),
    }
    put!(out, "</th><td>{}", esc(sentence(name).unwrap_or_default()));
    match &judged.verdict {
        Some(Verdict::Violated(all)) => {
            put!(out, "<br><strong>{}</strong>", some(all.len(), "violation"));
        }
        Some(Verdict::Unknown(why)) => put!(out, "<br><strong>{}</strong>", esc(why)),
        None => put!(out, "<br><em>Nothing in this history speaks of it.</em>"),
        Some(Verdict::Holds) => {}
    }
    if let Some(share) = &judged.share {
        put!(out, "<br>{}", esc(&share.to_string()));
    }
    put!(out, "</td><td class=\"soft\">{}</td></tr>", esc(property.source));
}
