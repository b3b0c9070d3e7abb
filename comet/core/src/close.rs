//! Close codes: how a reason to close looks on `orrery.json.v1`. On goim's protocol a connection just ends.

use orrery_model::message::CloseReason;

/// WebSocket close codes. Those below 4000 are registered with IANA, the others are ours; none changes
/// its meaning.
pub mod codes {
    /// RFC 6455: the peer broke the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// RFC 6455: a kind of data that is not spoken here.
    pub const UNSUPPORTED: u16 = 1003;
    /// RFC 6455: text that is not UTF-8.
    pub const NOT_UTF8: u16 = 1007;
    /// RFC 6455: a message above the limit.
    pub const TOO_BIG: u16 = 1009;
    /// The server goes away; connect again elsewhere.
    pub const SERVICE_RESTART: u16 = 1012;
    /// Overloaded; connect again later.
    pub const TRY_AGAIN_LATER: u16 = 1013;
    /// Another connection took this one's place.
    pub const REPLACED: u16 = 4001;
    /// A backend asked for it.
    pub const KICKED: u16 = 4002;
    /// The device reads too slowly.
    pub const SLOW: u16 = 4003;
    /// No heartbeat in time.
    pub const SILENT: u16 = 4004;
    /// No hello in time, or it could not be carried out in time.
    pub const HANDSHAKE_TIMEOUT: u16 = 4005;
    /// The hello was refused.
    pub const UNAUTHORIZED: u16 = 4006;
    /// The registry no longer knows the connection.
    pub const LOST: u16 = 4007;
}

/// The code and the word of the close frame for a reason.
pub fn code_and_word(reason: CloseReason) -> (u16, &'static str) {
    match reason {
        CloseReason::Replaced => (codes::REPLACED, "replaced"),
        CloseReason::Kicked => (codes::KICKED, "kicked"),
        CloseReason::Drain => (codes::SERVICE_RESTART, "drain"),
        CloseReason::Slow => (codes::SLOW, "slow"),
        CloseReason::Silent => (codes::SILENT, "silent"),
        CloseReason::HandshakeTimeout => (codes::HANDSHAKE_TIMEOUT, "handshake_timeout"),
        CloseReason::BadProtocol => (codes::PROTOCOL_ERROR, "bad_protocol"),
        CloseReason::Unauthorized => (codes::UNAUTHORIZED, "unauthorized"),
        CloseReason::Overload => (codes::TRY_AGAIN_LATER, "overload"),
        CloseReason::Lost => (codes::LOST, "lost"),
    }
}

/// Whether a peer may put this code into a close frame (RFC 6455, 7.4, and IANA's additions).
pub fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
