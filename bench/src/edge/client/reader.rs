//! Reader: finds what a comet says in what a socket gave, without copying what came whole and without
//! allocating for a message.

use std::borrow::Cow;

use orrery_comet_core::frame::{Carrier, Header};
use orrery_comet_core::limits::{HEADER_BYTES, SERVER_PACKET_BYTES_MAX};
use orrery_comet_core::websocket_frame::Opcode;
use orrery_comet_core::{FrameError, ops};
use orrery_sdk::Transport;
use serde::Deserialize;

use crate::edge::limits::MESSAGE_BYTES_MAX;

/// What a comet says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard<'a> {
    /// A push.
    Push {
        /// Its operation.
        op: i32,
        /// Its body. Empty where JSON carries it as base64: nothing that is pushed here is.
        body: &'a [u8],
    },
    /// The introduction was accepted.
    Welcome,
    /// A heartbeat was answered.
    Heartbeat,
    /// The comet closes the connection.
    Close,
    /// Anything else.
    Other,
}

/// Why bytes are not what a comet says.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A frame of goim's is broken.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A WebSocket frame is broken, or of a kind that comets do not send.
    #[error("a websocket frame that comets do not send: {0}")]
    WebSocket(&'static str),
    /// HTTP, which is not read here.
    #[error("a session over HTTP is not one socket")]
    Http,
    /// A message is no JSON of the protocol's.
    #[error("unreadable message: {0}")]
    Json(#[from] serde_json::Error),
}

/// One device's reading side. Between two reads it keeps only the beginning of what is incomplete.
#[derive(Debug)]
pub struct Reader {
    transport: Transport,
    begun: Vec<u8>,
}

impl Reader {
    /// For a connection that carries nothing yet, or whose handshake is just over.
    pub fn new(transport: Transport) -> Self {
        Self { transport, begun: Vec::new() }
    }

    /// Takes bytes; calls `each` with everything that is complete now, in order.
    ///
    /// # Errors
    /// [`ReadError`]; the connection is of no use then.
    pub fn take(&mut self, bytes: &[u8], mut each: impl FnMut(Heard<'_>)) -> Result<(), ReadError> {
        if self.begun.is_empty() {
            let rest = walk(self.transport, bytes, &mut each)?;
            self.begun.extend_from_slice(rest);
            return Ok(());
        }
        self.begun.extend_from_slice(bytes);
        let left = walk(self.transport, &self.begun, &mut each)?.len();
        self.begun.drain(..self.begun.len() - left);
        if self.begun.is_empty() {
            // An idle device owns no buffer.
            self.begun = Vec::new();
        }
        Ok(())
    }
}

/// Returns what is left behind the last complete frame.
fn walk<'a>(
    transport: Transport,
    bytes: &'a [u8],
    each: &mut impl FnMut(Heard<'_>),
) -> Result<&'a [u8], ReadError> {
    match transport {
        Transport::Tcp => Ok(walk_frames(bytes, Carrier::Stream, each)?),
        Transport::WebSocket | Transport::Json => walk_messages(bytes, each),
        // Its events come within answers.
        Transport::Poll | Transport::Sse => Err(ReadError::Http),
    }
}

fn walk_frames<'a>(
    mut bytes: &'a [u8],
    carrier: Carrier,
    each: &mut impl FnMut(Heard<'_>),
) -> Result<&'a [u8], FrameError> {
    while let Some((header, behind)) = bytes.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::parse(header);
        let body_len = header.body_len(carrier, SERVER_PACKET_BYTES_MAX)?;
        let Some((body, behind)) = behind.split_at_checked(body_len) else { break };
        each(heard(header, body));
        bytes = behind;
    }
    Ok(bytes)
}

/// A comet's pushes have seq 0, its answers the device's, which is not 0.
fn heard(header: Header, body: &[u8]) -> Heard<'_> {
    match (header.seq, header.op) {
        (0, op) => Heard::Push { op, body },
        (_, ops::AUTH_REPLY) => Heard::Welcome,
        (_, ops::HEARTBEAT_REPLY) => Heard::Heartbeat,
        _ => Heard::Other,
    }
}

