//! Outbox: what waits for one device, bounded; all of it leaves in as few writes as the kernel allows.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use orrery_host::Stream;
use orrery_model::message::{Delivered, DropReason};
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
    /// How many frames they are.
    frames: usize,
    /// Told when the kernel has the bytes, or by its drop that it never will.
    slip: Option<Slip>,
    answer: bool,
}

/// How far a device is behind. The worse one is the greater one: who stands still for longer, then who has more waiting,
/// then who lost more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lag {
    /// Looks, one a second, since the kernel last took something of what waits.
    pub(crate) still: u16,
    pub(crate) bytes: usize,
    pub(crate) frames: usize,
    /// Frames dropped since the device connected, at the largest number for ever.
    pub(crate) dropped: u32,
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

/// What came of the last write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Tried {
    /// Something was added since.
    #[default]
    Not,
    /// What is left waits for the device.
    Yes,
    /// It failed: some streams say so only once.
    Broken,
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

    /// Makes room for a pushed frame of this length: the pushes that have waited longest go, as few as will do. Answers
    /// stay, and so does that of which a part was written. Returns how many frames went; none where all of them
    /// would not be enough, and then all stay. Costs as much as what goes, and what stays in front of it.
    pub(crate) fn displace(&mut self, len: usize, limits: OutboxLimits) -> usize {
        if self.has_room(len, limits) || !self.may_make_room(len, limits) {
            return 0;
        }
        let (begun, frames) = (self.begun(), self.frames);
        let mut stays = Vec::new();
        while let Some(mut item) = self.items.pop_front() {
            if stays.len() < begun || item.answer {
                stays.push(item);
                continue;
            }
            self.frames -= item.frames;
            self.bytes -= item.bytes.len();
            if let Some(slip) = item.slip.take() {
                slip.dropped(Delivered::Dropped(DropReason::Displaced));
            }
            if self.is_below(len, limits) {
                break;
            }
        }
        for item in stays.into_iter().rev() {
            self.items.push_front(item);
        }
        let displaced = frames - self.frames;
        self.dropped(u32::try_from(displaced).unwrap_or(u32::MAX));
        displaced
    }

    /// Whether there would be room for a frame of this length if all went that may.
    fn may_make_room(&self, len: usize, limits: OutboxLimits) -> bool {
        let begun = self.items.iter().take(self.begun()).filter(|item| !item.answer);
        let (mut frames, mut bytes) = (self.answers(), self.answer_bytes as usize);
        for item in begun {
            frames += item.frames;
            bytes += item.bytes.len();
        }
        frames == 0 || (frames < limits.frames && bytes - self.offset + len <= limits.bytes)
    }

    /// How many of the first items have begun to be written.
    fn begun(&self) -> usize {
        let mut begun = self.offset + self.taken;
        let is_begun = |item: &&Item| {
            let is_begun = begun > 0;
            begun = begun.saturating_sub(item.bytes.len());
            is_begun
        };
        self.items.iter().take_while(is_begun).count()
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

    /// To be called about once a second: looks whether the device takes what waits, and gives memory back that an idle
    /// connection does not need.
    pub(crate) fn sweep(&mut self) {
        if self.items.is_empty() && self.items.capacity() > 0 {
            self.items = VecDeque::new();
        }
        let moves = std::mem::take(&mut self.moved) || self.items.is_empty();
        self.still = if moves { 0 } else { self.still.saturating_add(1) };
    }

    /// Counts frames that had no room here.
    pub(crate) fn dropped(&mut self, frames: u32) {
        self.dropped = self.dropped.saturating_add(frames);
    }

    /// How far the device is behind; `None` where nothing waits for it or was dropped.
    pub(crate) fn lag(&self) -> Option<Lag> {
        let Self { bytes, frames, dropped, still, .. } = *self;
        let still = if self.moved { 0 } else { still };
        (frames > 0 || dropped > 0).then_some(Lag { still, bytes, frames, dropped })
    }

    /// Whether the kernel was tried with all that waits, so that what is left waits for the device.
    pub(crate) fn was_tried(&self) -> bool {
        self.tried != Tried::Not
    }

    /// Writes until nothing waits or the kernel takes no more.
    pub(crate) fn poll_write(
        &mut self,
        stream: &mut Box<dyn Stream>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.tried == Tried::Broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = self.poll_write_all(stream, cx);
        let is_broken = matches!(written, Poll::Ready(Err(_)));
        self.tried = if is_broken { Tried::Broken } else { Tried::Yes };
        written
    }

    /// Nothing is written any more.
    pub(crate) fn break_off(&mut self) {
        self.tried = Tried::Broken;
    }

    fn poll_write_all(
        &mut self,
        stream: &mut Box<dyn Stream>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.items.is_empty() {
            if self.taken == 0 {
                self.taken = ready!(self.poll_give(stream, cx))?;
            }
            ready!(Pin::new(&mut *stream).poll_flush(cx))?;
            let written = std::mem::take(&mut self.taken);
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the stream what it takes at once.
    fn poll_give(
        &self,
        stream: &mut Box<dyn Stream>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut *stream);
        let taken = match self.items.len() {
            // The kernel has less to do for a single piece.
            1 => stream.poll_write(cx, &self.items[0].bytes[self.offset..]),
            _ => {
                let mut slices = [IoSlice::new(&[]); WRITE_SLICES_MAX];
                let mut count = 0;
                for (slice, item) in slices.iter_mut().zip(&self.items) {
                    let skip = if count == 0 { self.offset } else { 0 };
                    *slice = IoSlice::new(&item.bytes[skip..]);
                    count += 1;
                }
                stream.poll_write_vectored(cx, &slices[..count])
            }
        };
        let taken = ready!(taken)?;
        Poll::Ready(if taken == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(taken) })
    }

    /// The kernel took so many bytes.
    fn advance(&mut self, mut written: usize) {
        self.moved = true;
        self.bytes -= written;
        while let Some(first) = self.items.front_mut() {
            let left = first.bytes.len() - self.offset;
            if written < left {
                self.offset += written;
                return;
            }
            written -= left;
            self.offset = 0;
            self.frames -= first.frames;
            if first.answer {
                self.answers -= 1;
                self.answer_bytes -= first.bytes.len() as u32;
            }
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::Waker;

    use orrery_host::LocalStream;
    use tokio::io::{AsyncRead, ReadBuf};

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

    fn queued(outbox: &Outbox) -> Vec<&[u8]> {
        outbox.queued().map(|bytes| &bytes[..]).collect()
    }

    #[test]
    fn the_oldest_pushes_make_room_and_no_more_of_them_than_have_to() {
        let mut outbox = Outbox::default();
        outbox.push_answer(Bytes::from_static(b"a"));
        for frame in [b"bbb", b"ccc"] {
            outbox.push(Bytes::from_static(frame), None, LIMITS).unwrap();
        }
        assert_eq!(outbox.displace(3, LIMITS), 1);
        assert_eq!(queued(&outbox), [&b"a"[..], b"ccc"]);
        assert_eq!(outbox.displace(3, LIMITS), 0, "there is room");
        outbox.push(Bytes::from_static(b"ddd"), None, LIMITS).unwrap();
        assert_eq!(outbox.displace(9, LIMITS), 2);
        assert_eq!((queued(&outbox), outbox.bytes, outbox.frames), (vec![&b"a"[..]], 1, 1));
    }

    #[test]
    fn what_has_begun_to_be_written_stays_and_so_does_all_where_it_would_not_be_enough() {
        let mut outbox = Outbox::default();
        for frame in [b"bbb", b"ccc", b"ddd"] {
            outbox.push(Bytes::from_static(frame), None, LIMITS).unwrap();
        }
        outbox.advance(1);
        // A stream has taken the rest of the first one and a part of the second.
        outbox.taken = 3;
        assert_eq!(outbox.displace(9, LIMITS), 0);
        assert_eq!(queued(&outbox), [&b"bbb"[..], b"ccc", b"ddd"]);
        assert_eq!(outbox.displace(3, LIMITS), 1);
        assert_eq!(queued(&outbox), [&b"bbb"[..], b"ccc"]);
        outbox.taken = 0;
        outbox.advance(2);
        assert_eq!(outbox.displace(100, LIMITS), 1, "an empty one takes a frame of any length");
        assert!(outbox.is_empty());
    }

    #[test]
    fn nothing_behind_what_goes_is_touched() {
        let limits = OutboxLimits { frames: 1000, bytes: 10_000 };
        let mut outbox = Outbox::default();
        outbox.push_answer(Bytes::from_static(b"a"));
        while outbox.push(Bytes::from_static(b"b"), None, limits).is_ok() {}
        let places =
            |outbox: &Outbox| outbox.items.iter().map(std::ptr::from_ref).collect::<Vec<_>>();
        let before = places(&outbox);
        assert_eq!(outbox.displace(1, limits), 1);
        assert_eq!(places(&outbox)[1..], before[2..], "they are where they were");
        assert!(outbox.items[0].answer);
        let before = places(&outbox);
        assert_eq!(outbox.displace(10_000, limits), 0, "the answer stays");
        assert_eq!(places(&outbox), before);
    }

    #[test]
    fn answers_written_in_part_leave_as_much_room_as_they_took() {
        let mut outbox = Outbox::default();
        outbox.push_answer(Bytes::from_static(b"aaaa"));
        outbox.push_promised(Bytes::from_static(b"bbbb"), 2, None);
        outbox.advance(3);
        assert_eq!(outbox.displace(10, LIMITS), 0);
        assert_eq!(outbox.displace(9, LIMITS), 2, "one byte of the answer is left");
        assert_eq!((queued(&outbox), outbox.bytes, outbox.frames), (vec![&b"aaaa"[..]], 1, 1));
        outbox.advance(1);
        assert_eq!((outbox.answers, outbox.answer_bytes, outbox.bytes), (0, 0, 0));
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

    /// Takes everything, and gives nothing on until it may.
    struct Hoarder {
        taken: Arc<AtomicUsize>,
        may_give: Arc<AtomicBool>,
    }

    impl AsyncRead for Hoarder {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Hoarder {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.taken.fetch_add(bytes.len(), Ordering::Relaxed);
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            match self.may_give.load(Ordering::Relaxed) {
                true => Poll::Ready(Ok(())),
                false => Poll::Pending,
            }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_a_stream_keeps_is_not_written_yet_and_not_given_twice() {
        let (taken, may_give) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let hoarder = Hoarder { taken: taken.clone(), may_give: may_give.clone() };
        let mut stream: Box<dyn Stream> = Box::new(LocalStream(hoarder));
        let mut cx = Context::from_waker(Waker::noop());
        let mut outbox = Outbox::default();
        outbox.push_answer(Bytes::from_static(b"abc"));
        for _ in 0..2 {
            assert!(outbox.poll_write(&mut stream, &mut cx).is_pending());
            assert_eq!((taken.load(Ordering::Relaxed), outbox.bytes, outbox.answers()), (3, 3, 1));
        }
        outbox.push_answer(Bytes::from_static(b"def"));
        may_give.store(true, Ordering::Relaxed);
        assert!(outbox.poll_write(&mut stream, &mut cx).is_ready());
        assert_eq!((taken.load(Ordering::Relaxed), outbox.bytes, outbox.answers()), (6, 0, 0));
    }

    #[test]
    fn a_device_that_takes_nothing_is_behind_until_it_takes_something() {
        let mut outbox = Outbox::default();
        outbox.sweep();
        assert_eq!(outbox.lag(), None, "nothing waits");
        (0..2).for_each(|_| outbox.push_answer(Bytes::from_static(b"abc")));
        (0..3).for_each(|_| outbox.sweep());
        outbox.dropped(7);
        assert_eq!(outbox.lag(), Some(Lag { still: 3, bytes: 6, frames: 2, dropped: 7 }));
        outbox.advance(1);
        assert_eq!(outbox.lag(), Some(Lag { still: 0, bytes: 5, frames: 2, dropped: 7 }));
        (0..2).for_each(|_| outbox.sweep());
        assert_eq!(outbox.lag().map(|lag| lag.still), Some(1), "it moved before the first of them");
        outbox.advance(5);
        (0..2).for_each(|_| outbox.sweep());
        assert_eq!(outbox.lag(), Some(Lag { dropped: 7, ..Lag::default() }));
        outbox.dropped(u32::MAX);
        assert_eq!(outbox.lag().map(|lag| lag.dropped), Some(u32::MAX));
    }

    #[test]
    fn a_stream_that_broke_stays_broken() {
        let (ours, theirs) = tokio::io::duplex(16);
        drop(theirs);
        let mut broken: Box<dyn Stream> = Box::new(LocalStream(ours));
        let mut cx = Context::from_waker(Waker::noop());
        let mut outbox = Outbox::default();
        outbox.push_answer(Bytes::from_static(b"abc"));
        assert!(matches!(outbox.poll_write(&mut broken, &mut cx), Poll::Ready(Err(_))));
        // A socket gives its error once.
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut healed: Box<dyn Stream> = Box::new(LocalStream(ours));
        assert!(matches!(outbox.poll_write(&mut healed, &mut cx), Poll::Ready(Err(_))));
    }
}
