//! The messages of `orrery.json.v1`: one JSON object a WebSocket message.

mod client;
mod hello;
mod ids;
mod payload;
mod request_id;
mod server;

pub use client::{BadMessage, ClientMessage};
pub use hello::Hello;
pub use payload::Payload;
pub use request_id::RequestId;
pub(crate) use server::texts;
pub use server::{ErrorCode, ServerMessage};
