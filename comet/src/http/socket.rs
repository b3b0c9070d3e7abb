//! Socket: the stream of a device's requests, which tells when the kernel has taken a response.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use orrery_comet_core::http::Cursor;
use orrery_host::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::session::{PollSession, Underway};

/// What is to be done once the kernel has taken what was written so far. The body of a response adds to it as it hands
/// its events to hyper, which flushes the socket only when it has written all that it was handed. Where requests come
/// without waiting for answers there is more than one, as many at most as responses fit hyper's buffer.
#[derive(Default)]
pub(super) struct OnFlush(RefCell<Vec<Given>>);

/// Events that are about to be written.
pub(super) struct Given {
    pub(super) session: Arc<PollSession>,
    pub(super) upto: Cursor,
    pub(super) underway: Underway,
    /// Ends the session if nobody ever learns of it.
    pub(super) orphan: Option<Orphan>,
}

impl OnFlush {
    pub(super) fn add(&self, given: Given) {
        self.0.borrow_mut().push(given);
    }

    /// Whether events of this session are on their way.
    pub(super) fn has(&self, session: &Arc<PollSession>) -> bool {
        self.0.borrow().iter().any(|given| Arc::ptr_eq(&given.session, session))
    }

    fn flushed(&self) {
        for Given { session, upto, orphan, underway } in self.0.take() {
            if let Some(orphan) = orphan {
                orphan.found();
            }
            session.give(upto);
            drop(underway);
        }
    }
}

/// A session whose device was not told of it yet. Its drop ends it.
pub(super) struct Orphan(Option<Arc<PollSession>>);

impl Orphan {
    pub(super) fn new(session: Arc<PollSession>) -> Self {
        Self(Some(session))
    }

    fn found(mut self) {
        self.0 = None;
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            session.hang_up();
        }
    }
}

/// The stream of a device's requests. A device that does not take its response for too long has broken off.
pub(super) struct Socket {
    stream: Box<dyn Stream>,
    /// What was read of it before.
    read: Bytes,
    on_flush: Rc<OnFlush>,
    /// How long the kernel may take nothing.
    stall_max: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    pub(super) fn new(
        stream: Box<dyn Stream>,
        read: Bytes,
        on_flush: Rc<OnFlush>,
        stall_max: Duration,
    ) -> Self {
        Self { stream, read, on_flush, stall_max, stalled: None }
    }

