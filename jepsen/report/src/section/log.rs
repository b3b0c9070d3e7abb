//! Log: what a shard did around one place of its log, as far as the operations tell it.

use std::collections::BTreeSet;

use judge::history::Operation;

use crate::figures::{count, length, moment};
use crate::limits::ANSWERED_AROUND;
use crate::markup::{esc, put};
use crate::survey::Survey;
use crate::words;

/// Draws the operations that were answered at the indices around one of a shard's: writes, and reads of the
/// addresses in question.
pub(crate) fn around(
    survey: &Survey<'_>,
    (shard, index): (u32, u64),
    keys: &BTreeSet<&str>,
    pointed: &[u64],
    out: &mut String,
) {
    let concerns = |operation: &&Operation<'_>| {
        operation.shard() == Some(shard)
            && (operation.op().writer().is_some()
                || operation.key().is_some_and(|key| keys.contains(key)))
    };
    let mut answered: Vec<(u64, &Operation<'_>)> = Vec::new();
    for operation in survey.operations.iter().filter(concerns) {
        answered.extend(operation.log_index().map(|at| (at, operation)));
    }
    answered.sort_by_key(|(at, operation)| (*at, operation.told_by()));
    // Many operations may have been answered at one index: it is the one pointed at that is in the middle.
    let place = answered
        .iter()
        .position(|(at, operation)| *at == index && pointed.contains(&operation.told_by()))
        .unwrap_or_else(|| answered.partition_point(|(at, _)| *at < index));
    let (from, until) = (place.saturating_sub(ANSWERED_AROUND), place + ANSWERED_AROUND + 1);
    put!(
        out,
        "<h4>Answers of shard {shard} around {index} of its log</h4><p class=\"soft\">Operations by the index at \
         which they were answered: writes, and reads of the addresses in question.</p>\
         <div class=\"wide\"><table class=\"events\"><thead><tr><th scope=\"col\">Index</th>\
         <th scope=\"col\">Operation</th><th scope=\"col\">Address</th><th scope=\"col\">Process</th>\
         <th scope=\"col\">Began</th><th scope=\"col\">Took</th><th scope=\"col\">Events</th>\
         <th scope=\"col\">Says</th></tr></thead><tbody>"
    );
    for (at, operation) in answered.iter().take(until).skip(from) {
        let end = operation.end.unwrap_or(operation.invoke);
        let is_pointed = [operation.began(), end.index].iter().any(|event| pointed.contains(event));
        let error = end.error.as_ref().map(ToString::to_string).unwrap_or_default();
        put!(
            out,
            "<tr{}><td class=\"n\">{}{at}</td><td><b>{}</b> <span class=\"k {3}\">{3}</span></td>\
             <td>{4}</td><td class=\"n\">{5}</td>",
            if is_pointed { " class=\"pointed\"" } else { "" },
            if is_pointed { "<b aria-label=\"pointed at\">▸</b> " } else { "" },
            esc(end.op.name()),
            words::kind(end),
            esc(operation.key().unwrap_or_default()),
            operation.invoke.process,
        );
        put!(
            out,
            "<td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}, {}</td>\
             <td>{} <i>{}</i></td></tr>",
            moment(operation.invoke.time),
            length(end.time.saturating_sub(operation.invoke.time)),
            count(operation.began() as usize),
            count(end.index as usize),
            esc(words::value(end)),
            esc(error),
        );
    }
    out.push_str("</tbody></table></div>");
}
