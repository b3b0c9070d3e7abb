//! Answer: the reply to a request whose outcome is not known yet.

use bytes::{BufMut, Bytes, BytesMut};
use orrery_model::Id;

use crate::dialect::Dialect;
use crate::frame::Frame;
use crate::json::{ErrorCode, RequestId, ServerMessage};
use crate::ops;
use crate::websocket_frame;

/// Bytes of a goim frame as its transport carries them: replies are never wrapped in op 9.
pub(crate) fn framed(dialect: Dialect, frame: &Frame) -> Bytes {
    let bytes = frame.encode();
    match dialect {
        Dialect::Tcp => bytes,
        Dialect::WebSocket | Dialect::Json | Dialect::Http => websocket_frame::binary(&bytes),
    }
}

/// How to answer a change of rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a device waits for the answer"]
pub struct Answer {
    done: Bytes,
    /// Whether a failure can be told, in which dialect, and which request it is about.
    json: Option<(Dialect, Option<RequestId>)>,
}

impl Answer {
    pub(crate) fn goim(done: Bytes) -> Self {
        Self { done, json: None }
    }

    pub(crate) fn joined(dialect: Dialect, id: Option<RequestId>, rooms: Vec<String>) -> Self {
        let done = ServerMessage::Joined { id: id.clone(), rooms }.frame(dialect);
        Self { done, json: Some((dialect, id)) }
    }

    pub(crate) fn left(dialect: Dialect, id: Option<RequestId>, rooms: Vec<String>) -> Self {
        let done = ServerMessage::Left { id: id.clone(), rooms }.frame(dialect);
        Self { done, json: Some((dialect, id)) }
    }

    /// The bytes that say it is done.
    pub fn done(self) -> Bytes {
        self.done
    }

    /// The bytes that say it could not be done. goim's protocol has no word for it: there they are the
    /// same as for success.
    pub fn failed(self, code: ErrorCode, detail: &str) -> Bytes {
        match self.json {
            Some((dialect, id)) => ServerMessage::error(code, detail, id).frame(dialect),
            None => self.done,
        }
    }
}

/// How to answer a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a device waits for the answer"]
pub struct HeartbeatAnswer {
    pub(crate) dialect: Dialect,
    pub(crate) version: i16,
    pub(crate) seq: i32,
}

impl HeartbeatAnswer {
    /// The bytes of the answer: 20 of goim's, the last four being the count.
    pub fn with_count(self, count: i32) -> Bytes {
        let mut body = BytesMut::with_capacity(4);
        body.put_i32(count);
        let Self { dialect, version, seq } = self;
        framed(dialect, &Frame { version, op: ops::HEARTBEAT_REPLY, seq, body: body.freeze() })
    }
}

/// Reads a room id as goim sends it: raw bytes.
pub(crate) fn room_of(body: &[u8]) -> Option<Id> {
    Id::new(std::str::from_utf8(body).ok()?).ok()
}
