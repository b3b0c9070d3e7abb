//! Writing: how what waits is given to a stream, in as few writes as it allows.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use orrery_host::Stream;
use tokio::io::AsyncWrite;
use tokio::task::coop::has_budget_remaining;

use super::Outbox;
use crate::limits::WRITE_SLICES_MAX;

/// What came of the last write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Tried {
    /// Something was added since.
    #[default]
    Not,
    /// What is left waits for the device.
    Yes,
    /// It failed: some streams say so only once.
    Broken,
}

impl Outbox {
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
        self.tried = match written {
            Poll::Ready(Err(_)) => Tried::Broken,
            // It is not the kernel that takes no more, but what a task is granted in one go.
            Poll::Pending if !has_budget_remaining() => Tried::Not,
            _ => Tried::Yes,
        };
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
    pub(super) fn advance(&mut self, mut written: usize) {
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
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::task::Waker;

    use bytes::Bytes;
    use orrery_host::LocalStream;
    use tokio::io::{AsyncRead, ReadBuf};
    use tokio::task::coop::poll_proceed;

    use super::*;

    #[tokio::test]
    async fn a_task_that_has_had_its_go_has_not_tried_the_kernel() {
        let (ours, _theirs) = tokio::io::duplex(64);
        let mut stream: Box<dyn Stream> = Box::new(LocalStream(ours));
        let mut outbox = Outbox::default();
        outbox.push_answer(Bytes::from_static(b"abc"));
        poll_fn(|cx| {
            while has_budget_remaining() {
                let Poll::Ready(spent) = poll_proceed(cx) else { break };
                spent.made_progress();
            }
            assert!(outbox.poll_write(&mut stream, cx).is_pending());
            Poll::Ready(())
        })
        .await;
        assert!(!outbox.was_tried());
        poll_fn(|cx| outbox.poll_write(&mut stream, cx)).await.unwrap();
        assert!(outbox.was_tried());
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
