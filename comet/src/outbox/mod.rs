//! Outbox: what waits for one device, bounded; all of it leaves in as few writes as the kernel allows.

mod displace;
mod lag;
mod writing;

use std::collections::VecDeque;

use bytes::Bytes;

pub(crate) use self::lag::Lag;
use self::writing::Tried;
use crate::delivery::Slip;

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
    /// How many frames they are.
    frames: usize,
    /// Told when the kernel has the bytes, or by its drop that it never will.
    slip: Option<Slip>,
    answer: bool,
}

/// Frames that wait for a device, in order. It owns no memory while it is empty and [swept].
///
/// [swept]: Outbox::sweep
#[derive(Default)]
pub(crate) struct Outbox {
    items: VecDeque<Item>,
    /// Bytes of the first item that the kernel has already.
    offset: usize,
    /// Bytes after those that the stream has taken, and of which it may keep some that the kernel has not (TLS does).
    taken: usize,
    bytes: usize,
    frames: usize,
    answers: u32,
    /// Of all answers, also where the first one is written in part: there are few, and a connection is to be small.
    answer_bytes: u32,
    /// See [`Lag::dropped`].
    dropped: u32,
    /// See [`Lag::still`].
    still: u16,
    /// Whether the kernel took something since the last sweep.
    moved: bool,
    tried: Tried,
}

impl Outbox {
    /// Whether a pushed frame of this length may still be added. A single frame always fits an empty
    /// outbox, however long.
    pub(crate) fn has_room(&self, len: usize, limits: OutboxLimits) -> bool {
        self.items.is_empty() || self.is_below(len, limits)
    }

    fn is_below(&self, len: usize, limits: OutboxLimits) -> bool {
        self.frames < limits.frames && self.bytes + len <= limits.bytes
    }

    /// Whether half of what may wait does so.
    pub(crate) fn is_half_full(&self, limits: OutboxLimits) -> bool {
        2 * self.frames >= limits.frames || 2 * self.bytes >= limits.bytes
    }

    /// Whether as much waits as may.
    pub(crate) fn is_full(&self, limits: OutboxLimits) -> bool {
        self.frames >= limits.frames || self.bytes >= limits.bytes
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
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
        self.push_promised(bytes, 1, slip);
        Ok(())
    }

    /// Adds pushed frames in one piece that were counted as in it before; that is bounded where they waited.
    pub(crate) fn push_promised(&mut self, bytes: Bytes, frames: usize, slip: Option<Slip>) {
        self.add(Item { bytes, frames, slip, answer: false });
    }

    /// The pieces that wait.
    #[cfg(test)]
    pub(crate) fn queued(&self) -> impl Iterator<Item = &Bytes> {
        self.items.iter().map(|item| &item.bytes)
    }

    /// Adds an answer to the device. Bounded by not reading from a device that has
    /// [too many](Outbox::answers) of them waiting.
    pub(crate) fn push_answer(&mut self, bytes: Bytes) {
        self.answers += 1;
        self.answer_bytes += bytes.len() as u32;
        self.add(Item { bytes, frames: 1, slip: None, answer: true });
    }

    fn add(&mut self, item: Item) {
        if self.tried == Tried::Yes {
            self.tried = Tried::Not;
        }
        self.bytes += item.bytes.len();
        self.frames += item.frames;
        self.items.push_back(item);
    }

    /// Answers that wait.
    pub(crate) fn answers(&self) -> usize {
        self.answers as usize
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
}
