//! Wire: one established transport, alike for TCP, WebSocket and HTTP, driven by polling.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use orrery_comet_core::Frame;
use orrery_comet_core::json::{ClientMessage, ServerMessage};
use orrery_model::message::Message;
use tokio::time::Instant;

use crate::http::{HttpWire, Unheard};
use crate::tcp::TcpWire;
use crate::websocket::WebSocketWire;

/// What a comet sent.
#[derive(Debug)]
pub(crate) enum Incoming {
    Pushed(Message),
    Frame(Frame),
    Json(ServerMessage),
    Closed { code: Option<u16>, reason: String },
}

impl Incoming {
    /// A frame outside a wrapper. A comet's own pushes have seq 0, its replies the device's seq.
    pub(crate) fn frame(frame: Frame) -> Self {
        if frame.seq == 0 {
            Self::Pushed(Message { op: frame.op, body: frame.body })
        } else {
            Self::Frame(frame)
        }
    }

    /// An end that the network or a broken peer brings about.
    pub(crate) fn broken(reason: impl ToString) -> Self {
        Self::Closed { code: None, reason: reason.to_string() }
    }
}

/// What a device sends.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Frame(Frame),
    Json(ClientMessage),
    /// A text on `orrery.json.v1`, whatever it says.
    Text(String),
}

pub(crate) enum Wire {
    Tcp(TcpWire),
    WebSocket(Box<WebSocketWire>),
    Http(Box<HttpWire>),
}

impl Wire {
    /// Puts something where the next poll sends it from.
    pub(crate) fn queue(&mut self, outgoing: Outgoing) {
        match self {
            Self::Tcp(wire) => wire.queue(outgoing),
            Self::WebSocket(wire) => wire.queue(outgoing),
            Self::Http(wire) => wire.queue(outgoing),
        }
    }

    /// Sends what is queued. Cancel-safe: the rest stays queued.
    pub(crate) async fn flush(&mut self) -> Result<(), Option<Incoming>> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// Waits for what the comet sends, sending what is queued meanwhile. Cancel-safe.
    pub(crate) async fn receive(&mut self) -> Incoming {
        poll_fn(|cx| {
            // What has arrived before an end is worth having, so that reading decides.
            let flushed = self.poll_flush(cx);
            match (self.poll_receive(cx), flushed) {
                (Poll::Ready(incoming), _) => Poll::Ready(incoming),
                (Poll::Pending, Poll::Ready(Err(Some(end)))) => Poll::Ready(end),
                (Poll::Pending, _) => Poll::Pending,
            }
        })
        .await
    }

    /// Says goodbye, where the transport has a word for it.
    pub(crate) async fn close(&mut self) {
        match self {
            Self::Tcp(wire) => wire.close().await,
            Self::WebSocket(wire) => wire.close().await,
            Self::Http(wire) => wire.close().await,
        }
    }

    /// Has the kernel reset the connection when it is dropped.
    pub(crate) fn reset_on_drop(&self) {
        match self {
            Self::Tcp(wire) => wire.reset_on_drop(),
            Self::WebSocket(wire) => wire.reset_on_drop(),
            // Its connections come and go; the session falls silent.
            Self::Http(_) => {}
        }
    }

    /// When the comet asked to come back, where it said so instead of an answer.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => None,
            Self::Http(wire) => wire.retry_after(),
        }
    }

    /// Since when nothing has come through though it is not closed yet, where the transport tries for longer.
    pub(crate) fn failing_since(&self) -> Option<Instant> {
        match self {
            Self::Tcp(_) | Self::WebSocket(_) => None,
            Self::Http(wire) => wire.failing_since(),
        }
    }

    /// Fails with the end, but where only reading finds it.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Option<Incoming>>> {
        match self {
            Self::Tcp(wire) => wire.poll_flush(cx).map_err(Some),
            Self::WebSocket(wire) => wire.poll_flush(cx).map_err(Some),
            Self::Http(wire) => wire.poll_flush(cx).map_err(|Unheard| None),
        }
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        match self {
            Self::Tcp(wire) => wire.poll_receive(cx),
            Self::WebSocket(wire) => wire.poll_receive(cx),
            Self::Http(wire) => wire.poll_receive(cx),
        }
    }
}
