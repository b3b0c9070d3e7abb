//! Devices: bare sockets, which take nothing of the allocator's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use orrery_comet::Handle;

/// What a device speaks, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tcp,
    WebSocket,
    Json,
    WebSocketInARoom,
}

impl Kind {
    pub(crate) fn address(self, comet: &Handle) -> SocketAddr {
        match self {
            Self::Tcp => comet.tcp_address(),
            Self::WebSocket | Self::Json | Self::WebSocketInARoom => comet.websocket_address(),
        }
    }
}

/// One that is authenticated and was answered a heartbeat.
pub(crate) struct Device(#[allow(dead_code, reason = "held open")] TcpStream);

impl Device {
    pub(crate) fn connect(address: SocketAddr, kind: Kind, number: usize) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        if kind != Kind::Tcp {
            let protocol = match kind {
                Kind::Json => "Sec-WebSocket-Protocol: orrery.json.v1\r\n",
                _ => "",
            };
            let request = format!(
                "GET /sub HTTP/1.1\r\nHost: comet.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{protocol}\r\n"
            );
            ask(&mut stream, request.as_bytes());
        }
        let room = if kind == Kind::WebSocketInARoom { "lobby" } else { "" };
        let credentials = format!("{number} {room}");
        match kind {
            Kind::Tcp => {
                ask(&mut stream, &frame(7, credentials.as_bytes()));
                ask(&mut stream, &frame(2, b""));
            }
            Kind::WebSocket | Kind::WebSocketInARoom => {
                ask(&mut stream, &message(0x82, &frame(7, credentials.as_bytes())));
                ask(&mut stream, &message(0x82, &frame(2, b"")));
            }
            Kind::Json => {
                ask(&mut stream, &message(0x81, br#"{"type":"hello"}"#));
                ask(&mut stream, &message(0x81, br#"{"type":"ping"}"#));
            }
        }
        Self(stream)
    }
}

/// Says something and waits for an answer, which comes in one piece.
fn ask(stream: &mut TcpStream, bytes: &[u8]) {
    stream.write_all(bytes).unwrap();
    assert!(stream.read(&mut [0; 4096]).unwrap() > 0, "an answer, not the end");
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
