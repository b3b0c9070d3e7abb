//! Told: an entry as JSON, by the contract that it is stored in: a command that the contract gains is told
//! without a change here.

use std::collections::BTreeMap;

use bytes::Bytes;
use orrery_proto::DESCRIPTORS;
use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind, MapKey, MessageDescriptor, ReflectMessage as _, Value,
};
use serde_json::{Map, Value as Json, json};

/// The message that every entry is.
const ENTRY: &str = "orrery.storage.v1.Entry";

/// An address, which is told as its name.
const ADDRESS: &str = "orrery.common.v1.Address";

/// A comet in one of its lives, told as its name and its incarnation.
const COMET: &str = "orrery.common.v1.CometRef";

/// The kinds of entries that hold commands.
const BATCHES: [&str; 2] = ["batch", "control"];

/// Tells entries.
pub(super) struct Told(MessageDescriptor);

impl Told {
    pub(super) fn new() -> Self {
        let pool = DescriptorPool::decode(DESCRIPTORS).expect("our own contracts are whole");
        Self(pool.get_message_by_name(ENTRY).expect("the contract of what is stored names it"))
    }

    /// An entry's term, and the name of its kind with its fields.
    pub(super) fn entry(&self, bytes: Bytes) -> (Option<u64>, Json) {
        let entry = match DynamicMessage::decode(self.0.clone(), bytes) {
            Ok(entry) => entry,
            Err(error) => return (None, json!({ "unreadable": error.to_string() })),
        };
        let Json::Object(mut fields) = message(&entry) else {
            return (None, json!({ "unreadable": "it is empty" }));
        };
        fields.remove("version");
        for kind in BATCHES {
            if let Some(batch) = fields.get_mut(kind).and_then(Json::as_object_mut) {
                batch.remove("version");
                // One of no commands says so.
                batch.entry("commands").or_insert_with(|| json!([]));
            }
        }
        let id = fields.remove("id").unwrap_or_default();
        // The very first entry of a shard is of term 0, which goes without saying there.
        let term = id.get("term").and_then(Json::as_u64).unwrap_or_default();
        (Some(term), Json::Object(fields))
    }
}

fn message(message: &DynamicMessage) -> Json {
    let text =
        |name| message.get_field_by_name(name).and_then(|value| value.as_str().map(str::to_owned));
    match message.descriptor().full_name() {
        ADDRESS => {
            let (namespace, id) =
                (text("namespace").unwrap_or_default(), text("id").unwrap_or_default());
            return match namespace.is_empty() {
                true => id.into(),
                false => format!("{namespace}/{id}").into(),
            };
        }
        COMET => {
            let incarnation = message.get_field_by_name("incarnation");
            let incarnation = incarnation.and_then(|value| value.as_u64()).unwrap_or_default();
            return json!({ "comet": text("id"), "incarnation": incarnation });
        }
        _ => {}
    }
    let mut told = Map::new();
    for (field, value) in message.fields() {
        match (one(&field.kind(), value), field.kind()) {
            // A route is known by its comet, incarnation and conn, side by side as in a history.
            (Json::Object(comet), Kind::Message(of))
                if of.full_name() == COMET && field.name() == "comet" =>
            {
                told.extend(comet);
            }
            (value, _) => drop(told.insert(field.name().to_owned(), value)),
        }
    }
    Json::Object(told)
}

fn one(kind: &Kind, value: &Value) -> Json {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::I32(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::U32(value) => (*value).into(),
        Value::U64(value) => (*value).into(),
        Value::F32(value) => (*value).into(),
        Value::F64(value) => (*value).into(),
        Value::String(value) => value.as_str().into(),
        Value::Bytes(value) => {
            value.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
        }
        Value::EnumNumber(number) => match kind {
            Kind::Enum(of) => of.get_value(*number).map_or((*number).into(), |of| of.name().into()),
            _ => (*number).into(),
        },
        Value::Message(value) => message(value),
        Value::List(values) => values.iter().map(|value| one(kind, value)).collect(),
        Value::Map(values) => {
            let Kind::Message(entry) = kind else { return Json::Null };
            let kind = entry.map_entry_value_field().kind();
            let told = values.iter().map(|(key, value)| (name(key), one(&kind, value)));
            // In one order, whatever the map's is.
            let told: BTreeMap<String, Json> = told.collect();
            Json::Object(told.into_iter().collect())
        }
    }
}

