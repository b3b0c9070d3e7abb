//! WebSocket frame: what a server sends, unmasked and unfragmented, ready to be shared (RFC 6455, 5.2).

use bytes::{BufMut, Bytes, BytesMut};

use crate::limits::CONTROL_BYTES_MAX;

/// Longest header of an unmasked frame, in bytes.
const HEADER_BYTES_MAX: usize = 10;

const FIN: u8 = 0x80;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// A further part of a message.
    Continuation = 0,
    /// A text message.
    Text = 1,
    /// A binary message.
    Binary = 2,
    /// Close.
    Close = 8,
    /// Ping.
    Ping = 9,
    /// Pong.
    Pong = 10,
}

impl Opcode {
    /// The opcode of a number, where it has one.
    pub fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    /// Whether it is a control frame's.
    pub fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// A buffer that begins with the header of a frame and has room for its payload.
pub(crate) fn begin(opcode: Opcode, payload_len: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(HEADER_BYTES_MAX + payload_len);
    out.put_u8(FIN | opcode as u8);
    match payload_len {
        0..=125 => out.put_u8(payload_len as u8),
        126..=0xffff => {
            out.put_u8(126);
            out.put_u16(payload_len as u16);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(payload_len as u64);
        }
    }
    out
}

/// Bytes in front of the payload of an unmasked frame.
pub(crate) fn header_len(frame: &[u8]) -> usize {
    match frame.get(1) {
        Some(126) => 4,
        Some(127) => HEADER_BYTES_MAX,
        _ => 2,
    }
}

fn frame(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut out = begin(opcode, payload.len());
    out.put_slice(payload);
    out.freeze()
}

/// A binary message.
pub fn binary(payload: &[u8]) -> Bytes {
    frame(Opcode::Binary, payload)
}

/// A text message.
pub fn text(payload: &str) -> Bytes {
    frame(Opcode::Text, payload.as_bytes())
}

/// A ping. The payload is cut at 125 bytes.
pub fn ping(payload: &[u8]) -> Bytes {
    frame(Opcode::Ping, &payload[..payload.len().min(CONTROL_BYTES_MAX)])
}

/// A pong. The payload is cut at 125 bytes.
pub fn pong(payload: &[u8]) -> Bytes {
    frame(Opcode::Pong, &payload[..payload.len().min(CONTROL_BYTES_MAX)])
}

/// A close frame with a code and a reason. The reason is cut at 123 bytes.
pub fn close(code: u16, reason: &str) -> Bytes {
    let reason = cut(reason, CONTROL_BYTES_MAX - 2);
    let mut out = begin(Opcode::Close, 2 + reason.len());
    out.put_u16(code);
    out.put_slice(reason.as_bytes());
    out.freeze()
}

/// A close frame without a code, the answer to one without.
pub fn close_empty() -> Bytes {
    frame(Opcode::Close, &[])
}

/// The longest beginning of a text that is whole characters and at most `bytes_max` bytes.
pub(crate) fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}
