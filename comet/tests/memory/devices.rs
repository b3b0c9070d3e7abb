//! Devices: bare sockets, which take nothing of the allocator's.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use orrery_comet::Handle;

use crate::secured::Trust;

/// What a device speaks, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    WebSocket,
    Json,
    WebSocketInARoom,
    /// goim's protocol on TCP, within TLS.
    TcpWithinTls,
    /// The same protocol on WebSocket, within TLS too.
    WebSocketWithinTls,
    /// A session by long-poll, between two requests.
    Poll,
    /// A session by SSE, whose stream is open.
    Sse,
}

impl Kind {
    pub(crate) fn address(self, comet: &Handle) -> SocketAddr {
        match self {
            Self::Tcp => comet.tcp_address(),
            Self::TcpWithinTls => comet.tls_tcp_address().unwrap(),
            Self::WebSocketWithinTls => comet.tls_websocket_address().unwrap(),
            Self::WebSocket | Self::Json | Self::WebSocketInARoom | Self::Poll | Self::Sse => {
                comet.websocket_address()
            }
        }
    }
}

/// One that is authenticated and was answered after that.
pub(crate) struct Device(TcpStream);

impl Device {
    pub(crate) fn connect(address: SocketAddr, kind: Kind, number: usize, trust: &Trust) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let room = if kind == Kind::WebSocketInARoom { "lobby" } else { "" };
        let credentials = format!("{number} {room}");
        match kind {
            Kind::Tcp => greet(&mut stream, credentials.as_bytes()),
            // What the device itself keeps of TLS ends here; the comet is not told.
            Kind::TcpWithinTls => {
                greet(&mut trust.connect(&mut stream), credentials.as_bytes());
            }
            Kind::WebSocket | Kind::WebSocketInARoom => {
                greet_in_messages(&mut stream, credentials.as_bytes());
            }
            Kind::WebSocketWithinTls => {
                greet_in_messages(&mut trust.connect(&mut stream), credentials.as_bytes());
            }
            Kind::Json => {
                upgrade(&mut stream, "Sec-WebSocket-Protocol: orrery.json.v1\r\n");
                ask(&mut stream, &message(0x81, br#"{"type":"hello"}"#));
                ask(&mut stream, &message(0x81, br#"{"type":"ping"}"#));
            }
            Kind::Poll => {
                let target = begin(&mut stream, "poll");
                let answer = ask(&mut stream, &request("GET", &format!("{target}&wait_ms=0"), ""));
                assert!(answer.ends_with(r#""events":[]}"#), "{answer}");
            }
            Kind::Sse => {
                let target = begin(&mut stream, "events");
                let answer = ask(&mut stream, &request("GET", &target, ""));
                assert!(answer.contains("text/event-stream"), "{answer}");
            }
        }
        Self(stream)
    }

    /// Whether the comet has not closed its connection.
    pub(crate) fn is_open(&self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let mut rest = [0; 4096];
        loop {
            match (&self.0).read(&mut rest) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }
}

/// Begins on goim's protocol.
fn greet(stream: &mut (impl Read + Write), credentials: &[u8]) {
    ask(stream, &frame(7, credentials));
    ask(stream, &frame(2, b""));
}

/// The same in messages of WebSocket.
fn greet_in_messages(stream: &mut (impl Read + Write), credentials: &[u8]) {
    upgrade(stream, "");
    ask(stream, &message(0x82, &frame(7, credentials)));
    ask(stream, &message(0x82, &frame(2, b"")));
}

fn upgrade(stream: &mut (impl Read + Write), protocol: &str) {
    let request = format!(
        "GET /sub HTTP/1.1\r\nHost: comet.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
    );
    ask(stream, request.as_bytes());
}

/// Begins a session over HTTP; returns where its events are.
fn begin(stream: &mut TcpStream, how: &str) -> String {
    let welcome = ask(stream, &request("POST", "/sub/poll", r#"{"type":"hello"}"#));
    let value = |name: &str| {
        let (_, rest) = welcome.split_once(&format!(r#""{name}":""#)).unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    format!("/sub/{how}?session={}&cursor={}", value("session"), value("cursor"))
}

fn request(method: &str, target: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} {target} HTTP/1.1\r\nHost: comet.test\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .into()
}

/// Says something and waits for an answer, which comes in one piece.
fn ask(stream: &mut (impl Read + Write), bytes: &[u8]) -> String {
    stream.write_all(bytes).unwrap();
    let mut answer = [0; 4096];
    let len = stream.read(&mut answer).unwrap();
    assert!(len > 0, "an answer, not the end");
    String::from_utf8_lossy(&answer[..len]).into_owned()
}

/// A frame of goim's.
fn frame(op: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = (16 + body.len() as u32).to_be_bytes().to_vec();
    frame.extend([0, 16, 0, 1]);
    frame.extend(op.to_be_bytes());
    frame.extend(1_i32.to_be_bytes());
    frame.extend(body);
    frame
}

/// A short masked message; the mask is zero.
fn message(head: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    let mut message = vec![head, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    message.extend(payload);
    message
}
