//! Options: where to connect, how, and as whom.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits::{ANSWER_TIMEOUT, CONNECT_TIMEOUT};

/// The protocol and what carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// goim's frames on TCP.
    Tcp,
    /// goim's frames in WebSocket messages.
    WebSocket,
    /// `orrery.json.v1`.
    Json,
    /// Its messages over HTTP, by long-poll.
    Poll,
    /// The same as a stream of events (SSE).
    Sse,
}

impl Transport {
    /// Its word, as commands and reports write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
            Self::Json => "json",
            Self::Poll => "poll",
            Self::Sse => "sse",
        }
    }

    /// Whether it goes over HTTP, where each request is a sign of life.
    pub(crate) fn is_http(self) -> bool {
        matches!(self, Self::Poll | Self::Sse)
    }

    /// Whether its messages are those of `orrery.json.v1`.
    pub(crate) fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Poll | Self::Sse)
    }
}

/// Where to connect, how, and as whom.
#[derive(Debug, Clone)]
pub struct Options {
    /// Protocol and transport.
    pub transport: Transport,
    /// The comet's `host:port` for this transport.
    pub address: String,
    /// The user; on goim's protocol a decimal number (its `mid`). None: reachable by key only.
    pub user: Option<String>,
    /// Proof of the user's identity, on `orrery.json.v1`.
    pub token: Option<String>,
    /// The connection's key. None: one is drawn for it.
    pub key: Option<String>,
    /// Rooms to be in from the start; goim's protocol has one at most.
    pub rooms: Vec<String>,
    /// Operations to accept. None: all of them, which goim's protocol cannot say: there it means none.
    pub accepts: Option<Vec<i32>>,
    /// Platform; empty where unknown.
    pub platform: String,
    /// Device name, on `orrery.json.v1`; empty where unknown.
    pub device: String,
    /// Free labels, on `orrery.json.v1`.
    pub labels: BTreeMap<String, String>,
    /// How often [`crate::Device::next`] sends a heartbeat by itself. None: never. Over HTTP it sends none, since its
    /// requests say that it lives.
    pub heartbeat: Option<Duration>,
    /// How long connecting may take, authentication included.
    pub connect_timeout: Duration,
    /// How long the answer to a request may take.
    pub answer_timeout: Duration,
}

impl Options {
    /// An anonymous device that accepts what it may and sends no heartbeats by itself.
    pub fn new(transport: Transport, address: impl Into<String>) -> Self {
        Self {
            transport,
            address: address.into(),
            user: None,
            token: None,
            key: None,
            rooms: Vec::new(),
            accepts: None,
            platform: String::new(),
            device: String::new(),
            labels: BTreeMap::new(),
            heartbeat: None,
            connect_timeout: CONNECT_TIMEOUT,
            answer_timeout: ANSWER_TIMEOUT,
        }
    }

    /// The same as this user.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The same with this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// The same in one more room.
    #[must_use]
    pub fn room(mut self, room: impl Into<String>) -> Self {
        self.rooms.push(room.into());
        self
    }

    /// The same accepting exactly these operations.
    #[must_use]
    pub fn accepts(mut self, ops: impl Into<Vec<i32>>) -> Self {
        self.accepts = Some(ops.into());
        self
    }

    /// The same on this platform.
    #[must_use]
    pub fn platform(mut self, platform: impl Into<String>) -> Self {
        self.platform = platform.into();
        self
    }

    /// The same with a heartbeat by itself.
    #[must_use]
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.heartbeat = Some(every);
        self
    }
}
