//! Timeline: phases, faults by family, operations by outcome, and a lane for each process.

use std::collections::BTreeMap;

use judge::history::{FaultOutcome, PhaseName};

use super::lanes;
use crate::axis::RIGHT;
use crate::calls::{self, Ended};
use crate::chart::{Chart, bars};
use crate::faults::Span;
use crate::figures::{count, length, moment};
use crate::limits::{FAULT_ROWS_MAX, FAULTS_MAX};
use crate::markup::{esc, put};
use crate::survey::Survey;

/// Height of a fault's row.
const FAULT_ROW: f64 = 15.0;

/// Width of a letter of a label, about.
const LETTER: f64 = 5.9;

/// Draws the section.
pub(crate) fn draw(survey: &Survey<'_>, out: &mut String) {
    let mut chart = Chart::new(survey);
    phases(&mut chart);
    faults(&mut chart);
    operations(&mut chart);
    lanes::draw(&mut chart);
    out.push_str(
        "<section id=\"timeline\"><h2>Timeline</h2><p class=\"soft\">Shaded: a fault is in effect. \
         ▬ installed for a while, ◆ at once, ○ skipped, hatched: indeterminate.</p>",
    );
    out.push_str(&chart.draw("Phases, faults and operations over the time of the run"));
    out.push_str("</section>");
}

fn phases(chart: &mut Chart<'_, '_>) {
    if chart.survey.phases.is_empty() {
        return;
    }
    chart.name("phase", 18.0);
    let axis = chart.survey.axis;
    let phases = &chart.survey.phases;
    for (place, (time, name)) in phases.iter().enumerate() {
        let until = phases.get(place + 1).map_or(axis.end, |(until, _)| *until);
        let (from, to) = (axis.x(*time), axis.x(until));
        put!(
            chart.body,
            "<g><title>{0} from {1}, {2} long</title><rect class=\"phase\" x=\"{from:.1}\" y=\"{3:.1}\" \
             width=\"{4:.1}\" height=\"18\"/>",
            phase(*name),
            moment(*time),
            length(until.saturating_sub(*time)),
            chart.y,
            (to - from - 1.0).max(1.0),
        );
        if (to - from) > phase(*name).len() as f64 * LETTER + 8.0 {
            put!(
                chart.body,
                "<text class=\"inside\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                from + 5.0,
                chart.y + 13.0,
                phase(*name)
            );
        }
        chart.body.push_str("</g>");
    }
    chart.below(18.0);
}

fn phase(name: PhaseName) -> &'static str {
    match name {
        PhaseName::WarmUp => "warm-up",
        PhaseName::Main => "main",
        PhaseName::Heal => "heal",
        PhaseName::Final => "final",
    }
}

fn faults(chart: &mut Chart<'_, '_>) {
    let mut families: BTreeMap<&str, Vec<&Span<'_>>> = BTreeMap::new();
    for span in chart.survey.faults.iter().take(FAULTS_MAX) {
        families.entry(&span.fault.family).or_default().push(span);
    }
    for (family, spans) in families {
        let rows = rows(chart, &spans);
        let height = FAULT_ROW * rows.len() as f64;
        chart.name(family, height);
        for row in rows {
            for (place, (span, end)) in row.iter().enumerate() {
                let next =
                    row.get(place + 1).map_or(RIGHT, |(next, _)| chart.survey.axis.x(next.from()));
                fault(chart, span, *end, next);
            }
            chart.y += FAULT_ROW;
        }
        chart.below(0.0);
    }
}

/// Puts faults that overlap below each other; each with where its mark ends.
fn rows<'s, 'a>(chart: &Chart<'_, '_>, spans: &[&'s Span<'a>]) -> Vec<Vec<(&'s Span<'a>, f64)>> {
    let axis = chart.survey.axis;
    let mut rows: Vec<Vec<(&Span<'_>, f64)>> = Vec::new();
    for span in spans {
        let from = axis.x(span.from());
        let end = span.until.map_or(from, |until| axis.x(until)).max(from + 5.0);
        let is_free =
            |row: &&mut Vec<(&Span<'_>, f64)>| row.last().is_none_or(|(_, end)| *end + 7.0 <= from);
        let full = rows.len() >= FAULT_ROWS_MAX;
        match rows.iter_mut().find(is_free) {
            Some(row) => row.push((span, end)),
            None if full => rows[FAULT_ROWS_MAX - 1].push((span, end)),
            None => rows.push(vec![(span, end)]),
        }
    }
    rows
}

fn fault(chart: &mut Chart<'_, '_>, span: &Span<'_>, end: f64, next: f64) {
    let (from, middle) = (chart.survey.axis.x(span.from()), chart.y + FAULT_ROW / 2.0);
    let outcome = match span.fault.outcome {
        Some(FaultOutcome::Installed) => "installed",
        Some(FaultOutcome::Skipped) => "skipped",
        _ => "indeterminate",
    };
    put!(
        chart.body,
        "<g class=\"fault {outcome}\"><title>{} {outcome}: {}{}{}{}</title>",
        moment(span.from()),
        esc(&span.words),
        if span.fault.targets.is_empty() { "" } else { " → " },
        esc(span.targets()),
        esc(span.fault.reason.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()),
    );
    match span.fault.outcome {
        Some(FaultOutcome::Skipped) => {
            put!(chart.body, "<circle cx=\"{from:.1}\" cy=\"{middle:.1}\" r=\"3.5\"/>");
        }
        _ if span.is_moment() => {
            put!(chart.body, "<path d=\"M{from:.1} {:.1}l5 5-5 5-5-5Z\"/>", middle - 5.0)
        }
        _ => put!(
            chart.body,
            "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"10\" rx=\"2\"/>",
            middle - 5.0,
            end - from
        ),
    }
    let label = match span.fault.targets.is_empty() {
        true => span.words.clone(),
        false => span.targets(),
    };
    let label = crate::markup::cut(&label, 24);
    let room = next - end - 8.0;
    if room > label.chars().count() as f64 * LETTER {
        put!(
            chart.body,
            "<text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            end + 6.0,
            middle + 4.0,
            esc(label)
        );
    }
    chart.body.push_str("</g>");
}

fn operations(chart: &mut Chart<'_, '_>) {
    let buckets = calls::by_bucket(chart.survey);
    if buckets.iter().all(|ended| ended.all() == 0) {
        return;
    }
    chart.heading(&format!("operations ended, each {}", length(chart.survey.axis.bucket)));
    let all = |of: fn(&Ended) -> usize| buckets.iter().map(of).collect::<Vec<usize>>();
    let rows = [
        ("ok", all(|ended| ended.ok), 54.0),
        ("fail", all(|ended| ended.fail), 24.0),
        ("info", all(|ended| ended.info), 24.0),
    ];
    for (name, values, height) in rows {
        let most = values.iter().copied().max().unwrap_or_default();
        chart.name(&format!("{name}, most {}", count(most)), height);
        bars(chart, &format!("bars {name}"), &values, height);
        chart.below(height);
    }
    let (axis, top) = (chart.survey.axis, chart.y - 54.0 - 24.0 - 24.0 - 18.0);
    for (place, ended) in buckets.iter().enumerate().filter(|(_, ended)| ended.all() > 0) {
        put!(
            chart.body,
            "<rect class=\"hover\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"114\">\
             <title>{}: {} ok, {} fail, {} info</title></rect>",
            axis.x(axis.begins(place)),
            axis.width(),
            moment(axis.begins(place)),
            ended.ok,
            ended.fail,
            ended.info
        );
    }
}
