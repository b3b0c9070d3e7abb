//! Frame: goim's binary frame, a 16-byte big-endian header and a body.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::FrameError;
use crate::limits::HEADER_BYTES;

/// What carries a frame. They differ in what they make of a negative packet length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A TCP stream: a negative length is a frame without body, as goim has it.
    Stream,
    /// A WebSocket message: a negative length is an error.
    Message,
}

/// One frame. Header length is always 16 and the packet length follows from the body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// Protocol version: the device's choice, echoed in replies; 1 in pushes.
    pub version: i16,
    /// Operation, any number; see [`crate::ops`].
    pub op: i32,
    /// Sequence: the device's choice, echoed in replies; 0 in pushes.
    pub seq: i32,
    /// Body.
    pub body: Bytes,
}

impl Frame {
    /// Length of the encoded frame in bytes.
    pub fn encoded_len(&self) -> usize {
        HEADER_BYTES + self.body.len()
    }

    /// The frame's bytes.
    ///
    /// # Panics
    /// When the body is longer than 2 GiB, which no limit lets happen.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.encoded_len());
        self.encode_to(&mut out);
        out.freeze()
    }

    /// Appends the frame's bytes.
    ///
    /// # Panics
    /// As [`Frame::encode`].
    pub fn encode_to(&self, out: &mut BytesMut) {
        put_header(out, self.body.len(), self.version, self.op, self.seq);
        out.put_slice(&self.body);
    }
}

/// Appends the header of a frame whose body has `body_len` bytes.
pub(crate) fn put_header(out: &mut BytesMut, body_len: usize, version: i16, op: i32, seq: i32) {
    let packet_length =
        i32::try_from(HEADER_BYTES + body_len).expect("bodies are limited to 1 MiB");
    out.put_i32(packet_length);
    out.put_i16(HEADER_BYTES as i16);
    out.put_i16(version);
    out.put_i32(op);
    out.put_i32(seq);
}

/// A frame's header as it was received, nothing checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Length of the whole frame as claimed.
    pub packet_length: i32,
    /// Length of the header as claimed.
    pub header_length: i16,
    /// See [`Frame::version`].
    pub version: i16,
    /// See [`Frame::op`].
    pub op: i32,
    /// See [`Frame::seq`].
    pub seq: i32,
}

impl Header {
    /// Reads a header.
    pub fn parse(b: &[u8; HEADER_BYTES]) -> Self {
        Self {
            packet_length: i32::from_be_bytes([b[0], b[1], b[2], b[3]]),
            header_length: i16::from_be_bytes([b[4], b[5]]),
            version: i16::from_be_bytes([b[6], b[7]]),
            op: i32::from_be_bytes([b[8], b[9], b[10], b[11]]),
            seq: i32::from_be_bytes([b[12], b[13], b[14], b[15]]),
        }
    }

    /// Number of body bytes that follow the header. A claim below 16 means none.
    ///
    /// # Errors
    /// [`FrameError`] when a length is outside what the carrier allows.
    pub fn body_len(&self, carrier: Carrier, packet_max: usize) -> Result<usize, FrameError> {
        let packet = check_packet_length(self.packet_length, carrier, packet_max)?;
        check_header_length(self.header_length)?;
        Ok(packet.saturating_sub(HEADER_BYTES))
    }

    /// The frame of this header with the given body.
    pub fn with_body(&self, body: Bytes) -> Frame {
        Frame { version: self.version, op: self.op, seq: self.seq, body }
    }
}

/// Checks a claimed packet length; the checks have an order so that a decoder may make each as soon as
/// its bytes are there and still report the same error.
pub(crate) fn check_packet_length(
    packet_length: i32,
    carrier: Carrier,
    max: usize,
) -> Result<usize, FrameError> {
    match usize::try_from(packet_length) {
        Ok(length) if length > max => Err(FrameError::TooLong { packet_length, max }),
        Ok(length) => Ok(length),
        Err(_) if carrier == Carrier::Stream => Ok(0),
        Err(_) => Err(FrameError::Negative(packet_length)),
    }
}

/// Checks a claimed header length.
pub(crate) fn check_header_length(header_length: i16) -> Result<(), FrameError> {
    if usize::try_from(header_length) == Ok(HEADER_BYTES) {
        Ok(())
    } else {
        Err(FrameError::HeaderLength(header_length))
    }
}
