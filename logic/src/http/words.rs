//! Words: the messages of the push API as JSON. Names are those of the contract; a body is text in
//! `body` or anything in `body_base64`; levels and outcomes are lower-case words.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use orrery_proto::push::target::Target as WireTarget;
use orrery_proto::{common, push as wire};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Push {
    target: Option<Target>,
    #[serde(default)]
    op: i32,
    body: Option<String>,
    body_base64: Option<String>,
    #[serde(default)]
    wait_for: WaitFor,
    when_full: Option<WhenFull>,
    #[serde(default)]
    stale_ok: bool,
    #[serde(default)]
    delivery: Delivery,
    #[serde(default)]
    namespace: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PushMany {
    #[serde(default)]
    items: Vec<Push>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Disconnect {
    target: Option<Target>,
    #[serde(default)]
    namespace: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Target {
    Users(Ids),
    Keys(Ids),
    Connections(Connections),
    Room(String),
    Broadcast(Broadcast),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    #[serde(default)]
    ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Connections {
    #[serde(default)]
    connections: Vec<Connection>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Connection {
    #[serde(default)]
    user: String,
    #[serde(default)]
    key: String,
    seq: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Broadcast {
    #[serde(default)]
    rate: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WaitFor {
    #[default]
    Queued,
    Written,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WhenFull {
    DropNewest,
    DropOldest,
    Close,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Delivery {
    #[default]
    Live,
}

/// Reads a request.
///
/// # Errors
/// [`ApiError`] with the field that is wrong.
pub(super) fn read<'a, T: Deserialize<'a>>(text: &'a [u8]) -> Result<T, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // The path is not known where the text itself breaks off.
        let field = match error.path().to_string().as_str() {
            "?" => ".".to_owned(),
            path => path.to_owned(),
        };
        ApiError::invalid("BAD_JSON", field, error.into_inner().to_string())
    })?;
    json.end().map_err(|error| ApiError::invalid("BAD_JSON", ".", error.to_string()))?;
    Ok(read)
}

impl TryFrom<Push> for wire::PushRequest {
    type Error = ApiError;

    fn try_from(push: Push) -> Result<Self, ApiError> {
        let body = match (push.body, push.body_base64) {
            (Some(_), Some(_)) => {
                let what = "body and body_base64 exclude each other";
                return Err(ApiError::invalid("BODY_AMBIGUOUS", "body_base64", what));
            }
            (Some(text), None) => Bytes::from(text),
            (None, Some(base64)) => STANDARD.decode(base64).map(Bytes::from).map_err(|error| {
                ApiError::invalid("BAD_BASE64", "body_base64", error.to_string())
            })?,
            (None, None) => Bytes::new(),
        };
        let wait_for = match push.wait_for {
            WaitFor::Queued => wire::WaitFor::Queued,
            WaitFor::Written => wire::WaitFor::Written,
        };
        let when_full = match push.when_full {
            None => common::WhenFull::Unspecified,
            Some(WhenFull::DropNewest) => common::WhenFull::DropNewest,
            Some(WhenFull::DropOldest) => common::WhenFull::DropOldest,
            Some(WhenFull::Close) => common::WhenFull::Close,
        };
        let delivery = match push.delivery {
            Delivery::Live => wire::Delivery::Live,
        };
        Ok(Self {
            target: push.target.map(wire::Target::from),
            op: push.op,
            body,
            wait_for: wait_for.into(),
            when_full: when_full.into(),
            stale_ok: push.stale_ok,
            delivery: delivery.into(),
            namespace: push.namespace,
        })
    }
}

impl TryFrom<PushMany> for wire::PushManyRequest {
    type Error = ApiError;

    fn try_from(many: PushMany) -> Result<Self, ApiError> {
        let item = |(index, push): (usize, Push)| {
            push.try_into().map_err(|error: ApiError| error.within(&format!("items[{index}]")))
        };
        let items = many.items.into_iter().enumerate().map(item).collect::<Result<_, _>>()?;
        Ok(Self { items })
    }
}

impl From<Disconnect> for wire::DisconnectRequest {
    fn from(disconnect: Disconnect) -> Self {
        let Disconnect { target, namespace } = disconnect;
        Self { target: target.map(Into::into), namespace }
    }
}

impl From<Target> for wire::Target {
    fn from(target: Target) -> Self {
        let connection = |Connection { user, key, seq }| wire::Connection { user, key, seq };
        let target = match target {
            Target::Users(Ids { ids }) => WireTarget::Users(wire::Users { ids }),
            Target::Keys(Ids { ids }) => WireTarget::Keys(wire::Keys { ids }),
            Target::Connections(Connections { connections }) => {
                let connections = connections.into_iter().map(connection).collect();
                WireTarget::Connections(wire::Connections { connections })
            }
            Target::Room(room) => WireTarget::Room(room),
            Target::Broadcast(Broadcast { rate }) => {
                WireTarget::Broadcast(wire::Broadcast { rate })
            }
        };
        Self { target: Some(target) }
    }
}

/// A list of connections.
pub(super) fn connections(list: &wire::ListConnectionsResponse) -> Value {
    json!({ "connections": list.connections.iter().map(connection).collect::<Vec<_>>() })
}

/// A page of members.
pub(super) fn members(page: &wire::ListRoomMembersResponse) -> Value {
    let member = |member: &wire::RoomMember| {
        let mut value = json!({ "connection": member.connection.as_ref().map(connection) });
        let (name, id) = match member.user.is_empty() {
            false => ("user", &member.user),
            true => ("key", &member.key),
        };
        value[name] = Value::from(id.as_str());
        value
    };
    json!({
        "members": page.members.iter().map(member).collect::<Vec<_>>(),
        "next_page_token": page.next_page_token,
    })
}

fn connection(connection: &wire::ConnectionInfo) -> Value {
    // A map whose order does not change from answer to answer.
    let labels: std::collections::BTreeMap<_, _> = connection.labels.iter().collect();
    json!({
        "seq": connection.seq,
        "comet": connection.comet,
        "incarnation": connection.incarnation,
        "platform": connection.platform,
        "device": connection.device,
        "labels": labels,
        "rooms": connection.rooms,
        "bound_at_ms": connection.bound_at_ms,
        "user": connection.user,
    })
}
