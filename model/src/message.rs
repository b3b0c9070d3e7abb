//! What a push carries, and what became of it.

use bytes::Bytes;

/// What a device receives: an operation number and a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The operation, any number: the application's own word for what this is.
    pub op: i32,
    /// The body, at most [`crate::limits::PUSH_BODY_BYTES_MAX`] bytes.
    pub body: Bytes,
}

/// How long a push waits before it writes its receipt. No level is reported higher than was waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitFor {
    /// Until the message is in the outbox of each connection.
    #[default]
    Queued,
    /// Until the kernel took the bytes of each connection.
    Written,
}

/// What becomes of a push at a connection whose outbox is full: its device reads too slowly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// The push is dropped; the device keeps what it waits for.
    #[default]
    DropNewest,
    /// The pushes that have waited longest make room, where they are enough; else as [`WhenFull::DropNewest`].
    DropOldest,
    /// The push is dropped and the connection closed with [`CloseReason::Slow`].
    Close,
}

/// Why a message was dropped on its way to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The connection's outbox was full: the device reads too slowly.
    OutboxFull,
    /// It had waited longest in a full outbox and made room for a newer one.
    Displaced,
    /// The connection closed while the message waited.
    Closed,
    /// Too many deliveries waited for this connection's bind.
    BindingFull,
    /// The comet had too much to do.
    Overloaded,
}

/// What became of a message at one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivered {
    /// In the connection's outbox.
    Queued,
    /// Given to the kernel.
    Written,
    /// The connection does not accept this operation.
    Filtered,
    /// Lost on the way, and why.
    Dropped(DropReason),
    /// The comet does not have this connection (any more).
    NotHere,
    /// No answer in time: it may or may not have arrived.
    Unknown,
}

/// Why a connection is closed by us. The number is the WebSocket close code on the JSON protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Another connection took its place (same key, or the session policy).
    Replaced,
    /// A backend asked for it.
    Kicked,
    /// The comet is shutting down; connect again elsewhere.
    Drain,
    /// The device reads too slowly.
    Slow,
    /// No heartbeat in time.
    Silent,
    /// No successful authentication in time.
    HandshakeTimeout,
    /// The device broke the protocol.
    BadProtocol,
    /// Authentication was refused.
    Unauthorized,
    /// Too much to do; connect again later.
    Overload,
    /// The registry no longer knows this connection.
    Lost,
}
