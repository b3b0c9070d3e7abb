//! Outbox: what waits for one device, bounded; all of it leaves in as few writes as the kernel allows.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use orrery_host::Stream;
use tokio::io::AsyncWrite;

use crate::delivery::Slip;
use crate::limits::WRITE_SLICES_MAX;

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutboxLimits {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
}

/// The device reads too slowly for one more frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

struct Item {
    bytes: Bytes,
    /// Told when the kernel has the bytes, or by its drop that it never will.
    slip: Option<Slip>,
    answer: bool,
}

/// Frames that wait for a device, in order. It owns no memory while it is empty and [tidied].
///
/// [tidied]: Outbox::tidy
#[derive(Default)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    /// Bytes of the first item that the kernel has already.
    offset: usize,
    bytes: usize,
    answers: usize,
}

impl Outbox {
    /// Whether a pushed frame of this length may still be added. A single frame always fits an empty
    /// outbox, however long.
    pub(crate) fn has_room(&self, len: usize, limits: OutboxLimits) -> bool {
        self.items.is_empty()
            || (self.items.len() < limits.frames && self.bytes + len <= limits.bytes)
    }

    /// Adds a pushed frame.
    ///
    /// # Errors
    /// [`Full`] when there is no room; the frame is dropped, the device keeps what it waits for.
    pub(crate) fn push(
        &mut self,
        bytes: Bytes,
        slip: Option<Slip>,
        limits: OutboxLimits,
    ) -> Result<(), Full> {
        if !self.has_room(bytes.len(), limits) {
            return Err(Full);
        }
        self.bytes += bytes.len();
        self.items.push_back(Item { bytes, slip, answer: false });
        Ok(())
    }

    /// Adds a pushed frame that was held for this outbox and counted as in it; that is bounded where it
    /// is held.
    pub(crate) fn push_promised(&mut self, bytes: Bytes, slip: Option<Slip>) {
        self.bytes += bytes.len();
        self.items.push_back(Item { bytes, slip, answer: false });
    }

    /// Adds an answer to the device. Bounded by not reading from a device that has
    /// [too many](Outbox::answers) of them waiting.
    pub(crate) fn push_answer(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        self.answers += 1;
        self.items.push_back(Item { bytes, slip: None, answer: true });
    }

    /// Answers that wait.
    pub(crate) fn answers(&self) -> usize {
        self.answers
    }

    /// Gives memory back that an idle connection does not need.
    pub(crate) fn tidy(&mut self) {
        if self.items.is_empty() && self.items.capacity() > 0 {
            self.items = VecDeque::new();
        }
    }

    /// Writes until nothing waits or the kernel takes no more.
    pub(crate) fn poll_write(
        &mut self,
        stream: &mut Box<dyn Stream>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.items.is_empty() {
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
            let mut count = 0;
            for (slice, item) in slices.iter_mut().zip(&self.items) {
                let skip = if count == 0 { self.offset } else { 0 };
                *slice = IoSlice::new(&item.bytes[skip..]);
                count += 1;
            }
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// The kernel took so many bytes.
    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some(first) = self.items.front_mut() {
            let left = first.bytes.len() - self.offset;
            if written < left {
                self.offset += written;
                return;
            }
            written -= left;
            self.offset = 0;
            self.answers -= usize::from(first.answer);
            if let Some(slip) = first.slip.take() {
                slip.written();
            }
            self.items.pop_front();
            if written == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: OutboxLimits = OutboxLimits { frames: 3, bytes: 10 };

    #[test]
    fn a_full_outbox_drops_the_newest_frame() {
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            assert_eq!(outbox.push(Bytes::from_static(b"abc"), None, LIMITS), Ok(()));
        }
        assert_eq!(outbox.push(Bytes::new(), None, LIMITS), Err(Full), "too many frames");
        outbox.advance(3);
        assert_eq!(outbox.push(Bytes::from_static(b"abcde"), None, LIMITS), Err(Full), "too long");
        assert_eq!(outbox.push(Bytes::from_static(b"abcd"), None, LIMITS), Ok(()));
    }

    #[test]
    fn a_frame_longer_than_the_limit_passes_an_empty_outbox() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(Bytes::from_static(&[0; 100]), None, LIMITS), Ok(()));
        assert_eq!(outbox.push(Bytes::from_static(b"a"), None, LIMITS), Err(Full));
    }

    #[test]
    fn a_partial_write_continues_where_it_stopped() {
        let mut outbox = Outbox::default();
        outbox.push_answer(Bytes::from_static(b"abc"));
        outbox.push_answer(Bytes::from_static(b"def"));
        outbox.advance(2);
        assert_eq!((outbox.offset, outbox.answers(), outbox.bytes), (2, 2, 4));
        outbox.advance(2);
        assert_eq!((outbox.offset, outbox.answers(), outbox.bytes), (1, 1, 2));
        outbox.advance(2);
        assert!(outbox.items.is_empty());
        assert_eq!((outbox.offset, outbox.answers(), outbox.bytes), (0, 0, 0));
    }
}
