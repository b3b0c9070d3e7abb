//! Device: connects and authenticates on any transport that is one socket, with as little as it takes, and is read
//! without an allocation for a message.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, bail};
use bytes::{BufMut, Bytes, BytesMut};
use orrery_comet_core::websocket_frame::Opcode;
use orrery_comet_core::{Dialect, Frame, ops};
use orrery_host::{Net, Stream};
use orrery_sdk::Transport;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;

use super::reader::{Heard, Reader};

/// The operation of everything that is pushed here; devices accept it.
pub const OP: i32 = 1000;

/// Seq of what devices send; pushes have 0.
const SEQ: i32 = 1;

/// Who a device is.
#[derive(Debug, Clone)]
pub struct Guise {
    /// Its user, as goim's `mid`.
    pub user: u64,
    /// Its room.
    pub room: Option<String>,
}

/// A connected device.
pub struct Device {
    stream: Box<dyn Stream>,
    transport: Transport,
    reader: Reader,
}

impl Device {
    /// Connects and authenticates. From then on every push to it arrives.
    ///
    /// # Errors
    /// When the comet cannot be reached or does not let it in.
    pub async fn connect(
        net: &dyn Net,
        transport: Transport,
        comet: &str,
        guise: &Guise,
    ) -> anyhow::Result<Self> {
        let mut device = Self::open(net, transport, comet).await?;
        device.stream.write_all(&introduction(transport, guise)).await?;
        device.stream.flush().await?;
        device.await_one(Heard::Welcome).await.context("in place of a welcome")?;
        Ok(device)
    }

    /// Connects to something that lets everybody in without a word.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn bare(net: &dyn Net, transport: Transport, address: &str) -> anyhow::Result<Self> {
        let stream =
            net.connect(address).await.with_context(|| format!("cannot reach {address}"))?;
        Ok(Self { stream, transport, reader: Reader::new(transport) })
    }

    async fn open(net: &dyn Net, transport: Transport, comet: &str) -> anyhow::Result<Self> {
        let mut device = Self::bare(net, transport, comet).await?;
        let dialect = match transport {
            Transport::Tcp => return Ok(device),
            Transport::WebSocket => Dialect::WebSocket,
            Transport::Json => Dialect::Json,
            Transport::Poll | Transport::Sse => {
                bail!("a device on {} is no socket", transport.word())
            }
        };
        let mut request = format!("ws://{comet}/sub").into_client_request()?;
        if dialect == Dialect::Json {
            let name = HeaderValue::from_static(Dialect::JSON_NAME);
            request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
        }
        // Nothing follows the handshake before the device speaks, so that nothing is lost with the library.
        let (socket, _) = tokio_tungstenite::client_async(request, device.stream).await?;
        device.stream = socket.into_inner();
        Ok(device)
    }

    /// Says that it lives, and waits for the answer.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn prove_life(&mut self) -> anyhow::Result<()> {
        self.heartbeat().await?;
        self.await_one(Heard::Heartbeat).await.context("in place of an answer to a heartbeat")
    }

    /// Says that it lives.
    ///
    /// # Errors
    /// When the connection broke.
    pub async fn heartbeat(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&heartbeat(self.transport)).await?;
        Ok(self.stream.flush().await?)
    }

    /// Reads what the socket has; calls `each` with everything that is complete. Ready with false when the
    /// comet closed the connection.
    pub fn poll_heard(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        mut each: impl FnMut(Heard<'_>),
    ) -> Poll<anyhow::Result<bool>> {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
        let bytes = buffer.filled();
        let mut goes_on = !bytes.is_empty();
        self.reader.take(bytes, |heard| {
            goes_on &= heard != Heard::Close;
            each(heard);
        })?;
        Poll::Ready(Ok(goes_on))
    }

    /// What is pushed meanwhile does not count.
    async fn await_one(&mut self, awaited: Heard<'_>) -> anyhow::Result<()> {
        let mut scratch = [0; 512];
        let mut came = false;
        while !came {
            let goes_on = std::future::poll_fn(|cx| {
                self.poll_heard(cx, &mut scratch, |heard| came |= heard == awaited)
            });
            if !goes_on.await? && !came {
                bail!("the comet closed the connection");
            }
        }
        Ok(())
    }
}