fn walk_messages<'a>(
    mut bytes: &'a [u8],
    each: &mut impl FnMut(Heard<'_>),
) -> Result<&'a [u8], ReadError> {
    while let Some(header) = message_header(bytes)? {
        let Some((payload, behind)) = header.behind.split_at_checked(header.payload_len) else {
            break;
        };
        match header.opcode {
            Opcode::Binary => walk_binary(payload, each)?,
            Opcode::Text => each(said(payload)?.heard()),
            Opcode::Close => each(Heard::Close),
            Opcode::Ping | Opcode::Pong => each(Heard::Other),
            Opcode::Continuation => return Err(ReadError::WebSocket("a further part")),
        }
        bytes = behind;
    }
    Ok(bytes)
}

/// The header of a WebSocket frame, and what follows it.
struct MessageHeader<'a> {
    opcode: Opcode,
    payload_len: usize,
    behind: &'a [u8],
}

/// None where it is not whole yet.
fn message_header(bytes: &[u8]) -> Result<Option<MessageHeader<'_>>, ReadError> {
    let Some(([first, second], behind)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
    if first & 0xf0 != 0x80 {
        return Err(ReadError::WebSocket("in parts, or with an extension"));
    }
    let opcode = Opcode::of(first & 0x0f).ok_or(ReadError::WebSocket("unknown opcode"))?;
    let (len, behind) = match second {
        0..=125 => (u64::from(*second), behind),
        126 => match behind.split_first_chunk::<2>() {
            Some((len, behind)) => (u16::from_be_bytes(*len).into(), behind),
            None => return Ok(None),
        },
        127 => match behind.split_first_chunk::<8>() {
            Some((len, behind)) => (u64::from_be_bytes(*len), behind),
            None => return Ok(None),
        },
        _ => return Err(ReadError::WebSocket("masked")),
    };
    match usize::try_from(len) {
        Ok(payload_len) if payload_len <= MESSAGE_BYTES_MAX => {
            Ok(Some(MessageHeader { opcode, payload_len, behind }))
        }
        _ => Err(ReadError::WebSocket("too long")),
    }
}

/// goim's frames in a message; those inside an op 9 frame are pushes.
fn walk_binary(message: &[u8], each: &mut impl FnMut(Heard<'_>)) -> Result<(), ReadError> {
    let mut inner = Ok(());
    let left = walk_frames(message, Carrier::Message, &mut |heard: Heard<'_>| match heard {
        Heard::Push { op: ops::RAW, body } if !body.is_empty() => {
            match walk_frames(body, Carrier::Message, each) {
                Ok([]) => {}
                Ok(_) => inner = Err(ReadError::WebSocket("half a frame inside a message")),
                Err(error) => inner = Err(error.into()),
            }
        }
        heard => each(heard),
    })?;
    match left {
        [] => inner,
        _ => Err(ReadError::WebSocket("half a frame")),
    }
}

/// A message of `orrery.json.v1`, as much of it as matters here. Texts are borrowed where they can be.
#[derive(Debug, Deserialize)]
struct Said<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    op: Option<i32>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
}

/// Borrowed also inside an option, which serde does for a type of its own only.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn said(text: &[u8]) -> Result<Said<'_>, serde_json::Error> {
    serde_json::from_slice(text)
}

