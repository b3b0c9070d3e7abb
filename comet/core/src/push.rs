//! Push: a message as each dialect's devices receive it, encoded once and shared by all of them.

use std::sync::OnceLock;

use bytes::{BufMut, Bytes};
use orrery_model::message::Message;

use crate::dialect::Dialect;
use crate::frame::put_header;
use crate::json::ServerMessage;
use crate::limits::HEADER_BYTES;
use crate::ops;
use crate::websocket_frame::{self, Opcode};

/// Version and sequence that goim writes into everything it pushes.
const VERSION: i16 = 1;
const SEQ: i32 = 0;

/// A pushed message with its wire forms, each made when the first connection needs it. The two forms of
/// goim's protocol share their bytes.
#[derive(Debug)]
pub struct Encoded {
    message: Message,
    websocket: OnceLock<Bytes>,
    json: OnceLock<Bytes>,
}

impl Encoded {
    /// Takes a message; nothing is encoded yet.
    pub fn new(message: Message) -> Self {
        Self { message, websocket: OnceLock::new(), json: OnceLock::new() }
    }

    /// What is pushed.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The bytes to write to a connection of this dialect.
    pub fn bytes(&self, dialect: Dialect) -> Bytes {
        match dialect {
            Dialect::Tcp => self.tcp(),
            Dialect::WebSocket => self.websocket(),
            Dialect::Json => self.json(),
        }
    }

    /// A plain frame.
    pub fn tcp(&self) -> Bytes {
        let wrapped = self.websocket();
        wrapped.slice(wrapped.len() - HEADER_BYTES - self.message.body.len()..)
    }

    /// A binary WebSocket message: an op 9 frame around the plain one.
    pub fn websocket(&self) -> Bytes {
        self.websocket.get_or_init(|| wrap(&self.message)).clone()
    }

    /// A text WebSocket message: a JSON object.
    pub fn json(&self) -> Bytes {
        self.json.get_or_init(|| ServerMessage::push(&self.message).encode()).clone()
    }
}

fn wrap(message: &Message) -> Bytes {
    let inner_len = HEADER_BYTES + message.body.len();
    let mut out = websocket_frame::begin(Opcode::Binary, HEADER_BYTES + inner_len);
    put_header(&mut out, inner_len, VERSION, ops::RAW, SEQ);
    put_header(&mut out, message.body.len(), VERSION, message.op, SEQ);
    out.put_slice(&message.body);
    out.freeze()
}
