//! Action: what a session asks of its connection.

use std::collections::BTreeSet;

use bytes::Bytes;
use orrery_model::Id;
use orrery_model::message::{CloseReason, Message};

use crate::answer::{Answer, HeartbeatAnswer};

/// What to do about an input. All bytes are complete wire frames of the session's dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an action that is not carried out is a promise broken"]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Write these bytes.
    Reply(Bytes),
    /// Ask logic who this is, then call [`crate::Session::handle_established`] or
    /// [`crate::Session::handle_refused`]. Until then leave further input undecoded: a device may send
    /// its next requests without waiting, and before the answer they would be ignored.
    Authenticate {
        /// goim: the token. JSON: the hello as it came.
        credentials: Bytes,
    },
    /// Answer a heartbeat with the number of members of the connection's room. The deadline has been
    /// moved already, where this was one.
    Heartbeat(HeartbeatAnswer),
    /// Be in exactly this room, or in none, then answer.
    ChangeRoom {
        /// The new room.
        room: Option<Id>,
        /// The answer.
        answer: Answer,
    },
    /// Be in these rooms too, then answer.
    Join {
        /// Which ones.
        rooms: BTreeSet<Id>,
        /// The answer.
        answer: Answer,
    },
    /// Be in these rooms no longer, then answer.
    Leave {
        /// Which ones.
        rooms: BTreeSet<Id>,
        /// The answer.
        answer: Answer,
    },
    /// [`crate::Session::accepts`] has changed. Write these bytes.
    Subscribed(Bytes),
    /// Hand this message to the backend and write these bytes (which may be none) without waiting.
    Upstream {
        /// What the device sent.
        message: Message,
        /// The answer.
        reply: Bytes,
    },
    /// Close the connection.
    Close(Close),
    /// The device said goodbye: write these bytes (which may be none) and close.
    Goodbye(Bytes),
}

/// The end of a connection by our side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// Why.
    pub reason: CloseReason,
    /// What to write before closing; nothing on goim's protocol.
    pub farewell: Bytes,
}
