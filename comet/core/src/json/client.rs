//! Client message: what a device says on `orrery.json.v1`, and how it is refused.

use std::collections::BTreeSet;

use orrery_model::Id;
use serde::{Deserialize, Serialize};

use super::hello::Hello;
use super::ids;
use super::payload::Payload;
use super::request_id::RequestId;
use crate::limits::DETAIL_BYTES_MAX;
use crate::websocket_frame::cut;

/// A message from a device. An unknown `type`, an unknown field and a wrong type are errors; `null` is
/// an absent value where a value may be absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// The first message.
    Hello(Hello),
    /// A sign of life.
    Ping {
        /// Echoed in the pong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
    },
    /// Become a member of rooms.
    Join {
        /// Echoed in the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// Which ones.
        #[serde(with = "ids::rooms")]
        rooms: BTreeSet<Id>,
    },
    /// Be a member of rooms no longer.
    Leave {
        /// Echoed in the answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// Which ones.
        #[serde(with = "ids::rooms")]
        rooms: BTreeSet<Id>,
    },
    /// A message for the backend.
    Message {
        /// Echoed in an error; a success is not answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<RequestId>,
        /// Its operation.
        op: i32,
        /// The body as text. Exactly one of `data` and `data_base64` is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<String>,
        /// The body in base64.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data_base64: Option<String>,
    },
}

/// A message that breaks the rules of `orrery.json.v1`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct BadMessage {
    /// What is wrong, for a person to read.
    pub detail: String,
    /// The message's id, where one could be found.
    pub id: Option<RequestId>,
}

impl ClientMessage {
    /// Reads a message.
    ///
    /// # Errors
    /// [`BadMessage`]; the same text is always refused.
    pub fn parse(text: &[u8]) -> Result<Self, BadMessage> {
        let message: Self = serde_json::from_slice(text)
            .map_err(|error| BadMessage::new(&error.to_string(), find_id(text)))?;
        if let Self::Hello(hello) = &message {
            hello.check().map_err(|detail| BadMessage::new(&detail, hello.id.clone()))?;
        }
        Ok(message)
    }

    /// What its answer carries.
    pub fn into_id(self) -> Option<RequestId> {
        match self {
            Self::Hello(hello) => hello.id,
            Self::Ping { id }
            | Self::Join { id, .. }
            | Self::Leave { id, .. }
            | Self::Message { id, .. } => id,
        }
    }

    /// A message for the backend with this body.
    pub fn message(op: i32, body: &[u8]) -> Self {
        let Payload { data, data_base64 } = Payload::of(body);
        Self::Message { id: None, op, data, data_base64 }
    }

    /// The message's text.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers always have a JSON form")
    }
}

impl BadMessage {
    pub(crate) fn new(detail: &str, id: Option<RequestId>) -> Self {
        Self { detail: cut(detail, DETAIL_BYTES_MAX).to_owned(), id }
    }
}

/// The id of a message that is wrong otherwise.
fn find_id(text: &[u8]) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct OnlyId {
        id: Option<RequestId>,
    }
    serde_json::from_slice::<OnlyId>(text).ok()?.id
}
