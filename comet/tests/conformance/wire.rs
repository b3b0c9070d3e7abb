//! Wire: a connection to a comet, byte by byte, over each transport.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use crate::bytes::{BINARY, FIN, TEXT, masked, unmasked};
use crate::certificates::secured;
use crate::soon;
use crate::stack::CometDoors;
use crate::web::Visit;

/// The protocol that a device speaks, and what carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    WebSocket,
    Json,
    /// Long-poll.
    Poll,
    /// SSE.
    Events,
}

impl Transport {
    /// Whether its messages are JSON.
    pub(crate) fn is_json(self) -> bool {
        !matches!(self, Self::Tcp | Self::WebSocket)
    }

    /// What a device says in its handshake to speak it on a WebSocket.
    pub(crate) fn offer(self) -> &'static str {
        match self {
            Self::Json => "Sec-WebSocket-Protocol: orrery.json.v1\r\n",
            _ => "",
        }
    }

    /// Whether it is a session of requests.
    pub(crate) fn is_http(self) -> bool {
        matches!(self, Self::Poll | Self::Events)
    }
}

/// How a device talks to a comet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) speaks: Transport,
    /// Whether within TLS.
    pub(crate) secured: bool,
}

impl Way {
    const fn plain(transport: Transport) -> Self {
        Self { speaks: transport, secured: false }
    }

    pub(crate) const fn secured(transport: Transport) -> Self {
        Self { speaks: transport, secured: true }
    }
}

impl From<Transport> for Way {
    fn from(transport: Transport) -> Self {
        Self::plain(transport)
    }
}

impl PartialEq<Transport> for Way {
    /// Whether this is spoken, whatever carries it.
    fn eq(&self, transport: &Transport) -> bool {
        self.speaks == *transport
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { speaks, secured } = self;
        write!(f, "{speaks:?}{}", if *secured { " over TLS" } else { "" })
    }
}

/// The ways of goim's protocol.
pub(crate) const GOIM: [Way; 4] = [
    Way::plain(Transport::Tcp),
    Way::plain(Transport::WebSocket),
    Way::secured(Transport::Tcp),
    Way::secured(Transport::WebSocket),
];
/// Those that use TCP for it.
pub(crate) const TCP: [Way; 2] = [GOIM[0], GOIM[2]];
/// Those that use a WebSocket for it.
pub(crate) const WEBSOCKET: [Way; 2] = [GOIM[1], GOIM[3]];
/// Those of `orrery.json.v1`.
pub(crate) const MESSAGES: [Way; 6] = [JSON[0], JSON[1], HTTP[0], HTTP[1], HTTP[2], HTTP[3]];
/// Those that use a WebSocket for it.
pub(crate) const JSON: [Way; 2] = [SOCKETS[1], SOCKETS[3]];
/// Those that use a WebSocket.
pub(crate) const SOCKETS: [Way; 4] = [
    Way::plain(Transport::WebSocket),
    Way::plain(Transport::Json),
    Way::secured(Transport::WebSocket),
    Way::secured(Transport::Json),
];
/// Those that are no connection of their own, but requests.
pub(crate) const HTTP: [Way; 4] = [
    Way::plain(Transport::Poll),
    Way::plain(Transport::Events),
    Way::secured(Transport::Poll),
    Way::secured(Transport::Events),
];
/// Those that are, and those that are not.
pub(crate) const EVERY: [Way; 10] =
    [ALL[0], ALL[1], ALL[2], ALL[3], ALL[4], ALL[5], HTTP[0], HTTP[1], HTTP[2], HTTP[3]];
/// All that are a connection of their own: they end with it.
pub(crate) const ALL: [Way; 6] = [
    Way::plain(Transport::Tcp),
    Way::plain(Transport::WebSocket),
    Way::plain(Transport::Json),
    Way::secured(Transport::Tcp),
    Way::secured(Transport::WebSocket),
    Way::secured(Transport::Json),
];

/// Receive buffer of a device that is going to read nothing, so that its comet notices soon.
const SMALL_BUFFER: u32 = 4096;

