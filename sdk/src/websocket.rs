//! WebSocket: goim's frames or JSON objects in messages.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, SinkExt, Stream as _};
use orrery_comet_core::goim_message::Frames;
use orrery_comet_core::json::ServerMessage;
use orrery_comet_core::{Dialect, ops};
use orrery_host::Stream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::limits::{MESSAGE_BYTES_MAX, READ_BYTES};
use crate::wire::{Incoming, Outgoing};

pub(crate) struct WebSocketWire {
    socket: WebSocketStream<Box<dyn Stream>>,
    outgoing: VecDeque<Message>,
    /// The rest of a message that held several frames.
    arrived: VecDeque<Incoming>,
}

impl WebSocketWire {
    /// Makes the handshake.
    pub(crate) async fn connect(
        stream: Box<dyn Stream>,
        address: &str,
        dialect: Dialect,
    ) -> Result<Self, Box<Error>> {
        let mut request = format!("ws://{address}/sub").into_client_request()?;
        if dialect == Dialect::Json {
            let name = HeaderValue::from_static(Dialect::JSON_NAME);
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
        }
        // The defaults cost 128 KiB a connection, and a benchmark opens thousands.
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(READ_BYTES)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let (socket, _) =
            tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
        Ok(Self { socket, outgoing: VecDeque::new(), arrived: VecDeque::new() })
    }

    pub(crate) fn queue(&mut self, outgoing: Outgoing) {
        self.outgoing.push_back(match outgoing {
            Outgoing::Frame(frame) => Message::Binary(frame.encode()),
            Outgoing::Json(message) => Message::text(message.to_text()),
            Outgoing::Text(text) => Message::text(text),
        });
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Incoming>> {
        let mut socket = Pin::new(&mut self.socket);
        while !self.outgoing.is_empty() {
            ready!(socket.as_mut().poll_ready(cx)).map_err(Incoming::broken)?;
            if let Some(message) = self.outgoing.pop_front() {
                socket.as_mut().start_send(message).map_err(Incoming::broken)?;
            }
        }
        socket.poll_flush(cx).map_err(Incoming::broken)
    }

    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            if let Some(incoming) = self.arrived.pop_front() {
                return Poll::Ready(incoming);
            }
            match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(message)) => self.take(message),
                Some(Err(error)) => return Poll::Ready(Incoming::broken(error)),
                None => return Poll::Ready(Incoming::broken("the comet closed the connection")),
            }
        }
    }

    pub(crate) fn reset_on_drop(&self) {
        self.socket.get_ref().reset_on_drop();
    }

    pub(crate) async fn close(&mut self) {
        // The peer may be gone already, which is what is wanted.
        let _ = self.socket.close(None).await;
        let _ = self.socket.flush().await;
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Binary(payload) => self.take_frames(payload),
            Message::Text(text) => match ServerMessage::parse(text.as_bytes()) {
                Ok(ServerMessage::Other) => {}
                Ok(message) => self.arrived.push_back(Incoming::Json(message)),
                Err(error) => {
                    let broken = Incoming::broken(format!("unreadable message: {error}"));
                    self.arrived.push_back(broken);
                }
            },
            Message::Close(frame) => self.arrived.push_back(closed(frame)),
            // The library answers pings by itself.
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }

    /// Takes plain frames, and those inside an op 9 frame: what is wrapped is a push.
    fn take_frames(&mut self, message: bytes::Bytes) {
        for frame in Frames::from_comet(message) {
            match frame {
                Ok(outer) if outer.op == ops::RAW && !outer.body.is_empty() => {
                    self.arrived.extend(Frames::from_comet(outer.body).map(|inner| match inner {
                        Ok(inner) => Incoming::Pushed(orrery_model::message::Message {
                            op: inner.op,
                            body: inner.body,
                        }),
                        Err(error) => Incoming::broken(error),
                    }));
                }
                Ok(frame) => self.arrived.push_back(Incoming::frame(frame)),
                Err(error) => self.arrived.push_back(Incoming::broken(error)),
            }
        }
    }
}

fn closed(frame: Option<CloseFrame>) -> Incoming {
    match frame {
        Some(frame) => {
            Incoming::Closed { code: Some(frame.code.into()), reason: frame.reason.to_string() }
        }
        None => Incoming::broken("the comet closed the connection"),
    }
}
