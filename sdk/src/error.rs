//! What can go wrong for a device, by what it was doing.

use std::io;

use orrery_comet_core::json::ErrorCode;
use tokio_tungstenite::tungstenite;

/// Why a device could not connect.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The comet cannot be reached. May be tried again.
    #[error("cannot connect to {address}: {source}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The WebSocket could not be established. May be tried again unless the address is wrong.
    #[error("the websocket handshake failed: {0}")]
    Handshake(#[from] Box<tungstenite::Error>),
    /// The comet closed the connection before it was established; on goim's protocol that is how
    /// authentication is refused. The code tells whether trying again can help, where there is one.
    #[error("closed before it was established: {code:?} {reason}")]
    Closed {
        /// The WebSocket close code.
        code: Option<u16>,
        /// The comet's word or the network's.
        reason: String,
    },
    /// The comet refused the hello. Trying again cannot help.
    #[error("refused: {code:?} {message}")]
    Refused {
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
    },
    /// It took too long. May be tried again.
    #[error("not established in time")]
    Timeout,
    /// The options ask for what goim's protocol cannot say. Trying again cannot help.
    #[error("goim's protocol has no {0}")]
    NotInGoim(&'static str),
    /// The options hold what the protocol does not allow. Trying again cannot help.
    #[error("{0}")]
    BadOptions(String),
}

/// Why a request of a connected device got no answer, or a bad one.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The connection is closed. [`crate::Device::next`] says why.
    #[error("the connection is closed")]
    Closed,
    /// The comet refused the request.
    #[error("refused: {code:?} {message}")]
    Refused {
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
    },
    /// No answer in time; the request may or may not have been carried out.
    #[error("no answer in time")]
    Timeout,
    /// Too many events wait to be taken. Take them, then try again.
    #[error("too many events wait to be taken")]
    EventsWaiting,
    /// The protocol of this connection has no such request. Trying again cannot help.
    #[error("this protocol has no {0}")]
    NotInProtocol(&'static str),
    /// The request holds what the protocol does not allow. Trying again cannot help.
    #[error("{0}")]
    BadRequest(String),
}
