//! Words: an event in one line.
//!
//! Whatever an operation says is told, also where it is of a kind that this file never heard of: it reads
//! the event's JSON. Names are put together as the harness's scripts write them: `comet#incarnation.conn:seq`
//! is a route, `key:seq` a member.

use judge::history::{Event, Kind};
use serde_json::{Map, Value};

use crate::limits::VALUE_CHARS_MAX;
use crate::markup::cut;

/// What an event's operation says, without its name and address.
pub(crate) fn value(event: &Event) -> String {
    let told = match serde_json::to_value(&event.op) {
        Ok(Value::Object(mut op)) => op.remove("value").unwrap_or_default(),
        _ => Value::Null,
    };
    let text = match told {
        Value::Object(fields) => all(fields),
        Value::Null => String::new(),
        other => one(&other),
    };
    cut(&text, VALUE_CHARS_MAX)
}

/// Fields with their values, in one line.
pub(crate) fn fields(value: &Value) -> String {
    let text = match value {
        Value::Object(fields) => all(fields.clone()),
        other => one(other),
    };
    cut(&text, VALUE_CHARS_MAX)
}

/// How an event ends its operation, as a word.
pub(crate) fn kind(event: &Event) -> &'static str {
    match event.kind {
        _ if event.op.is_mark() => "mark",
        Kind::Invoke => "begins",
        Kind::Ok => "ok",
        Kind::Fail => "fail",
        Kind::Info => "info",
    }
}

/// Where an event was answered: `shard 2 @ 845`.
pub(crate) fn place(event: &Event) -> String {
    match (event.shard, event.log_index) {
        (Some(shard), Some(index)) => format!("{shard} @ {index}"),
        (Some(shard), None) => shard.to_string(),
        (None, Some(index)) => format!("@ {index}"),
        (None, None) => String::new(),
    }
}

/// Fields as names with values; comet, incarnation, conn and seq are one name.
fn all(mut fields: Map<String, Value>) -> String {
    let mut words = Vec::new();
    if let Some(name) = life(&mut fields) {
        words.push(name);
    }
    for (name, value) in &fields {
        match value {
            Value::Null | Value::Bool(false) => {}
            // That nobody gave way goes without saying.
            Value::Array(items) if items.is_empty() && name == "losers" => {}
            Value::Array(items) if items.is_empty() && name == "families" => {
                words.push("everything".to_owned());
            }
            Value::Bool(true) => words.push(name.clone()),
            value => words.push(format!("{name} {}", one(value))),
        }
    }
    words.join(", ")
}

/// Takes a comet's life, and with it a connection of it, out of some fields.
fn life(fields: &mut Map<String, Value>) -> Option<String> {
    fields.get("comet")?.as_str()?;
    fields.get("incarnation").filter(|of| of.is_u64())?;
    let (comet, incarnation) = (fields.remove("comet")?, fields.remove("incarnation")?);
    let conn = fields.remove("conn").map(|conn| format!(".{conn}")).unwrap_or_default();
    Some(format!("{}#{incarnation}{conn}", comet.as_str().unwrap_or_default()))
}

fn one(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // A comet with its life.
        Value::Array(pair) if matches!(&pair[..], [Value::String(_), Value::Number(_)]) => {
            format!("{}#{}", one(&pair[0]), pair[1])
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(one).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Object(fields) => route(fields.clone()),
        other => other.to_string(),
    }
}

fn route(mut fields: Map<String, Value>) -> String {
    let name = life(&mut fields).or_else(|| {
        let key = fields.get("key")?.as_str()?.to_owned();
        fields.remove("key");
        Some(key)
    });
    match (name, fields.remove("seq")) {
        (Some(name), Some(seq)) if fields.is_empty() => format!("{name}:{seq}"),
        (Some(name), None) if fields.is_empty() => name,
        (name, seq) => {
            let mut words: Vec<String> = name.into_iter().collect();
            words.extend(seq.map(|seq| format!("seq {seq}")));
            words.push(all(fields));
            format!("({})", words.join(", "))
        }
    }
}

/// A value of a plan: `{"leader-of": 3}` is `leader of 3`.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let words = fields
                .iter()
                .map(|(name, value)| format!("{} {}", name.replace(['-', '_'], " "), plain(value)));
            words.collect::<Vec<_>>().join(", ")
        }
        other => one(other),
    }
}

#[cfg(test)]
mod tests {
    use judge::history::{Bind, Locate, Op, Route};

    use super::*;

    fn told(op: Op) -> String {
        value(&Event::new(0, 0, 1, Kind::Ok, op))
    }

    #[test]
    fn routes_are_names() {
        let loser = Route { comet: "b".into(), incarnation: 2, conn: 3, seq: 4 };
        let bind = Bind {
            comet: "a".into(),
            incarnation: 1,
            conn: 7,
            seq: Some(9),
            losers: Some(vec![loser.clone()]),
            ..Bind::default()
        };
        assert_eq!(told(Op::Bind(bind)), "a#1.7, losers [b#2.3:4], seq 9");
        let locate = Locate { stale: false, routes: Some(vec![loser.clone(), loser]) };
        assert_eq!(told(Op::Locate(locate)), "routes [b#2.3:4 b#2.3:4]");
        assert_eq!(told(Op::Locate(Locate::default())), "");
    }
}
