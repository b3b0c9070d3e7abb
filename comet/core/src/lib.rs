//! The device protocols of a comet, without sockets or clocks: bytes in, actions and bytes out.
//!
//! A connection is driven like this: [`Decoder::feed`] what the socket gave, [`Decoder::poll`] until it
//! has nothing more, hand each [`Input`] to [`Session::handle_input`] and do what its [`Action`] says.
//! Deadlines are milliseconds of one monotonic clock that the caller owns. PROTOCOL.md describes what
//! this crate speaks.

pub mod accepts;
pub mod action;
pub mod answer;
pub mod close;
pub mod decoder;
pub mod dialect;
pub mod error;
pub mod frame;
pub mod goim_message;
pub mod http;
pub mod json;
pub mod limits;
pub mod ops;
pub mod push;
pub mod session;
pub mod stream;
pub mod token;
pub mod websocket;
pub mod websocket_frame;

pub use accepts::{Accepts, Audience};
pub use action::{Action, Close};
pub use answer::{Answer, HeartbeatAnswer};
pub use decoder::{Decoder, Input};
pub use dialect::Dialect;
pub use error::{FrameError, Violation, WebSocketError};
pub use frame::Frame;
pub use push::{Batch, Encoded};
pub use session::{Established, Session};
pub use token::Token;
