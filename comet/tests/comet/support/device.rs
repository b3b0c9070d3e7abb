//! Device: speaks goim's protocol over TCP or WebSocket.

use std::collections::VecDeque;
use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use orrery_comet_core::Frame;
use orrery_comet_core::goim_message::Frames;
use orrery_comet_core::stream::FrameStream;
use orrery_host::{Host, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::soon;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    WebSocket,
}

pub(crate) const BOTH: [Transport; 2] = [Transport::Tcp, Transport::WebSocket];

pub(crate) enum Device {
    Tcp { stream: Box<dyn Stream>, frames: FrameStream },
    WebSocket(Box<WebSocketStream<Box<dyn Stream>>>, VecDeque<Frame>),
}

pub(crate) fn frame(op: i32, seq: i32, body: &[u8]) -> Frame {
    Frame { version: 1, op, seq, body: Bytes::copy_from_slice(body) }
}

impl Device {
    pub(crate) async fn connect(host: &Host, address: SocketAddr, transport: Transport) -> Self {
        let stream = host.net.connect(&address.to_string()).await.expect("the comet listens");
        Self::over(stream, transport).await
    }

    pub(crate) async fn over(stream: Box<dyn Stream>, transport: Transport) -> Self {
        match transport {
            Transport::Tcp => Self::Tcp { stream, frames: FrameStream::from_comet() },
            Transport::WebSocket => {
                let url = "ws://comet.test/sub";
                let (socket, _) = client_async(url, stream).await.expect("it upgrades");
                Self::WebSocket(Box::new(socket), VecDeque::new())
            }
        }
    }

    pub(crate) async fn authenticate(&mut self, token: &str) {
        self.send(frame(7, 42, token.as_bytes())).await;
        assert_eq!(self.receive().await, frame(8, 42, b""), "the answer to the token");
    }

    pub(crate) async fn send(&mut self, frame: Frame) {
        match self {
            Self::Tcp { stream, .. } => stream.write_all(&frame.encode()).await.unwrap(),
            Self::WebSocket(socket, _) => {
                socket.send(Message::Binary(frame.encode())).await.unwrap();
            }
        }
    }

    /// Sends frames in one piece.
    pub(crate) async fn send_burst(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let mut burst = Vec::new();
        for frame in frames {
            let bytes = frame.encode();
            if matches!(self, Self::WebSocket(..)) {
                // A small masked frame; the mask is zero.
                assert!(bytes.len() < 126);
                burst.extend([0x82, 0x80 | bytes.len() as u8, 0, 0, 0, 0]);
            }
            burst.extend(&bytes);
        }
        self.send_raw(&burst).await;
    }

    /// Sends a token, and tells whether it was answered before the connection ended.
    pub(crate) async fn try_authenticate(&mut self, token: &str) -> bool {
        self.try_ask(frame(7, 42, token.as_bytes())).await
    }

    /// Sends what is to be answered, and tells whether it was before the connection ended.
    pub(crate) async fn try_ask(&mut self, frame: Frame) -> bool {
        let bytes = frame.encode();
        match self {
            Self::Tcp { stream, .. } => {
                // One that was refused may be gone by now.
                let _ = stream.write_all(&bytes).await;
            }
            Self::WebSocket(..) => panic!("a WebSocket is refused before it is one"),
        }
        soon("an answer or the end", self.next()).await.is_some()
    }

    /// Sends bytes as they are.
    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        match self {
            Self::Tcp { stream, .. } => stream.write_all(bytes).await.unwrap(),
            Self::WebSocket(socket, _) => socket.get_mut().write_all(bytes).await.unwrap(),
        }
    }

    /// The next frame; one in goim's wrapper on a WebSocket is unwrapped.
    pub(crate) async fn receive(&mut self) -> Frame {
        soon("a frame", self.next()).await.expect("a frame, not the end")
    }

    /// The next frame, or the end.
    pub(crate) async fn try_receive(&mut self) -> Option<Frame> {
        soon("a frame or the end", self.next()).await
    }

    /// Sends a frame to a comet that may be gone.
    pub(crate) async fn try_send(&mut self, frame: Frame) {
        if let Self::Tcp { stream, .. } = self {
            let _ = stream.write_all(&frame.encode()).await;
        }
    }

    /// Waits for the end of the connection, and for nothing else.
    pub(crate) async fn ended(&mut self) {
        assert_eq!(soon("the end", self.next()).await, None);
    }

    async fn next(&mut self) -> Option<Frame> {
        match self {
            Self::Tcp { stream, frames } => loop {
                if let Some(frame) = frames.poll().unwrap() {
                    return Some(frame);
                }
                let mut bytes = [0; 4096];
                match stream.read(&mut bytes).await {
                    Ok(0) | Err(_) => return None,
                    Ok(n) => frames.feed(&bytes[..n]),
                }
            },
            Self::WebSocket(socket, unwrapped) => loop {
                if let Some(frame) = unwrapped.pop_front() {
                    return Some(frame);
                }
                match socket.next().await? {
                    Ok(Message::Binary(bytes)) => unwrapped.extend(unwrap(bytes)),
                    Ok(Message::Pong(payload)) => return Some(frame(-1, 0, &payload)),
                    Ok(other) => panic!("goim never sends {other:?}"),
                    Err(_) => return None,
                }
            },
        }
    }

    /// How many more frames came in the same WebSocket message as the last one.
    pub(crate) fn more_in_message(&self) -> usize {
        match self {
            Self::Tcp { .. } => panic!("TCP has no messages"),
            Self::WebSocket(_, unwrapped) => unwrapped.len(),
        }
    }
}

/// The one frame of a message, or the pushes in goim's wrapper.
fn unwrap(message: Bytes) -> Vec<Frame> {
    let mut frames = Frames::from_comet(message);
    let outer = frames.next().unwrap().unwrap();
    assert!(frames.next().is_none(), "one frame a message");
    match outer.op == 9 && !outer.body.is_empty() {
        true => Frames::from_comet(outer.body).map(Result::unwrap).collect(),
        false => vec![outer],
    }
}
