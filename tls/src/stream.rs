//! Stream: a TLS connection over another stream, which owns no buffer while it is idle.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker, ready};

use orrery_host::Stream;
use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::RECORD_PLAIN_MAX;
use crate::scratch::{Buffers, Scratch};
use crate::session::Session;

/// The server's side of a TLS connection whose handshake is done.
///
/// A write is one record. It takes plaintext as soon as what was written before is with the kernel, and keeps what
/// the kernel does not take of it: at most one record. That is sent by the next write, flush, shutdown or read;
/// who writes and then neither writes nor reads has to flush.
///
/// A read ends with 0 bytes when the device said that nothing follows, and with
/// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) when it only went. Writing goes on being possible.
pub struct TlsStream {
    inner: Box<dyn Stream>,
    pub(crate) session: Session,
    /// Who waits until the kernel takes more. A reader in another task must not just take his place there.
    writer: Option<Waker>,
}

impl TlsStream {
    pub(crate) fn new(inner: Box<dyn Stream>, session: Session) -> Self {
        Self { inner, session, writer: None }
    }

    /// The version both agreed on.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.session.connection().protocol_version()
    }

    /// Whether the device came back with a ticket, which spares most of the work of a handshake.
    pub fn is_resumed(&self) -> bool {
        self.session.connection().handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    /// Bytes of memory in buffers that are its own now: 0 while nothing is under way.
    pub fn buffered_bytes(&self) -> usize {
        self.session.buffered_bytes()
    }

    /// The stream below, once this is of no more use.
    pub(crate) fn into_inner(self) -> Box<dyn Stream> {
        self.inner
    }

    /// Sends what has to be sent before anything else.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let sent = self.poll_send_unsent(cx);
        self.writer = sent.is_pending().then(|| cx.waker().clone());
        sent
    }

    /// The same by a reader: nobody else may come by to send what the kernel did not take. He does not wait for it.
    fn send_by_reader(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let polled = match self.writer.clone() {
            Some(writer) if !writer.will_wake(cx.waker()) => {
                let both = Waker::from(Arc::new(Both { writer, reader: cx.waker().clone() }));
                self.poll_send_unsent(&mut Context::from_waker(&both))
            }
            _ => self.poll_send_unsent(cx),
        };
        match polled {
            Poll::Ready(sent) => {
                if let Some(writer) = self.writer.take() {
                    writer.wake();
                }
                sent
            }
            Poll::Pending => Ok(()),
        }
    }

    fn poll_send_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.session.unsent.is_empty() {
            let waiting = self.session.unsent.waiting();
            let sent = ready!(Pin::new(&mut self.inner).poll_write(cx, waiting))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.session.unsent.advance(sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads ciphertext once and does nothing with it. None of it: no more will come.
    pub(crate) fn poll_read_sealed(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Vec<u8>>> {
        let mut scratch = Scratch::borrow();
        let mut bytes = ReadBuf::new(&mut scratch.received[..self.session.room()]);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut bytes))?;
        Poll::Ready(Ok(bytes.filled().to_vec()))
    }

    /// Reads once. Returns how many bytes of ciphertext came; 0 when no more will. That they break the protocol is
    /// the session's [failure](Session::failure) then.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut scratch = Scratch::borrow();
        let mut bytes = ReadBuf::new(&mut scratch.received[..self.session.room()]);
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut bytes))?;
        let len = bytes.filled().len();
        let _ = self.session.receive(&mut scratch.received[..len], reader);
        Poll::Ready(Ok(len))
    }

    fn poll_write_record(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let mut scratch = Scratch::borrow();
        let Buffers { gathered, sealed, .. } = &mut *scratch;
        let plaintext = gather(slices, gathered);
        if plaintext.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let len = self.session.seal(plaintext, sealed)?;
        let mut sealed = &sealed[..len];
        while !sealed.is_empty() {
            match Pin::new(&mut self.inner).poll_write(cx, sealed) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(sent)) => sealed = &sealed[sent..],
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.session.unsent.push(sealed);
                    break;
                }
            }
        }
        Poll::Ready(Ok(plaintext.len()))
    }
}

/// A writer and a reader who are different tasks, and one place for somebody to be woken.
struct Both {
    writer: Waker,
    reader: Waker,
}

impl Wake for Both {
    fn wake(self: Arc<Self>) {
        self.writer.wake_by_ref();
        self.reader.wake_by_ref();
    }
}

/// As much of the slices as a record has room for, in one piece.
fn gather<'a>(slices: &'a [IoSlice<'_>], gathered: &'a mut [u8]) -> &'a [u8] {
    let first = slices.iter().position(|slice| !slice.is_empty()).unwrap_or(slices.len());
    match &slices[first..] {
        [] => &[],
        // Nothing else goes into its record.
        [only, others @ ..] if others.is_empty() || only.len() >= RECORD_PLAIN_MAX => {
            &only[..only.len().min(RECORD_PLAIN_MAX)]
        }
        slices => {
            let mut len = 0;
            for slice in slices {
                let fits = slice.len().min(gathered.len() - len);
                gathered[len..len + fits].copy_from_slice(&slice[..fits]);
                len += fits;
                if len == gathered.len() {
                    break;
                }
            }
            &gathered[..len]
        }
    }
}

impl Stream for TlsStream {
    fn adopt(self: Box<Self>) -> io::Result<Box<dyn Stream>> {
        let mut this = *self;
        this.inner = this.inner.adopt()?;
        this.writer = None;
        Ok(Box::new(this))
    }

    fn take_overhead(&mut self) -> usize {
        self.session.take_overhead() + self.inner.take_overhead()
    }

    fn reset_on_drop(&self) {
        self.inner.reset_on_drop();
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.send_by_reader(cx)?;
        if this.session.take(buf) || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        loop {
            if let Some(error) = this.session.failure() {
                let error = io::Error::new(io::ErrorKind::InvalidData, error.clone());
                return Poll::Ready(Err(error));
            }
            if this.session.is_at_end() {
                return Poll::Ready(Ok(()));
            }
            let received = ready!(this.poll_receive(cx, buf));
            // An answer of the protocol: an alert, for the most part.
            let sent = this.send_by_reader(cx);
            // What came before a violation is read before that is told.
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
            match received {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                // A violation is told before what came of the alert for it.
                Ok(_) if this.session.failure().is_some() => {}
                Ok(_) => sent?,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_record(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().poll_write_record(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.session.close();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.inner).poll_shutdown(cx)
    }
}

impl fmt::Debug for TlsStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("version", &self.version()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_one_small_allocation() {
        let bytes = size_of::<TlsStream>();
        assert!(bytes <= 1280, "{bytes}");
    }
}
