//! Push: a message, or several in one piece, as each dialect's devices receive it, encoded once and shared by
//! all of them.

use std::cell::OnceCell;
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
/// goim's protocol share their bytes, and so do the two of `orrery.json.v1`.
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
            Dialect::Http => self.http(),
        }
    }

    /// A plain frame.
    pub fn tcp(&self) -> Bytes {
        unwrapped(&self.websocket(), framed_len(&self.message))
    }

    /// A binary WebSocket message: an op 9 frame around the plain one.
    pub fn websocket(&self) -> Bytes {
        self.websocket.get_or_init(|| wrap(&[self])).clone()
    }

    /// A text WebSocket message: a JSON object.
    pub fn json(&self) -> Bytes {
        let both = self.json_and_end();
        both.slice(..both.len() - 1)
    }

    /// The same object as a line.
    pub fn http(&self) -> Bytes {
        let both = self.json_and_end();
        both.slice(websocket_frame::header_len(both)..)
    }

    /// The WebSocket message and the end of a line: the forms share their bytes.
    fn json_and_end(&self) -> &Bytes {
        self.json.get_or_init(|| {
            let text = ServerMessage::push(&self.message).to_text();
            let mut out = websocket_frame::begin(Opcode::Text, text.len());
            out.reserve(text.len() + 1);
            out.put_slice(text.as_bytes());
            out.put_u8(b'\n');
            out.freeze()
        })
    }
}

/// Several messages in one piece, in order, with its wire forms, each made when the first connection needs it.
#[derive(Debug)]
pub struct Batch<'a> {
    messages: Vec<&'a Encoded>,
    websocket: OnceCell<Bytes>,
    json: OnceCell<Bytes>,
    http: OnceCell<Bytes>,
}

impl<'a> Batch<'a> {
    /// Takes the messages; nothing is encoded yet.
    pub fn new(messages: Vec<&'a Encoded>) -> Self {
        Self { messages, websocket: OnceCell::new(), json: OnceCell::new(), http: OnceCell::new() }
    }

    /// The messages in it.
    pub fn messages(&self) -> usize {
        self.messages.len()
    }

    /// The bytes to write to a connection of this dialect: on goim's WebSocket one binary message, an op 9 frame
    /// around all of them; elsewhere one after the other.
    pub fn bytes(&self, dialect: Dialect) -> Bytes {
        if let [only] = self.messages.as_slice() {
            return only.bytes(dialect);
        }
        match dialect {
            Dialect::Tcp => {
                let framed = self.messages.iter().map(|it| framed_len(&it.message)).sum();
                unwrapped(&self.websocket(), framed)
            }
            Dialect::WebSocket => self.websocket(),
            Dialect::Json => self.json.get_or_init(|| self.joined(Encoded::json)).clone(),
            Dialect::Http => self.http.get_or_init(|| self.joined(Encoded::http)).clone(),
        }
    }

    fn websocket(&self) -> Bytes {
        self.websocket.get_or_init(|| wrap(&self.messages)).clone()
    }

    fn joined(&self, form: impl Fn(&Encoded) -> Bytes) -> Bytes {
        let forms: Vec<Bytes> = self.messages.iter().map(|message| form(message)).collect();
        forms.concat().into()
    }
}

/// Bytes of a message in a plain frame.
fn framed_len(message: &Message) -> usize {
    HEADER_BYTES + message.body.len()
}

/// The plain frames in a binary WebSocket message: its end.
fn unwrapped(wrapped: &Bytes, framed: usize) -> Bytes {
    wrapped.slice(wrapped.len() - framed..)
}

fn wrap(messages: &[&Encoded]) -> Bytes {
    let framed: usize = messages.iter().map(|it| framed_len(&it.message)).sum();
    let mut out = websocket_frame::begin(Opcode::Binary, HEADER_BYTES + framed);
    put_header(&mut out, framed, VERSION, ops::RAW, SEQ);
    for Encoded { message, .. } in messages {
        put_header(&mut out, message.body.len(), VERSION, message.op, SEQ);
        out.put_slice(&message.body);
    }
    out.freeze()
}
