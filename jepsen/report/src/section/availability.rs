//! Availability: when each shard served, and how long after each fault it did again.

use std::collections::BTreeMap;

use judge::history::FaultOutcome;

use crate::availability::{self, Gap, Shard};
use crate::chart::{Chart, bars};
use crate::figures::{count, length, moment, percentile, some};
use crate::limits::{FAULTS_MAX, GAPS_MAX, SHARD_COLUMNS_MAX, SHARDS_MAX};
use crate::markup::{esc, put};
use crate::survey::Survey;

/// Height of a shard's row.
const ROW: f64 = 16.0;

/// Draws the section.
pub(crate) fn draw(survey: &Survey<'_>, out: &mut String) {
    let shards = availability::shards(survey);
    if shards.is_empty() {
        return;
    }
    put!(
        out,
        "<section id=\"availability\"><h2>Availability</h2><p class=\"soft\">Acknowledged writes of each \
         shard, each {}. A bar with a number is a second or more without one.</p>",
        length(survey.axis.bucket)
    );
    strips(survey, &shards, out);
    gaps(survey, &shards, out);
    let moments = moments(survey);
    families(&moments, &shards, out);
    after_each(&moments, &shards, out);
    out.push_str("</section>");
}

fn strips(survey: &Survey<'_>, shards: &[Shard], out: &mut String) {
    let mut worst: Vec<&Shard> = shards.iter().collect();
    worst.sort_by_key(|shard| (std::cmp::Reverse(shard.longest()), shard.number));
    worst.truncate(SHARDS_MAX);
    worst.sort_by_key(|shard| shard.number);
    let mut chart = Chart::new(survey);
    for shard in worst {
        chart.name(&format!("shard {}", shard.number), ROW);
        bars(&mut chart, "bars ok", &shard.buckets, ROW);
        for gap in &shard.gaps {
            let (from, to) = (survey.axis.x(gap.from), survey.axis.x(gap.until));
            put!(
                chart.body,
                "<g class=\"gap\"><title>shard {}: {} without an acknowledged write from {}; {} began \
                 meanwhile</title><rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{ROW}\"/>",
                shard.number,
                length(gap.length()),
                moment(gap.from),
                some(gap.asked, "write"),
                chart.y,
                (to - from).max(1.0)
            );
            if to - from > 30.0 {
                put!(
                    chart.body,
                    "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                    f64::midpoint(from, to),
                    chart.y + 12.0,
                    length(gap.length())
                );
            }
            chart.body.push_str("</g>");
        }
        chart.below(ROW);
    }
    out.push_str(&chart.draw("Acknowledged writes of each shard over the time of the run"));
}

fn gaps(survey: &Survey<'_>, shards: &[Shard], out: &mut String) {
    let mut all: Vec<(u32, Gap)> = Vec::new();
    for shard in shards {
        all.extend(shard.gaps.iter().map(|gap| (shard.number, *gap)));
    }
    if all.is_empty() {
        out.push_str("<p>No shard went a second without an acknowledged write.</p>");
        return;
    }
    all.sort_by_key(|(shard, gap)| (std::cmp::Reverse(gap.length()), *shard));
    put!(
        out,
        "<h3>Gaps</h3><p class=\"soft\">A second or more between two acknowledged writes of a shard: {} in \
         all. Where nobody asked, nothing was missing.</p><div class=\"wide\"><table class=\"numbers\"><thead><tr>\
         <th scope=\"col\" class=\"n\">Shard</th><th scope=\"col\" class=\"n\">From</th>\
         <th scope=\"col\" class=\"n\">Length</th><th scope=\"col\" class=\"n\">Writes begun meanwhile</th><th scope=\"col\">Faults in effect</th></tr></thead><tbody>",
        count(all.len())
    );
    for (shard, gap) in all.iter().take(GAPS_MAX) {
        let met = survey.faults.iter().filter(|span| {
            span.may_hurt()
                && span.from() <= gap.until
                && span.until.unwrap_or(span.from()) >= gap.from
        });
        let met: Vec<String> =
            met.map(|span| format!("{} {}", span.words, span.targets())).collect();
        put!(
            out,
            "<tr><td class=\"n\">{shard}</td><td class=\"n\">{}</td><td class=\"n\"><b>{}</b></td>\
             <td class=\"n\">{}</td><td>{}</td></tr>",
            moment(gap.from),
            length(gap.length()),
            count(gap.asked),
            esc(crate::markup::cut(&met.join("; "), 240))
        );
    }
    out.push_str("</tbody></table></div>");
}

