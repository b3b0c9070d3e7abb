//! What a device can do wrong on the wire. None of it may be tried again on the same connection.

use crate::close::codes;
use crate::limits::{CONTROL_BYTES_MAX, FRAGMENTS_MAX};

/// Why bytes were refused as a goim frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The packet length is above the limit.
    #[error("packet length {packet_length} is above {max}")]
    TooLong {
        /// What the header claims.
        packet_length: i32,
        /// What is allowed.
        max: usize,
    },
    /// The header length is not 16.
    #[error("header length {0} is not 16")]
    HeaderLength(i16),
    /// A negative packet length, which only a TCP stream may carry.
    #[error("packet length {0} is negative")]
    Negative(i32),
    /// A message without room for a header.
    #[error("a message of {0} bytes has no frame header")]
    ShortMessage(usize),
    /// The frame claims more bytes than its message has.
    #[error("packet length {claimed} goes beyond the {available} bytes of its message")]
    BeyondMessage {
        /// What the header claims.
        claimed: usize,
        /// What is left of the message.
        available: usize,
    },
}

/// Why bytes were refused as WebSocket frames of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WebSocketError {
    /// A reserved bit is set although no extension was agreed.
    #[error("a reserved bit is set")]
    ReservedBits,
    /// An opcode without meaning.
    #[error("opcode {0} is unknown")]
    Opcode(u8),
    /// A client must mask its frames.
    #[error("the frame is not masked")]
    Unmasked,
    /// A control frame with too long a payload.
    #[error("a control frame is longer than {CONTROL_BYTES_MAX} bytes")]
    ControlTooLong,
    /// A control frame in parts.
    #[error("a control frame is fragmented")]
    ControlFragmented,
    /// A continuation of nothing.
    #[error("a continuation has no beginning")]
    ContinuesNothing,
    /// A new message before the last one ended.
    #[error("a message began before the last one ended")]
    Interleaved,
    /// A message above the limit.
    #[error("a message of {bytes} bytes is above {max}")]
    TooLong {
        /// Length so far, with the payload just announced.
        bytes: u64,
        /// What is allowed.
        max: usize,
    },
    /// A message in too many parts.
    #[error("a message has more than {FRAGMENTS_MAX} frames")]
    TooManyFragments,
    /// A binary message where only text is spoken.
    #[error("a binary message on a text protocol")]
    Binary,
    /// Text that is not UTF-8.
    #[error("text is not UTF-8")]
    Utf8,
    /// A close frame with half a code or one that may not be sent.
    #[error("the close frame is malformed")]
    BadClose,
}

/// A connection broke its protocol and is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// In a goim frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// In a WebSocket frame.
    #[error(transparent)]
    WebSocket(#[from] WebSocketError),
}

impl Violation {
    /// The WebSocket close code that says the same.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::WebSocket(WebSocketError::Binary) => codes::UNSUPPORTED,
            Self::WebSocket(WebSocketError::Utf8) => codes::NOT_UTF8,
            Self::WebSocket(WebSocketError::TooLong { .. } | WebSocketError::TooManyFragments) => {
                codes::TOO_BIG
            }
            Self::Frame(_) | Self::WebSocket(_) => codes::PROTOCOL_ERROR,
        }
    }
}
