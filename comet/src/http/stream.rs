//! Stream: the end of a session that its connection reads and writes as if it were a socket.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use orrery_host::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, sleep_until};

use super::session::PollSession;
use super::sessions::Sessions;
use crate::limits::{GIVE_BYTES_MAX, GOODBYE_MAX};

/// Takes whole slices, each one line or several, and is flushed once responses have taken them all: whoever writes
/// flushes before writing on, so that no more than one write is kept here. After its shutdown it takes one last
/// word, which nobody waits for. Once its device has said goodbye, events that are not taken break it. Its drop is
/// the end of the session.
pub(super) struct SessionStream {
    session: Arc<PollSession>,
    sessions: Arc<Sessions>,
    /// How long its device may take to show that it was told of the session; set until it has.
    unclaimed: Option<Pin<Box<Sleep>>>,
    /// For how long the events may still be taken; set once the device has said goodbye.
    goodbye: Option<Pin<Box<Sleep>>>,
}

impl SessionStream {
    pub(super) fn new(session: Arc<PollSession>, sessions: Arc<Sessions>) -> Self {
        Self { session, sessions, unclaimed: None, goodbye: None }
    }
}

impl Drop for SessionStream {
    fn drop(&mut self) {
        self.session.end();
        self.sessions.ended(&self.session);
    }
}

impl Stream for SessionStream {
    fn adopt(self: Box<Self>) -> io::Result<Box<dyn Stream>> {
        Ok(self)
    }
}

impl AsyncRead for SessionStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.session.poll_read(cx, buffer).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let Some(until) = self.session.unclaimed_until() else {
            self.unclaimed = None;
            return Poll::Pending;
        };
        let unclaimed = self.unclaimed.get_or_insert_with(|| Box::pin(sleep_until(until)));
        // The kernel took the answer to the hello, and nobody got it.
        std::task::ready!(unclaimed.as_mut().poll(cx));
        self.session.hang_up();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SessionStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.session.write(&[bytes]);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut taken: Vec<&[u8]> = Vec::with_capacity(slices.len());
        let mut bytes = 0;
        for slice in slices {
            if bytes > 0 && bytes + slice.len() > GIVE_BYTES_MAX {
                break;
            }
            bytes += slice.len();
            taken.push(slice);
        }
        self.session.write(&taken);
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.session.poll_given(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if !self.session.has_hung_up() {
            return Poll::Pending;
        }
        // Where its posts are read, its end is found behind them. They are not while too many answers wait.
        let goodbye = self.goodbye.get_or_insert_with(|| Box::pin(sleep(GOODBYE_MAX)));
        goodbye.as_mut().poll(cx).map(|()| Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.close();
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream::FuturesUnordered;
    use futures_util::{FutureExt as _, StreamExt as _};
    use orrery_host::Host;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test]
    async fn who_said_goodbye_is_not_waited_for_and_what_it_posted_is_read_meanwhile() {
        let (session, mut stream) = Sessions::new(1, Host::system().random).open();
        stream.write_all(b"nobody asks for it\n").await.unwrap();
        session.post(b"before", Instant::now()).unwrap();
        let early = timeout(GOODBYE_MAX / 4, stream.flush()).await;
        assert!(early.is_err(), "it may still ask: {early:?}");
        session.hang_up();
        let early = timeout(GOODBYE_MAX / 4, stream.flush()).await;
        assert!(early.is_err(), "its post is to be read: {early:?}");
        let mut read = Vec::new();
        stream.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"\0\0\0\x06before\0\0\0\0", "the post, and a sign of life");
        let broken = timeout(2 * GOODBYE_MAX, stream.flush()).await.expect("in time");
        assert_eq!(broken.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn who_waits_for_a_device_learns_of_its_goodbye() {
        let (session, mut stream) = Sessions::new(1, Host::system().random).open();
        stream.write_all(b"nobody asks for it\n").await.unwrap();
        let flushing = timeout(2 * GOODBYE_MAX, stream.flush());
        let flushing = flushing.map(|flushed| flushed.expect("in time").is_err());
        let goodbye = async {
            tokio::task::yield_now().await;
            session.hang_up();
            true
        };
        // Each is polled only when it is woken itself.
        let both = [flushing.boxed_local(), goodbye.boxed_local()];
        let both: FuturesUnordered<_> = both.into_iter().collect();
        assert_eq!(both.collect::<Vec<_>>().await, [true, true]);
    }
}
