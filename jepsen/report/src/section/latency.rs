//! Latency: how long operations took, by kind and time, in powers of ten.

use crate::axis::{LEFT, RIGHT};
use crate::calls::{Calls, Took};
use crate::chart::Chart;
use crate::figures::{count, length, moment};
use crate::limits::KINDS_MAX;
use crate::markup::{esc, put};
use crate::survey::Survey;

/// Height of one kind's drawing.
const HEIGHT: f64 = 72.0;

/// What the drawings show at least and at most, as powers of ten of nanoseconds: 100 µs to 1,000 s.
const POWERS: (i32, i32) = (5, 12);

/// Draws the section.
pub(crate) fn draw(survey: &Survey<'_>, kinds: &[(&'static str, Calls)], out: &mut String) {
    let shown: Vec<_> =
        kinds.iter().filter(|(_, calls)| calls.ended.ok > 0).take(KINDS_MAX).collect();
    if shown.is_empty() {
        return;
    }
    let all = || shown.iter().flat_map(|(_, calls)| calls.buckets.iter().flatten());
    let least = all().map(|took| took.p50).min().unwrap_or_default().max(1);
    let most = all().map(|took| took.max).max().unwrap_or_default().max(1);
    let low = least.ilog10() as i32;
    let low = low.clamp(POWERS.0, POWERS.1 - 1);
    let high = (most.ilog10() as i32 + 1).clamp(low + 1, POWERS.1);
    let mut chart = Chart::new(survey);
    for (name, calls) in shown {
        kind(&mut chart, name, calls, (low, high));
    }
    put!(
        out,
        "<section id=\"latency\"><h2>Latency</h2><p class=\"soft\">Of operations that ended ok, by when \
         they began, each {}. Thick line: half are faster. Thin dashes: 99 of 100 are. Dots: the slowest.</p>",
        length(survey.axis.bucket)
    );
    out.push_str(&chart.draw("Latency of each kind of operation over the time of the run"));
    out.push_str("</section>");
}

fn kind(chart: &mut Chart<'_, '_>, name: &str, calls: &Calls, (low, high): (i32, i32)) {
    let Took { p50, p99, max } = calls.whole;
    chart.heading(&format!(
        "{name}: {} ok · half {} · 99 of 100 {} · slowest {}",
        count(calls.ended.ok),
        length(p50),
        length(p99),
        length(max)
    ));
    let (axis, top) = (chart.survey.axis, chart.y);
    let y = |nanos: u64| {
        let power = (nanos.max(1) as f64).log10().clamp(f64::from(low), f64::from(high));
        top + HEIGHT * (f64::from(high) - power) / f64::from(high - low)
    };
    let mut lines = String::new();
    for power in low..=high {
        let at = y(10_u64.pow(power as u32));
        put!(lines, "M{LEFT:.0} {at:.1}H{RIGHT:.0}");
        // Where the powers are many, every other one has a number.
        if (high - power) % (1 + (high - low) / 5) == 0 {
            put!(
                chart.body,
                "<text class=\"name\" x=\"{:.0}\" y=\"{:.1}\">{}</text>",
                LEFT - 10.0,
                at + 4.0,
                decade(power)
            );
        }
    }
    put!(chart.body, "<path class=\"powers\" d=\"{lines}\"/>");
    let line = |of: fn(&Took) -> u64| {
        let (mut path, mut goes_on) = (String::new(), false);
        for (place, took) in calls.buckets.iter().enumerate() {
            if let Some(took) = took {
                let (x, y) = (axis.middle(place), y(of(took)));
                match goes_on {
                    true => put!(path, "L{x:.1} {y:.1}"),
                    false => put!(path, "M{x:.1} {y:.1}h0"),
                }
            }
            goes_on = took.is_some();
        }
        path
    };
    let mut dots = String::new();
    for (place, took) in calls.buckets.iter().enumerate() {
        if let Some(took) = took {
            put!(dots, "M{:.1} {:.1}h0", axis.middle(place), y(took.max));
        }
    }
    put!(
        chart.body,
        "<path class=\"max\" d=\"{dots}\"/><path class=\"p99\" d=\"{}\"/><path class=\"p50\" d=\"{}\"/>",
        line(|took| took.p99),
        line(|took| took.p50)
    );
    for (place, took) in calls.buckets.iter().enumerate() {
        if let Some(took) = took {
            put!(
                chart.body,
                "<rect class=\"hover\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{HEIGHT:.0}\">\
                 <title>{} at {}: half {}, 99 of 100 {}, slowest {}</title></rect>",
                axis.x(axis.begins(place)),
                axis.width(),
                esc(name),
                moment(axis.begins(place)),
                length(took.p50),
                length(took.p99),
                length(took.max)
            );
        }
    }
    chart.below(HEIGHT);
}

fn decade(power: i32) -> String {
    let (units, unit) = match power {
        ..6 => (power - 3, "µs"),
        6..9 => (power - 6, "ms"),
        _ => (power - 9, "s"),
    };
    format!("{} {unit}", count(10_usize.pow(units.max(0) as u32)))
}