fn name(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.clone(),
    }
}

#[cfg(test)]
mod tests {
    use orrery_proto::{common, registry, storage};
    use prost::Message as _;
    use storage::entry::Payload;

    use super::*;

    fn told(payload: Payload) -> (Option<u64>, Json) {
        let id = Some(storage::LogId { term: 4, index: 9 });
        let entry = storage::Entry { version: 1, id, payload: Some(payload) };
        Told::new().entry(entry.encode_to_vec().into())
    }

    #[test]
    fn commands_are_told_by_their_names_with_their_fields() {
        let address = |id: &str| common::Address { kind: 1, id: id.into(), ..Default::default() };
        let comet = common::CometRef { id: "alpha".into(), incarnation: 3 };
        let labels = [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())];
        let bind = registry::Bind {
            address: Some(address("user-1")),
            comet: Some(comet.clone()),
            conn: 7,
            details: Some(common::Details { labels: labels.into(), ..Default::default() }),
            policy: Some(common::Policy { scope: 1, n: 1, keep: 0 }),
            ..Default::default()
        };
        let list = registry::ListRoom {
            room: Some(common::Address { namespace: "shop".into(), ..address("room-1") }),
            comet: Some(comet),
            version: 2,
        };
        let commands =
            [registry::command::Kind::Bind(bind), registry::command::Kind::UnbindRoom(list)];
        let commands = commands.map(|kind| registry::Command { kind: Some(kind) }).into();
        let batch = registry::Batch { version: 1, elapsed_ms: 12, wall_ms: 0, commands };
        let (term, says) = told(Payload::Batch(batch));
        assert_eq!(term, Some(4));
        let bind = json!({
            "address": "user-1", "comet": "alpha", "incarnation": 3, "conn": 7,
            "details": {"labels": {"a": "1", "b": "2"}},
            "policy": {"scope": "SCOPE_PER_ADDRESS", "n": 1},
        });
        let list =
            json!({ "room": "shop/room-1", "comet": "alpha", "incarnation": 3, "version": 2 });
        let commands = json!([{ "bind": bind }, { "unbind_room": list }]);
        assert_eq!(says, json!({ "batch": {"elapsed_ms": 12, "commands": commands} }));
    }

    #[test]
    fn what_is_no_batch_of_a_shard_is_told_too() {
        let expire = common::CometRef { id: "alpha".into(), incarnation: 3 };
        let kind = Some(registry::control_command::Kind::Expire(expire));
        let commands = vec![registry::ControlCommand { kind }];
        let (_, says) =
            told(Payload::Control(registry::ControlBatch { commands, ..Default::default() }));
        let expire = json!({ "comet": "alpha", "incarnation": 3 });
        assert_eq!(says, json!({ "control": {"commands": [{ "expire": expire }]} }));
        let membership = storage::Membership {
            sets: vec![storage::VoterSet { nodes: vec![1, 2] }],
            members: vec![storage::Member { node: 1, peers: "router-1:3120".into() }],
        };
        let (_, says) = told(Payload::Membership(membership));
        let members = json!([{ "node": 1, "peers": "router-1:3120" }]);
        assert_eq!(
            says,
            json!({ "membership": {"sets": [{ "nodes": [1, 2] }], "members": members} })
        );
        let tick = registry::Batch { version: 1, elapsed_ms: 12, ..Default::default() };
        let (_, says) = told(Payload::Batch(tick));
        assert_eq!(says, json!({ "batch": {"elapsed_ms": 12, "commands": []} }));
        assert_eq!(told(Payload::Blank(storage::Blank {})).1, json!({ "blank": {} }));
    }
}