/// The request of goim's own page, with a place for more headers.
pub(crate) fn upgrade_request(target: &str, headers: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{headers}\r\n"
    )
}

/// A connection to a comet.
pub(crate) struct Wire {
    pub(crate) transport: Way,
    pub(super) stream: Either<TcpStream, Box<TlsStream<TcpStream>>>,
    pub(super) unread: Vec<u8>,
    /// Where it leads, if that is a comet.
    pub(super) doors: Option<CometDoors>,
    /// Over HTTP.
    pub(crate) visit: Visit,
}

impl Wire {
    /// Connects, and shakes hands where the transport wants it.
    pub(crate) async fn open(doors: &CometDoors, way: impl Into<Way>) -> Self {
        let mut wire = Self::silent(doors, way).await;
        wire.upgrade().await;
        wire
    }

    /// The same with the smallest possible receive buffer.
    pub(crate) async fn open_small(doors: &CometDoors, way: impl Into<Way>) -> Self {
        let way = way.into();
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SMALL_BUFFER).unwrap();
        let stream = socket.connect(door(doors, way)).await.unwrap();
        let mut wire = Self::over(stream, way).await.unwrap();
        wire.doors = Some(*doors);
        wire.upgrade().await;
        wire
    }

    /// Connects, within TLS where that is the way, and says nothing.
    pub(crate) async fn silent(doors: &CometDoors, way: impl Into<Way>) -> Self {
        Self::try_silent(doors, way).await.unwrap()
    }

    /// The same where it may be that nobody is let in.
    pub(crate) async fn try_silent(doors: &CometDoors, way: impl Into<Way>) -> io::Result<Self> {
        let way = way.into();
        let stream = TcpStream::connect(door(doors, way)).await?;
        let mut wire = Self::over(stream, way).await?;
        wire.doors = Some(*doors);
        Ok(wire)
    }

    /// Connects to anything and says nothing.
    pub(crate) async fn bare(address: SocketAddr, transport: Transport) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), transport.into()).await.unwrap()
    }

    async fn over(stream: TcpStream, way: Way) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let stream = match way.secured {
            true => Either::Right(Box::new(secured(stream).await?)),
            false => Either::Left(stream),
        };
        let visit = Visit::default();
        Ok(Self { transport: way, stream, unread: Vec::new(), doors: None, visit })
    }

    async fn upgrade(&mut self) {
        if !SOCKETS.contains(&self.transport) {
            return;
        }
        let offer = self.transport.speaks.offer();
        self.send_bytes(upgrade_request("/sub", offer).as_bytes()).await;
        let head = self.http_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{:?}: {head}", self.transport);
    }

    /// Sends bytes as they are. A comet that has closed meanwhile is told by what is read.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Sends a goim frame, or the text of a JSON message, in the way of the transport.
    pub(crate) async fn send(&mut self, payload: &[u8]) {
        let bytes = match self.transport.speaks {
            Transport::Tcp => payload.to_vec(),
            Transport::WebSocket => masked(FIN | BINARY, payload),
            Transport::Json => masked(FIN | TEXT, payload),
            Transport::Poll | Transport::Events => return self.say(payload).await,
        };
        self.send_bytes(&bytes).await;
    }

    /// Expects exactly these bytes next.
    pub(crate) async fn expect_bytes(&mut self, expected: &[u8]) {
        let found = soon("the expected bytes", self.take(expected.len())).await;
        let transport = self.transport;
        assert_eq!(found.as_deref(), Some(expected), "{transport:?}");
    }

    /// Expects this goim frame next, in the way of the transport.
    pub(crate) async fn expect(&mut self, frame: &[u8]) {
        match self.transport.speaks {
            Transport::Tcp => self.expect_bytes(frame).await,
            _ => self.expect_bytes(&unmasked(FIN | BINARY, frame)).await,
        }
    }

    /// Expects a push of this goim frame next: plain on TCP, wrapped on WebSocket.
    pub(crate) async fn expect_push(&mut self, frame: &[u8]) {
        match self.transport.speaks {
            Transport::Tcp => self.expect_bytes(frame).await,
            _ => self.expect(&crate::bytes::frame(1, 9, 0, frame)).await,
        }
    }

    /// Expects the end, and not a byte before it.
    pub(crate) async fn expect_end(&mut self) {
        if !self.visit.session.is_empty() {
            assert_eq!(soon("the end", self.event()).await, None);
            return;
        }
        let mut byte = [0];
        let transport = self.transport;
        let read = soon("the end", self.stream.read(&mut byte)).await;
        // A connection that is closed while it was sent more is reset.
        assert!(matches!(read, Ok(0) | Err(_)), "{transport:?} sent {byte:?} instead of ending");
        assert!(self.unread.is_empty(), "{transport:?} sent {:?} before its end", self.unread);
    }

    /// Expects that the comet takes what it was sent for broken: it ends, with a close frame or without.
    pub(crate) async fn expect_broken(&mut self) {
        let ended = async { while self.unit().await.is_some() {} };
        soon("the end", ended).await;
    }

    /// Ends the connection from this side, politely or with a reset.
    pub(crate) fn hang_up(self, abrupt: bool) {
        if abrupt {
            let stream = match &self.stream {
                Either::Left(stream) => stream,
                Either::Right(stream) => stream.get_ref().0,
            };
            stream.set_zero_linger().unwrap();
        }
    }

    /// The head of an HTTP answer.
    pub(crate) async fn http_head(&mut self) -> String {
        let head = async {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match self.take(1).await {
                    Some(byte) => head.extend(byte),
                    None => break,
                }
            }
            head
        };
        String::from_utf8(soon("the head of an answer", head).await).unwrap()
    }

    /// The next goim frame (on TCP) or WebSocket frame, whole; none at the end.
    pub(crate) async fn unit(&mut self) -> Option<Vec<u8>> {
        match self.transport.speaks {
            Transport::Tcp => {
                self.fill(4).await?;
                let len = i32::from_be_bytes(self.unread[..4].try_into().unwrap());
                self.take(usize::try_from(len).unwrap()).await
            }
            Transport::Poll | Transport::Events => self.event().await,
            Transport::WebSocket | Transport::Json => {
                self.fill(2).await?;
                assert_eq!(self.unread[0] & 0x70, 0, "no extension was agreed");
                assert_eq!(self.unread[1] & 0x80, 0, "a server does not mask");
                let (head, len) = match self.unread[1] {
                    126 => {
                        self.fill(4).await?;
                        let len = self.unread[2..4].try_into().unwrap();
                        (4, usize::from(u16::from_be_bytes(len)))
                    }
                    127 => {
                        self.fill(10).await?;
                        let len = self.unread[2..10].try_into().unwrap();
                        (10, usize::try_from(u64::from_be_bytes(len)).unwrap())
                    }
                    short => (2, usize::from(short)),
                };
                self.take(head + len).await
            }
        }
    }

    /// First byte and payload of the next WebSocket frame.
    pub(crate) async fn socket_frame(&mut self) -> (u8, Vec<u8>) {
        let unit = soon("a WebSocket frame", self.unit()).await;
        let unit = unit.expect("a WebSocket frame, not the end");
        let head = match unit[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        (unit[0], unit[head..].to_vec())
    }

    async fn take(&mut self, len: usize) -> Option<Vec<u8>> {
        self.fill(len).await?;
        Some(self.unread.drain(..len).collect())
    }

    /// Reads until so many bytes are there.
    pub(super) async fn fill(&mut self, len: usize) -> Option<()> {
        while self.unread.len() < len {
            if !matches!(self.stream.read_buf(&mut self.unread).await, Ok(1..)) {
                return None;
            }
        }
        Some(())
    }
}

fn door(doors: &CometDoors, way: Way) -> SocketAddr {
    match (way.speaks, way.secured) {
        (Transport::Tcp, false) => doors.tcp,
        (Transport::Tcp, true) => doors.tls_tcp,
        (_, false) => doors.websocket,
        (_, true) => doors.tls_websocket,
    }
}