    /// Bounds how long the kernel takes nothing.
    fn in_time<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let stall_max = self.stall_max;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall_max)));
        match stalled.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buffer);
        }
        let len = self.read.len().min(buffer.remaining());
        buffer.put_slice(&self.read[..len]);
        self.read.advance(len);
        if self.read.is_empty() {
            // Empty it would own its buffer as long as the connection lasts.
            self.read = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(polled, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.in_time(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        if matches!(polled, Poll::Ready(Ok(()))) {
            self.on_flush.flushed();
        }
        self.in_time(polled, cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.in_time(polled, cx)
    }
}

#[cfg(test)]
mod tests {
    use orrery_comet_core::http::SessionId;
    use orrery_host::LocalStream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, timeout};

    use super::super::session::Next;
    use super::*;

    const STALL_MAX: Duration = Duration::from_millis(200);

    /// A socket whose kernel takes 16 bytes, and the other end.
    fn socket(on_flush: &Rc<OnFlush>) -> (Socket, DuplexStream) {
        let (ours, theirs) = duplex(16);
        let read = Bytes::from_static(b"read before, ");
        let stream = Box::new(LocalStream(ours));
        (Socket::new(stream, read, on_flush.clone(), STALL_MAX), theirs)
    }

    fn session() -> Arc<PollSession> {
        PollSession::new(SessionId::new([7; 16]))
    }

    /// The one event of a session, in an answer.
    fn given(session: &Arc<PollSession>, orphan: Option<Orphan>) -> Given {
        session.write(&[b"one\n"]);
        let turn = session.begin(Cursor(0), Instant::now()).unwrap();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match session.poll_next(turn, Cursor(0), &mut cx) {
            Poll::Ready(Next::Events(_, upto, underway)) => {
                assert_eq!(upto, Cursor(1));
                Given { session: session.clone(), upto, underway, orphan }
            }
            _ => panic!("there is one"),
        }
    }

    #[tokio::test]
    async fn a_device_that_takes_nothing_for_too_long_has_broken_off() {
        let (mut socket, mut theirs) = socket(&Rc::default());
        let began = Instant::now();
        // It takes a little now and then: that is slow, and no reason.
        let taking = async {
            for _ in 0..4 {
                tokio::time::sleep(STALL_MAX / 2).await;
                theirs.read_exact(&mut [0; 8]).await.unwrap();
            }
            std::future::pending::<()>().await
        };
        let writing = timeout(Duration::from_secs(60), socket.write_all(&[b'x'; 1000]));
        let written = tokio::select! {
            written = writing => written.expect("it is given up"),
            () = taking => unreachable!("it is pending"),
        };
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() >= STALL_MAX * 5 / 2, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn what_was_read_before_is_kept_until_it_is_read_again() {
        struct Buffer(#[allow(dead_code)] Arc<()>);
        impl AsRef<[u8]> for Buffer {
            fn as_ref(&self) -> &[u8] {
                &[b'x'; 100]
            }
        }
        let buffer = Arc::new(());
        let read = Bytes::from_owner(Buffer(buffer.clone()));
        let (ours, _theirs) = duplex(16);
        let ours = Box::new(LocalStream(ours));
        let mut socket = Socket::new(ours, read, Rc::default(), STALL_MAX);
        socket.read_exact(&mut [0; 99]).await.unwrap();
        assert_eq!(Arc::strong_count(&buffer), 2);
        socket.read_exact(&mut [0]).await.unwrap();
        assert_eq!(Arc::strong_count(&buffer), 1, "nobody needs it any more");
    }

    #[tokio::test]
    async fn events_are_given_by_a_flush_and_their_session_is_no_orphan_then() {
        let on_flush = Rc::<OnFlush>::default();
        let (mut socket, mut theirs) = socket(&on_flush);
        let session = session();
        on_flush.add(given(&session, Some(Orphan::new(session.clone()))));
        // The next request did not wait for this answer.
        let other = PollSession::new(SessionId::new([8; 16]));
        assert!(!on_flush.has(&other));
        on_flush.add(given(&other, None));
        let is_given = || {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            session.poll_given(&mut cx).is_ready()
        };
        socket.write_all(b"one").await.unwrap();
        assert!(!is_given() && on_flush.has(&session), "it is written, and who knows where it is");
        socket.flush().await.unwrap();
        assert!(is_given() && !on_flush.has(&session));
        let mut inbox = [0; 64];
        let mut read = ReadBuf::new(&mut inbox);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        // The sign of life of the request; then nothing, and no end.
        assert!(session.poll_read(&mut cx, &mut read).is_ready() && !read.filled().is_empty());
        assert!(session.poll_read(&mut cx, &mut read).is_pending());
        theirs.write_all(b"and after").await.unwrap();
        let mut all = [0; 22];
        socket.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"read before, and after");
    }

    #[tokio::test]
    async fn a_session_that_nobody_learns_of_hangs_up() {
        let on_flush = Rc::<OnFlush>::default();
        let session = session();
        on_flush.add(given(&session, Some(Orphan::new(session.clone()))));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut bytes = [0; 8];
        let mut read = ReadBuf::new(&mut bytes);
        // The sign of life of the request.
        assert!(session.poll_read(&mut cx, &mut read).is_ready());
        read.clear();
        assert!(session.poll_read(&mut cx, &mut read).is_pending());
        drop(on_flush);
        assert!(session.poll_read(&mut cx, &mut read).is_ready() && read.filled().is_empty());
    }
}
