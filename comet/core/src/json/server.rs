//! Server message: what a comet says on `orrery.json.v1`.

use bytes::Bytes;
use orrery_model::Id;
use orrery_model::message::Message;
use serde::{Deserialize, Serialize};

use super::payload::Payload;
use super::request_id::RequestId;
use crate::dialect::Dialect;
use crate::websocket_frame;

/// Why a request was refused. The words never change their meaning; new ones may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// The message breaks the protocol's rules; `message` says how.
    BadMessage,
    /// Before the welcome only a hello is understood.
    NotReady,
    /// A second hello.
    AlreadyReady,
    /// The connection would be in more rooms than it may.
    TooManyRooms,
    /// The hello was refused. The connection closes.
    Unauthorized,
    /// Could not be done now; may be tried again.
    Unavailable,
    /// Over HTTP: the request is not what its path wants.
    BadRequest,
    /// Over HTTP: there is nothing to go on from at this cursor.
    BadCursor,
    /// Over HTTP: there is no such session, or none any more.
    NoSuchSession,
    /// A word that this version does not know.
    #[serde(other)]
    Other,
}

/// A message to a device. A device ignores fields and types that it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// The hello was accepted and the connection is known to the cluster.
    Welcome {
        /// The hello's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// The connection's key.
        key: String,
        /// The user, where there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// The connection's seq.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<u64>,
        /// How often to ping, in milliseconds.
        heartbeat_ms: u32,
        /// Without a ping for this long the connection is closed, in milliseconds.
        heartbeat_max_ms: u32,
    },
    /// Answer to a ping.
    Pong {
        /// The ping's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
    },
    /// The connection is now a member of these rooms.
    Joined {
        /// The join's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// The rooms of the join.
        rooms: Vec<String>,
    },
    /// The connection is no longer a member of these rooms.
    Left {
        /// The leave's id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// The rooms of the leave.
        rooms: Vec<String>,
    },
    /// A pushed message.
    Message {
        /// Its operation.
        op: i32,
        /// Its body.
        #[serde(flatten)]
        payload: Payload,
    },
    /// The comet is going away; its close follows.
    Drain {
        /// When to come back elsewhere, in milliseconds; drawn for each device.
        retry_after_ms: u32,
        /// Other comets, where they are known. One without a port has the port of this connection.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        nodes: Vec<String>,
    },
    /// A request was refused.
    Error {
        /// The request's id, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// Why, for programs.
        code: ErrorCode,
        /// Why, for people.
        message: String,
    },
    /// Over HTTP: the session is over. On a WebSocket a close frame says the same.
    Close {
        /// The code of the close frame.
        code: u16,
        /// Its word.
        reason: String,
    },
    /// Of a type that this version does not know, for a device to ignore. No comet says it.
    #[serde(other, skip_serializing)]
    Other,
}

impl ServerMessage {
    /// A pushed message.
    pub fn push(message: &Message) -> Self {
        Self::Message { op: message.op, payload: Payload::of(&message.body) }
    }

    /// A refusal.
    pub fn error(code: ErrorCode, message: impl Into<String>, id: Option<RequestId>) -> Self {
        Self::Error { id, code, message: message.into() }
    }

    /// Reads a message, as a device does: one of a type that this version does not know is [`Self::Other`].
    ///
    /// # Errors
    /// When the text is no message of this protocol's.
    pub fn parse(text: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(text)
    }

    /// The message's text: one line.
    ///
    /// # Panics
    /// For [`Self::Other`], which has none.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self)
            .expect("texts and numbers have a JSON form, and no comet says what it does not know")
    }

    /// The message as a dialect of `orrery.json.v1` carries it: as a WebSocket frame, or as a line.
    pub fn frame(&self, dialect: Dialect) -> Bytes {
        match dialect {
            Dialect::Http => (self.to_text() + "\n").into(),
            Dialect::Tcp | Dialect::WebSocket | Dialect::Json => {
                websocket_frame::text(&self.to_text())
            }
        }
    }
}

/// The texts of room ids.
pub(crate) fn texts<'a>(rooms: impl IntoIterator<Item = &'a Id>) -> Vec<String> {
    rooms.into_iter().map(|room| room.as_str().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_that_is_not_known_is_no_error_and_what_has_none_is() {
        for text in [r#"{"type":"weather","rooms":7,"is":{"hot":[1]}}"#, r#"{"a":1,"type":"w"}"#] {
            assert_eq!(ServerMessage::parse(text.as_bytes()).unwrap(), ServerMessage::Other);
        }
        for text in ["{}", "7", "null", r#""pong""#, r#"{"type":"weather""#, r#"{"type":"joined"}"#]
        {
            assert!(ServerMessage::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
