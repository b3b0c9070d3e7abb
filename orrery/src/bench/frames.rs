//! Frames: finds goim's frames in what a socket gave, without copying those that came whole.

use orrery_comet_core::FrameError;
use orrery_comet_core::frame::{Carrier, Header};
use orrery_comet_core::limits::{HEADER_BYTES, SERVER_PACKET_BYTES_MAX};

/// One device's frames. Between two reads it keeps only the beginning of an incomplete one.
#[derive(Debug, Default)]
pub(super) struct Frames {
    begun: Vec<u8>,
}

impl Frames {
    /// Takes bytes; calls `each` with header and body of every frame that is complete now.
    ///
    /// # Errors
    /// [`FrameError`] where the bytes are no frames.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Header, &[u8]),
    ) -> Result<(), FrameError> {
        if self.begun.is_empty() {
            let rest = walk(bytes, &mut each)?;
            self.begun.extend_from_slice(rest);
            return Ok(());
        }
        self.begun.extend_from_slice(bytes);
        let left = walk(&self.begun, &mut each)?.len();
        self.begun.drain(..self.begun.len() - left);
        Ok(())
    }
}

/// Returns what is left behind the last complete frame.
fn walk<'a>(
    mut bytes: &'a [u8],
    each: &mut impl FnMut(Header, &[u8]),
) -> Result<&'a [u8], FrameError> {
    while let Some((header, behind)) = bytes.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::parse(header);
        let body_len = header.body_len(Carrier::Stream, SERVER_PACKET_BYTES_MAX)?;
        let Some((body, behind)) = behind.split_at_checked(body_len) else { break };
        each(header, body);
        bytes = behind;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use orrery_comet_core::Frame;

    use super::*;

    #[test]
    fn frames_are_the_same_however_the_bytes_are_cut() {
        let mut bytes = BytesMut::new();
        for (op, body) in [(1, "a"), (2, ""), (3, "ccc")] {
            let body = Bytes::from_static(body.as_bytes());
            Frame { version: 1, op, seq: 0, body }.encode_to(&mut bytes);
        }
        for size in 1..=bytes.len() {
            let mut frames = Frames::default();
            let mut seen = Vec::new();
            for piece in bytes.chunks(size) {
                frames.take(piece, |header, body| seen.push((header.op, body.to_vec()))).unwrap();
            }
            let expected = [(1, b"a".to_vec()), (2, vec![]), (3, b"ccc".to_vec())];
            assert_eq!(seen, expected, "in pieces of {size}");
            assert!(frames.begun.is_empty());
        }
    }
}
