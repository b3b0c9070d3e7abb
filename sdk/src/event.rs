//! Event: what happens to a connected device.

use bytes::Bytes;
use orrery_comet_core::Frame;
use orrery_comet_core::json::ServerMessage;

/// What happens to a connected device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A push.
    Message {
        /// Its operation.
        op: i32,
        /// Its body.
        body: Bytes,
    },
    /// The answer to a heartbeat.
    HeartbeatReply {
        /// Members of the device's room, on goim's protocol.
        count: Option<i32>,
    },
    /// Another frame of goim's protocol: the echo of what was sent.
    Frame(Frame),
    /// Another message of `orrery.json.v1`: the answer to what was sent as it is.
    Json(ServerMessage),
    /// The connection is closed. Nothing else comes after this.
    Closed {
        /// The WebSocket close code, where the comet said one.
        code: Option<u16>,
        /// The comet's word, or the network's.
        reason: String,
    },
}
