//! Entries: what the routers kept of a shard's log around one place of it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::entries::{Entries, Entry};
use crate::figures::some;
use crate::limits::{COMMANDS_MAX, ENTRIES_AROUND};
use crate::markup::{esc, put};
use crate::words;

/// Draws the entries around one place of a shard's log, or says that there are none.
pub(crate) fn around(
    entries: Option<&Entries>,
    (shard, index): (u32, u64),
    keys: &BTreeSet<&str>,
    out: &mut String,
) {
    put!(out, "<h4>The entries of the log of shard {shard} around {index}</h4>");
    let Some(entries) = entries else {
        out.push_str("<p>No entries of the routers' logs lie beside this history.</p>");
        return;
    };
    let (from, until) = (index.saturating_sub(ENTRIES_AROUND), index + ENTRIES_AROUND);
    kept(entries, shard, out);
    let mut around = entries.between(shard, from, until).peekable();
    if around.peek().is_none() {
        put!(out, "<p>No router kept an entry between {from} and {until}.</p>");
        return;
    }
    out.push_str(
        "<div class=\"wide\"><table class=\"events\"><thead><tr><th scope=\"col\">Index</th>\
         <th scope=\"col\">Term</th><th scope=\"col\">Nodes</th><th scope=\"col\">Says</th></tr>\
         </thead><tbody>",
    );
    around.for_each(|entry| one(entry, index, keys, out));
    out.push_str("</tbody></table></div>");
}

/// How far the log of each replica goes, and who could not be asked.
fn kept(entries: &Entries, shard: u32, out: &mut String) {
    let mut told: Vec<String> = Vec::new();
    for log in entries.logs_of(shard) {
        let purged = log.purged.map(|purged| format!("purged up to {purged}"));
        let last = match log.last {
            Some(last) => format!("the last entry is {last}"),
            None => "no entry is left".to_owned(),
        };
        let committed = log.committed.map(|committed| format!("committed {committed}"));
        let words: Vec<String> = purged.into_iter().chain([last]).chain(committed).collect();
        told.push(format!("node {}: {}", log.node, words.join(", ")));
    }
    told.extend(
        entries.unread.iter().map(|unread| format!("node {}: {}", unread.node, unread.why)),
    );
    put!(
        out,
        "<p class=\"soft\">What was on the routers' disks when the run had ended: {}.</p>",
        esc(if told.is_empty() { "nobody kept this log".to_owned() } else { told.join("; ") })
    );
}

fn one(entry: &Entry, index: u64, keys: &BTreeSet<&str>, out: &mut String) {
    let is_pointed = entry.index == index;
    let nodes: Vec<String> = entry.nodes.iter().map(u64::to_string).collect();
    put!(
        out,
        "<tr{}><td class=\"n\">{}{}</td><td class=\"n\">{}</td><td class=\"n\">{}{}</td><td>",
        if is_pointed { " class=\"pointed\"" } else { "" },
        if is_pointed { "<b aria-label=\"pointed at\">▸</b> " } else { "" },
        entry.index,
        entry.term.map(|term| term.to_string()).unwrap_or_default(),
        esc(nodes.join(", ")),
        if entry.differs { " <i>differs</i>" } else { "" },
    );
    says(&entry.says, keys, out);
    out.push_str("</td></tr>");
}

/// What an entry says: its commands one below the other, those of the addresses in question first.
fn says(says: &Value, keys: &BTreeSet<&str>, out: &mut String) {
    let Some((kind, fields)) = says.as_object().and_then(|says| says.iter().next()) else { return };
    let Some(commands) = fields.get("commands").and_then(Value::as_array) else {
        put!(out, "<b>{}</b> {}", esc(kind), esc(words::fields(fields)));
        return;
    };
    let concerns = |command: &&Value| keys.iter().any(|key| names(command, key));
    let (ours, others): (Vec<&Value>, Vec<&Value>) = commands.iter().partition(concerns);
    for (at, command) in ours.iter().chain(&others).take(COMMANDS_MAX).enumerate() {
        if at > 0 {
            out.push_str("<br>");
        }
        let told = command.as_object().and_then(|command| command.iter().next());
        match told {
            Some((name, fields)) => {
                put!(out, "<b>{}</b> {}", esc(name), esc(words::fields(fields)));
            }
            None => put!(out, "{}", esc(command)),
        }
    }
    match commands.len() {
        0 => put!(out, "<b>{}</b> of no commands: a tick", esc(kind)),
        all if all > COMMANDS_MAX => {
            put!(out, "<br>and {}", some(all - COMMANDS_MAX, "other command"));
        }
        _ => {}
    }
}

/// Whether a text anywhere in a value is this address.
fn names(value: &Value, key: &str) -> bool {
    match value {
        Value::String(text) => text == key,
        Value::Array(items) => items.iter().any(|item| names(item, key)),
        Value::Object(fields) => fields.values().any(|value| names(value, key)),
        _ => false,
    }
}