/// A moment after which every shard should serve again.
struct Moment<'a> {
    time: u64,
    family: &'a str,
    words: String,
}

fn moments<'s>(survey: &'s Survey<'_>) -> Vec<Moment<'s>> {
    let installed =
        survey.faults.iter().filter(|span| span.fault.outcome == Some(FaultOutcome::Installed));
    let faults = installed.map(|span| Moment {
        time: span.from(),
        family: &span.fault.family,
        words: format!("{} {}", span.words, span.targets()),
    });
    let heals = survey.heals.iter().map(|time| Moment {
        time: *time,
        family: "heal",
        words: "everything healed".to_owned(),
    });
    let mut moments: Vec<Moment<'_>> = faults.chain(heals).collect();
    moments.sort_by_key(|moment| moment.time);
    moments
}

/// By family: how long until a shard acknowledged a write again.
fn families(moments: &[Moment<'_>], shards: &[Shard], out: &mut String) {
    let mut families: BTreeMap<&str, (Vec<u64>, usize)> = BTreeMap::new();
    for moment in moments {
        let (waits, never) = families.entry(moment.family).or_default();
        for shard in shards {
            match shard.first_after(moment.time) {
                Some(wait) => waits.push(wait),
                None => *never += 1,
            }
        }
    }
    if families.is_empty() {
        return;
    }
    out.push_str(
        "<h3>First acknowledged write after a fault</h3><p class=\"soft\">Of writes that began after it, \
         for each shard; with the time until somebody asked.</p><div class=\"wide\"><table class=\"numbers\"><thead><tr>\
         <th scope=\"col\">After</th><th scope=\"col\" class=\"n\">Times</th>\
         <th scope=\"col\" class=\"n\">Half within</th><th scope=\"col\" class=\"n\">99 of 100 within</th>\
         <th scope=\"col\" class=\"n\">Longest</th><th scope=\"col\" class=\"n\">Never</th></tr></thead><tbody>",
    );
    for (family, (mut waits, never)) in families {
        waits.sort_unstable();
        put!(
            out,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td>",
            esc(family),
            count(waits.len())
        );
        for hundredths in [50, 99, 100] {
            put!(out, "<td class=\"n\">{}</td>", length(percentile(&waits, hundredths)));
        }
        put!(out, "<td class=\"n\">{}</td></tr>", count(never));
    }
    out.push_str("</tbody></table></div>");
}

fn after_each(moments: &[Moment<'_>], shards: &[Shard], out: &mut String) {
    if moments.is_empty() {
        return;
    }
    put!(
        out,
        "<details><summary>The same for each of {}</summary><div class=\"wide\"><table><thead><tr>\
         <th scope=\"col\">Time</th><th scope=\"col\">After</th><th scope=\"col\">Slowest</th>",
        some(moments.len(), "moment")
    );
    let has_columns = shards.len() <= SHARD_COLUMNS_MAX;
    if has_columns {
        shards.iter().for_each(|one| put!(out, "<th scope=\"col\">{}</th>", one.number));
    }
    out.push_str("</tr></thead><tbody>");
    let wait = |wait: Option<u64>| wait.map_or("<b>never</b>".to_owned(), length);
    for moment in moments.iter().take(FAULTS_MAX) {
        let waits: Vec<Option<u64>> =
            shards.iter().map(|shard| shard.first_after(moment.time)).collect();
        let slowest = shards.iter().zip(&waits).max_by_key(|(_, wait)| wait.unwrap_or(u64::MAX));
        put!(
            out,
            "<tr><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td>",
            crate::figures::moment(moment.time),
            esc(&moment.words),
            slowest
                .map(|(shard, slow)| format!(
                    "{} <small>shard {}</small>",
                    wait(*slow),
                    shard.number
                ))
                .unwrap_or_default()
        );
        if has_columns {
            waits.iter().for_each(|one| put!(out, "<td class=\"n\">{}</td>", wait(*one)));
        }
        out.push_str("</tr>");
    }
    out.push_str("</tbody></table></div></details>");
}
