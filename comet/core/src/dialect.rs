//! Dialect: which protocol a connection speaks, over which transport.

/// The protocol of a connection, known from where and how it connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// goim's frames, back to back on a TCP stream.
    Tcp,
    /// goim's frames in WebSocket messages (no sub-protocol asked for).
    WebSocket,
    /// The WebSocket sub-protocol [`Dialect::JSON_NAME`]: one JSON object a message.
    Json,
    /// The same objects as events of a session over [HTTP](crate::http): one a line.
    Http,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Tcp, Self::WebSocket, Self::Json, Self::Http];

    /// The sub-protocol's name in `Sec-WebSocket-Protocol`.
    pub const JSON_NAME: &str = "orrery.json.v1";

    /// The dialect's word, as metrics and logs write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "websocket",
            Self::Json => "json",
            Self::Http => "http",
        }
    }

    /// Whether its messages are those of `orrery.json.v1`.
    pub fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Http)
    }
}
