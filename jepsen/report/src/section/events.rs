//! Events: a list of them, with a strand for each process that shows what was going on at the same time.

use std::collections::{BTreeMap, BTreeSet};

use judge::history::{Event, Kind};

use crate::figures::{count, moment};
use crate::limits::STRANDS_MAX;
use crate::markup::{esc, put};
use crate::survey::Survey;
use crate::words;

/// Distance between two strands.
const STEP: usize = 12;

/// Height of a row, which the style sheet knows too.
const ROW: usize = 26;

/// Draws events by their places in the history, in ascending order; those pointed at stand out.
pub(crate) fn list(survey: &Survey<'_>, places: &[u64], pointed: &[u64], out: &mut String) {
    let events: Vec<&Event> = places.iter().filter_map(|at| survey.event(*at)).collect();
    let strands = Strands::of(survey, &events);
    out.push_str(
        "<div class=\"wide\"><table class=\"events\"><thead><tr><th scope=\"col\">Event</th>\
         <th scope=\"col\">Time</th><th scope=\"col\" aria-label=\"Processes side by side\"></th>\
         <th scope=\"col\">Process</th><th scope=\"col\">Operation</th><th scope=\"col\">Address</th>\
         <th scope=\"col\">Shard @ index</th><th scope=\"col\">Says</th></tr></thead><tbody>",
    );
    for event in events {
        let is_pointed = pointed.contains(&event.index);
        put!(
            out,
            "<tr{}><td class=\"n\">{}{}</td><td class=\"n\">{}</td><td class=\"strands\">",
            if is_pointed { " class=\"pointed\"" } else { "" },
            if is_pointed { "<b aria-label=\"pointed at\">▸</b> " } else { "" },
            count(event.index as usize),
            moment(event.time),
        );
        strands.draw(event, out);
        let process = match event.process {
            judge::history::NEMESIS => "nemesis".to_owned(),
            number => number.to_string(),
        };
        put!(
            out,
            "</td><td class=\"n\">{process}</td><td><b>{}</b> <span class=\"k {2}\">{2}</span></td>\
             <td>{1}</td><td class=\"n\">{3}</td><td>",
            esc(event.op.name()),
            esc(event.key.as_deref().unwrap_or_default()),
            words::kind(event),
            words::place(event),
        );
        let value = words::value(event);
        put!(out, "{}", esc(&value));
        if let Some(error) = &event.error {
            put!(out, "{}<i>{}</i>", if value.is_empty() { "" } else { "; " }, esc(error));
        }
        out.push_str("</td></tr>");
    }
    out.push_str("</tbody></table></div>");
}

/// The processes of a list, side by side.
struct Strands {
    /// The column of each; none where there are too many.
    columns: BTreeMap<i64, usize>,
    /// Beginnings and ends of each one's operations.
    open: BTreeMap<i64, Vec<(u64, u64)>>,
}

impl Strands {
    fn of(survey: &Survey<'_>, events: &[&Event]) -> Self {
        let mut columns = BTreeMap::new();
        for event in events.iter().filter(|event| !event.op.is_mark()) {
            let next = columns.len();
            columns.entry(event.process).or_insert(next);
        }
        if columns.len() > STRANDS_MAX {
            columns.clear();
        }
        let shown: BTreeSet<u64> = events.iter().map(|event| event.index).collect();
        let mut open: BTreeMap<i64, Vec<(u64, u64)>> = BTreeMap::new();
        for operation in &survey.operations {
            let (process, began) = (operation.invoke.process, operation.began());
            let end = operation.end.map(|end| end.index);
            // Only what the list shows the beginning or the end of has a line.
            let is_shown = shown.contains(&began) || end.is_some_and(|end| shown.contains(&end));
            if is_shown && columns.contains_key(&process) {
                open.entry(process).or_default().push((began, end.unwrap_or(u64::MAX)));
            }
        }
        Self { columns, open }
    }

    fn draw(&self, event: &Event, out: &mut String) {
        if self.columns.is_empty() {
            return;
        }
        let (width, middle) = (self.columns.len() * STEP, ROW / 2);
        put!(
            out,
            "<svg width=\"{width}\" height=\"{ROW}\" aria-hidden=\"true\"><path class=\"strand\" d=\""
        );
        for (process, column) in &self.columns {
            let x = column * STEP + STEP / 2;
            for (began, ended) in self.open.get(process).into_iter().flatten() {
                match event.index {
                    at if at == *began => put!(out, "M{x} {middle}V{ROW}"),
                    at if at == *ended => put!(out, "M{x} 0V{middle}"),
                    at if *began < at && at < *ended => put!(out, "M{x} 0V{ROW}"),
                    _ => {}
                }
            }
        }
        out.push_str("\"/>");
        if let Some(column) = self.columns.get(&event.process).filter(|_| !event.op.is_mark()) {
            let x = column * STEP + STEP / 2;
            match event.kind {
                Kind::Invoke => {
                    put!(out, "<circle class=\"begins\" cx=\"{x}\" cy=\"{middle}\" r=\"3.5\"/>")
                }
                Kind::Ok => put!(out, "<circle class=\"ok\" cx=\"{x}\" cy=\"{middle}\" r=\"4\"/>"),
                Kind::Fail => put!(
                    out,
                    "<path class=\"fail\" d=\"M{x} {}l4.5 4.5-4.5 4.5-4.5-4.5Z\"/>",
                    middle as f64 - 4.5
                ),
                Kind::Info => {
                    put!(out, "<path class=\"info\" d=\"M{} {}l8 8m0-8l-8 8\"/>", x - 4, middle - 4)
                }
            }
        }
        out.push_str("</svg>");
    }
}
