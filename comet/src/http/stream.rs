//! Stream: the end of a session that its connection reads and writes as if it were a socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use orrery_host::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::session::PollSession;
use super::sessions::Sessions;
use crate::limits::GIVE_BYTES_MAX;

/// Takes whole slices, each one line or several, and is flushed once responses have taken them all: whoever writes
/// flushes before writing on, so that no more than one write is kept here. After its shutdown it takes one last
/// word, which nobody waits for. Its drop is the end of the session.
pub(super) struct SessionStream {
    session: Arc<PollSession>,
    sessions: Arc<Sessions>,
}

impl SessionStream {
    pub(super) fn new(session: Arc<PollSession>, sessions: Arc<Sessions>) -> Self {
        Self { session, sessions }
    }
}

impl Drop for SessionStream {
    fn drop(&mut self) {
        self.session.end();
        self.sessions.ended(self.session.id());
    }
}

impl Stream for SessionStream {
    fn adopt(self: Box<Self>) -> io::Result<Box<dyn Stream>> {
        Ok(self)
    }
}

impl AsyncRead for SessionStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.session.poll_read(cx, buffer).map(Ok)
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

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.poll_given(cx).map(Ok)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.close();
        Poll::Ready(Ok(()))
    }
}
