//! Stamp: what a message carries so that its arrival can be judged.

use bytes::{BufMut, Bytes, BytesMut};

use super::limits::BODY_BYTES;

/// Bytes of a stamp.
pub(super) const STAMP_BYTES: usize = 24;

/// The beginning of a message's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Which measurement it belongs to; what arrives late from another one does not count.
    pub(super) run: u64,
    /// Which of the measurement's pushes it is, from 0.
    pub(super) number: u64,
    /// When it was due to be pushed, on the client's clock.
    pub(super) due_ns: u64,
}

impl Stamp {
    /// A body that begins with it.
    pub(super) fn body(self) -> Bytes {
        let mut body = BytesMut::with_capacity(BODY_BYTES);
        body.put_u64(self.run);
        body.put_u64(self.number);
        body.put_u64(self.due_ns);
        body.put_bytes(b'.', BODY_BYTES - STAMP_BYTES);
        body.freeze()
    }

    /// Reads one; none where the body is too short.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = body.get(at..at + 8)?;
            Some(u64::from_be_bytes(bytes.try_into().ok()?))
        };
        Some(Self { run: number(0)?, number: number(8)?, due_ns: number(16)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_from_its_body_and_from_nothing_shorter() {
        let stamp = Stamp { run: 3, number: u64::MAX, due_ns: 7 };
        let body = stamp.body();
        assert_eq!(body.len(), BODY_BYTES);
        assert_eq!(Stamp::read(&body), Some(stamp));
        assert_eq!(Stamp::read(&body[..STAMP_BYTES - 1]), None);
    }
}