impl Said<'_> {
    fn heard(&self) -> Heard<'_> {
        let body = self.data.as_ref().map_or(&b""[..], |text| text.0.as_bytes());
        match (&*self.kind.0, self.op) {
            ("message", Some(op)) => Heard::Push { op, body },
            ("welcome", _) => Heard::Welcome,
            ("pong", _) => Heard::Heartbeat,
            _ => Heard::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use orrery_comet_core::json::ServerMessage;
    use orrery_comet_core::{Dialect, Encoded, Frame, websocket_frame};
    use orrery_model::message::Message;

    use super::*;

    /// What was heard, with a body that outlives it.
    fn owned(heard: Heard<'_>) -> (String, Vec<u8>) {
        match heard {
            Heard::Push { op, body } => (format!("push {op}"), body.to_vec()),
            other => (format!("{other:?}"), Vec::new()),
        }
    }

    fn pushes(dialect: Dialect) -> Vec<u8> {
        let push = |op, body: &'static [u8]| {
            Encoded::new(Message { op, body: Bytes::from_static(body) }).bytes(dialect)
        };
        let long: &'static [u8] = &[b'x'; 300];
        [push(1, b"a"), push(2, b""), push(3, long)].concat()
    }

    fn expected() -> Vec<(String, Vec<u8>)> {
        [(1, b"a".to_vec()), (2, vec![]), (3, vec![b'x'; 300])]
            .map(|(op, body)| (format!("push {op}"), body))
            .into()
    }

    fn read(transport: Transport, bytes: &[u8], size: usize) -> Vec<(String, Vec<u8>)> {
        let mut reader = Reader::new(transport);
        let mut seen = Vec::new();
        for piece in bytes.chunks(size) {
            reader.take(piece, |heard| seen.push(owned(heard))).unwrap();
        }
        assert!(reader.begun.is_empty(), "in pieces of {size}");
        seen
    }

    #[test]
    fn pushes_are_the_same_however_the_bytes_are_cut() {
        for (transport, dialect) in [
            (Transport::Tcp, Dialect::Tcp),
            (Transport::WebSocket, Dialect::WebSocket),
            (Transport::Json, Dialect::Json),
        ] {
            let bytes = pushes(dialect);
            for size in 1..=bytes.len() {
                assert_eq!(read(transport, &bytes, size), expected(), "{dialect:?} by {size}");
            }
        }
    }

    #[test]
    fn frames_gathered_in_one_message_are_pushes_each() {
        let inner = Bytes::from(pushes(Dialect::Tcp));
        let outer = Frame { version: 1, op: ops::RAW, seq: 0, body: inner }.encode();
        let bytes = websocket_frame::binary(&outer);
        assert_eq!(read(Transport::WebSocket, &bytes, bytes.len()), expected());
    }

    #[test]
    fn answers_are_told_from_pushes() {
        let mut bytes = BytesMut::new();
        for (op, seq) in
            [(ops::AUTH_REPLY, 1), (ops::HEARTBEAT_REPLY, 1), (77, 1), (ops::AUTH_REPLY, 0)]
        {
            Frame { version: 1, op, seq, body: Bytes::new() }.encode_to(&mut bytes);
        }
        let kinds: Vec<_> = read(Transport::Tcp, &bytes, 7).into_iter().map(|(k, _)| k).collect();
        assert_eq!(kinds, ["Welcome", "Heartbeat", "Other", "push 8"]);

        let welcome = r#"{"type":"welcome","key":"a\"b","heartbeat_ms":1,"heartbeat_max_ms":2}"#;
        let bytes = [
            websocket_frame::text(welcome),
            ServerMessage::Pong { id: None }.frame(Dialect::Json),
            websocket_frame::text(r#"{"type":"later","op":3}"#),
            websocket_frame::close(4001, "replaced"),
        ]
        .concat();
        let kinds: Vec<_> = read(Transport::Json, &bytes, 5).into_iter().map(|(k, _)| k).collect();
        assert_eq!(kinds, ["Welcome", "Heartbeat", "Other", "Close"]);
    }

    #[test]
    fn a_body_that_json_escapes_is_read_as_it_was() {
        let message = Message { op: 5, body: Bytes::from_static(b"\"line\n") };
        let bytes = Encoded::new(message).json();
        let seen = read(Transport::Json, &bytes, bytes.len());
        assert_eq!(seen, [("push 5".to_owned(), b"\"line\n".to_vec())]);
    }

    #[test]
    fn what_no_comet_sends_is_an_error_and_reads_nothing_beyond() {
        let refuse = |transport, bytes: &[u8]| Reader::new(transport).take(bytes, |_| {}).is_err();
        let half = Frame { version: 1, op: 1, seq: 0, body: Bytes::from_static(b"abc") }.encode();
        assert!(refuse(Transport::WebSocket, &websocket_frame::binary(&half[..17])));
        assert!(refuse(Transport::WebSocket, &[0x02, 0x00]), "in parts");
        assert!(refuse(Transport::WebSocket, &[0x82, 0x80]), "masked");
        assert!(refuse(Transport::WebSocket, &[0x83, 0x00]), "unknown opcode");
        assert!(refuse(Transport::WebSocket, &[0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0]), "too long");
        assert!(refuse(Transport::Json, &websocket_frame::text("no json")));
        assert!(refuse(Transport::Tcp, &[0x7f; HEADER_BYTES]));
    }
}
