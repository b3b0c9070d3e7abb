//! TCP: goim's frames on a stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use orrery_comet_core::stream::FrameStream;
use orrery_host::Stream;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::limits::READ_BYTES;
use crate::wire::{Incoming, Outgoing};

pub(crate) struct TcpWire {
    stream: Box<dyn Stream>,
    frames: FrameStream,
    /// Written as the socket takes it.
    outgoing: BytesMut,
}

impl TcpWire {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, frames: FrameStream::from_comet(), outgoing: BytesMut::new() }
    }

    pub(crate) fn queue(&mut self, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Frame(frame) => frame.encode_to(&mut self.outgoing),
            Outgoing::Json(_) | Outgoing::Text(_) => unreachable!("TCP carries frames only"),
        }
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Incoming>> {
        while !self.outgoing.is_empty() {
            match ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing)) {
                Ok(0) => return Poll::Ready(Err(Incoming::broken("the comet takes no more"))),
                Ok(written) => self.outgoing.advance(written),
                Err(error) => return Poll::Ready(Err(Incoming::broken(error))),
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx).map_err(Incoming::broken)
    }

    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            match self.frames.poll() {
                Ok(Some(frame)) => return Poll::Ready(Incoming::frame(frame)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Incoming::broken(error)),
            }
            // On the stack, so that an idle device owns no buffer.
            let mut bytes = [0; READ_BYTES];
            let mut buffer = ReadBuf::new(&mut bytes);
            match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                Ok(()) if buffer.filled().is_empty() => {
                    return Poll::Ready(Incoming::broken("the comet closed the connection"));
                }
                Ok(()) => self.frames.feed(buffer.filled()),
                Err(error) => return Poll::Ready(Incoming::broken(error)),
            }
        }
    }

    pub(crate) fn reset_on_drop(&self) {
        self.stream.reset_on_drop();
    }

    pub(crate) async fn close(&mut self) {
        // The peer may be gone already, which is what is wanted.
        let _ = self.stream.shutdown().await;
    }
}