fn introduction(transport: Transport, guise: &Guise) -> Bytes {
    let Guise { user, room } = guise;
    if transport == Transport::Json {
        let rooms: Vec<_> = room.iter().collect();
        let hello = json!({
            "type": "hello",
            "user": user.to_string(),
            "rooms": rooms,
            "platform": "bench",
            "accepts": [OP],
        });
        return masked(Opcode::Text, hello.to_string().as_bytes());
    }
    let token = json!({
        "mid": user,
        "room_id": room.as_deref().unwrap_or_default(),
        "platform": "bench",
        "accepts": [OP],
    });
    carried(transport, ops::AUTH, token.to_string().into())
}

fn heartbeat(transport: Transport) -> Bytes {
    match transport {
        Transport::Tcp | Transport::WebSocket => carried(transport, ops::HEARTBEAT, Bytes::new()),
        Transport::Json | Transport::Poll | Transport::Sse => {
            masked(Opcode::Text, br#"{"type":"ping"}"#)
        }
    }
}

/// A frame of goim's as the transport carries it.
fn carried(transport: Transport, op: i32, body: Bytes) -> Bytes {
    let frame = Frame { version: 1, op, seq: SEQ, body }.encode();
    match transport {
        Transport::Tcp => frame,
        Transport::WebSocket | Transport::Json | Transport::Poll | Transport::Sse => {
            masked(Opcode::Binary, &frame)
        }
    }
}

/// A WebSocket frame as clients send it, shorter than 64 KiB. Its mask is zero, which changes nothing: masks
/// protect proxies from pages that scripts wrote.
fn masked(opcode: Opcode, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(8 + payload.len());
    frame.put_u8(0x80 | opcode as u8);
    match u8::try_from(payload.len()) {
        Ok(len @ 0..=125) => frame.put_u8(0x80 | len),
        _ => {
            frame.put_u8(0x80 | 126);
            frame.put_u16(u16::try_from(payload.len()).expect("what devices say here is short"));
        }
    }
    frame.put_u32(0);
    frame.put_slice(payload);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use orrery_comet_core::{Action, Decoder, Session, Token};

    use super::*;

    /// What a comet makes of it.
    fn actions(dialect: Dialect, bytes: &[u8]) -> Vec<Action> {
        let mut decoder = Decoder::new(dialect, 8192);
        let mut session = Session::new(dialect, u64::MAX);
        decoder.feed(bytes);
        let mut actions = Vec::new();
        while let Some(input) = decoder.poll().unwrap() {
            actions.push(session.handle_input(input, 0));
        }
        actions
    }

    #[test]
    fn a_comet_understands_the_introduction_on_every_transport() {
        let guise = Guise { user: 7, room: Some(format!("test://{}", "r".repeat(100))) };
        for (transport, dialect) in
            [(Transport::Tcp, Dialect::Tcp), (Transport::WebSocket, Dialect::WebSocket)]
        {
            let bytes = introduction(transport, &guise);
            let [Action::Authenticate { credentials }] = &actions(dialect, &bytes)[..] else {
                panic!("{dialect:?} is not understood");
            };
            let token = Token::parse(credentials).unwrap();
            assert_eq!((token.mid, Some(token.room_id)), (7, guise.room.clone()));
            assert_eq!(token.accepts, [OP]);
        }
        let bytes = introduction(Transport::Json, &guise);
        let [Action::Authenticate { credentials }] = &actions(Dialect::Json, &bytes)[..] else {
            panic!("the hello is not understood");
        };
        let hello: serde_json::Value = serde_json::from_slice(credentials).unwrap();
        assert_eq!(hello["user"], "7");
        assert_eq!(hello["accepts"], json!([OP]));
    }
}
