//! Goim message: the goim frames inside one WebSocket message, or inside the body of an op 9 frame.

use bytes::{Buf, Bytes};

use crate::error::FrameError;
use crate::frame::{Carrier, Frame, Header};
use crate::limits::{CLIENT_PACKET_BYTES_MAX, HEADER_BYTES, SERVER_PACKET_BYTES_MAX};

/// The frames of a message, in order. Never reads beyond the message; ends after an error.
#[derive(Debug)]
pub struct Frames {
    rest: Bytes,
    packet_max: usize,
    begun: bool,
}

impl Frames {
    /// The frames of a message that a device sent. A message holds at least one.
    pub fn from_device(message: Bytes) -> Self {
        Self { rest: message, packet_max: CLIENT_PACKET_BYTES_MAX, begun: false }
    }

    /// The frames of a message that a comet sent, or of the body of its op 9 frame.
    pub fn from_comet(message: Bytes) -> Self {
        Self { rest: message, packet_max: SERVER_PACKET_BYTES_MAX, begun: false }
    }

    fn take(&mut self) -> Result<Frame, FrameError> {
        let short = FrameError::ShortMessage(self.rest.len());
        let header = self.rest.first_chunk::<HEADER_BYTES>().map(Header::parse).ok_or(short)?;
        let body_len = header.body_len(Carrier::Message, self.packet_max)?;
        let available = self.rest.len() - HEADER_BYTES;
        if body_len > available {
            return Err(FrameError::BeyondMessage {
                claimed: HEADER_BYTES + body_len,
                available: self.rest.len(),
            });
        }
        self.rest.advance(HEADER_BYTES);
        Ok(header.with_body(self.rest.split_to(body_len)))
    }
}

impl Iterator for Frames {
    type Item = Result<Frame, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        // goim ignores what follows the first frame. A rest too short for a header stays ignored.
        if self.begun && self.rest.len() < HEADER_BYTES {
            self.rest = Bytes::new();
            return None;
        }
        self.begun = true;
        let taken = self.take();
        if taken.is_err() {
            self.rest = Bytes::new();
        }
        Some(taken)
    }
}
