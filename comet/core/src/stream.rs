//! Stream: finds goim's frames in the bytes of a TCP connection.

use bytes::{Buf, BytesMut};

use crate::error::FrameError;
use crate::frame::{Carrier, Frame, Header, check_header_length, check_packet_length};
use crate::limits::{CLIENT_PACKET_BYTES_MAX, HEADER_BYTES, SERVER_PACKET_BYTES_MAX};

/// Incremental decoder: feed bytes as they come, then poll until there is no frame left. It keeps at
/// most one incomplete frame and no buffer at all between frames.
#[derive(Debug)]
pub struct FrameStream {
    buffer: BytesMut,
    packet_max: usize,
    failed: Option<FrameError>,
}

impl FrameStream {
    /// Decodes what devices send.
    pub fn from_device() -> Self {
        Self::new(CLIENT_PACKET_BYTES_MAX)
    }

    /// Decodes what comets send.
    pub fn from_comet() -> Self {
        Self::new(SERVER_PACKET_BYTES_MAX)
    }

    fn new(packet_max: usize) -> Self {
        Self { buffer: BytesMut::new(), packet_max, failed: None }
    }

    /// Takes bytes, of which none are kept after an error.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next complete frame, or none until more bytes come.
    ///
    /// # Errors
    /// [`FrameError`] as soon as the bytes that show it are there, and for ever after.
    pub fn poll(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let polled = self.poll_buffer();
        match polled {
            Err(error) => {
                self.failed = Some(error);
                self.buffer = BytesMut::new();
            }
            Ok(_) if self.buffer.is_empty() => self.buffer = BytesMut::new(),
            Ok(_) => {}
        }
        polled
    }

    fn poll_buffer(&mut self) -> Result<Option<Frame>, FrameError> {
        if let Some(&claim) = self.buffer.first_chunk::<4>() {
            check_packet_length(i32::from_be_bytes(claim), Carrier::Stream, self.packet_max)?;
        }
        if let Some(&[_, _, _, _, high, low]) = self.buffer.first_chunk::<6>() {
            check_header_length(i16::from_be_bytes([high, low]))?;
        }
        let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>().map(Header::parse) else {
            return Ok(None);
        };
        let body_len = header.body_len(Carrier::Stream, self.packet_max)?;
        if self.buffer.len() < HEADER_BYTES + body_len {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        Ok(Some(header.with_body(self.buffer.split_to(body_len).freeze())))
    }
}
