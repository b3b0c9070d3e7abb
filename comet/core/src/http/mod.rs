//! HTTP: what devices do for which there is no WebSocket: long-poll and SSE, without sockets or clocks.
//!
//! A session is one device's connection, over however many requests it goes. What the comet says in it are
//! [numbered events](Ring), each the JSON text of one message of `orrery.json.v1`; what the device says comes in
//! [requests](Request) and is handed to its connection by an [`Inbox`].

mod answer;
mod cursor;
mod inbox;
mod refusal;
mod request;
mod ring;
mod session_id;

pub use answer::{COMMENT, Verdict, begin_stream, end, events, lines, stream, welcome};
pub use cursor::Cursor;
pub(crate) use inbox::PostStream;
pub use inbox::{Full, Inbox};
pub use refusal::Refusal;
pub use request::{ALLOWED_HEADERS, ALLOWED_METHODS, EXPOSED_HEADERS, Opening, Request};
pub use ring::{CursorError, Ring};
pub use session_id::SessionId;
