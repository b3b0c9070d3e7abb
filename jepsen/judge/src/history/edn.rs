//! EDN: the same history in the words of Jepsen's own tools.
//!
//! One map a line: `{:index 0, :time 12, :type :invoke, :process 3, :f :bind, :value {:comet "a", …}}`.
//! The nemesis's process is `:nemesis`; `type`, `f`, and the keys of values are keywords; everything
//! else is the JSON value of the same name.

use std::io::{self, Write};

use serde_json::Value;

use super::{Event, NEMESIS};

/// Writes a history as EDN.
///
/// # Errors
/// When the writer refuses.
pub fn export_edn(events: &[Event], mut out: impl Write) -> io::Result<()> {
    for event in events {
        let Value::Object(fields) = serde_json::to_value(event)? else {
            unreachable!("an event is a JSON object");
        };
        let mut text = String::from("{");
        for (place, (name, value)) in fields.iter().enumerate() {
            if place > 0 {
                text.push_str(", ");
            }
            text.push(':');
            text.push_str(&name.replace('_', "-"));
            text.push(' ');
            match (name.as_str(), value) {
                ("type" | "f", Value::String(word)) => {
                    text.push(':');
                    text.push_str(word);
                }
                ("process", _) if event.process == NEMESIS => text.push_str(":nemesis"),
                (_, value) => put(value, &mut text),
            }
        }
        text.push_str("}\n");
        out.write_all(text.as_bytes())?;
    }
    out.flush()
}

fn put(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("nil"),
        Value::Bool(_) | Value::Number(_) => text.push_str(&value.to_string()),
        Value::String(word) => put_text(word, text),
        Value::Array(items) => {
            text.push('[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    text.push(' ');
                }
                put(item, text);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            text.push('{');
            for (place, (name, value)) in fields.iter().enumerate() {
                if place > 0 {
                    text.push_str(", ");
                }
                text.push(':');
                text.push_str(&name.replace('_', "-"));
                text.push(' ');
                put(value, text);
            }
            text.push('}');
        }
    }
}

/// EDN's strings know fewer escapes than JSON's.
fn put_text(word: &str, text: &mut String) {
    text.push('"');
    for letter in word.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            letter => text.push(letter),
        }
    }
    text.push('"');
}
