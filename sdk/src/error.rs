//! What can go wrong for a device, by what it was doing.

use std::io;
use std::time::Duration;

use orrery_comet_core::close::codes;
use orrery_comet_core::json::ErrorCode;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::http::header::RETRY_AFTER;

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
    /// The comet refused the hello. Trying again cannot help unless the code is `UNAVAILABLE`.
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
    /// The comet has no place for a session over HTTP. May be tried again, not before it says.
    #[error("the comet is full; come back after {retry_after:?}")]
    Overloaded {
        /// When to come back.
        retry_after: Duration,
    },
    /// The comet goes away. May be tried again elsewhere, not before it says.
    #[error("sent away; come back after {retry_after:?}")]
    SentAway {
        /// When to come back.
        retry_after: Duration,
        /// Other comets, where they are known.
        nodes: Vec<String>,
    },
    /// The options ask for what goim's protocol cannot say. Trying again cannot help.
    #[error("goim's protocol has no {0}")]
    NotInGoim(&'static str),
    /// The options hold what the protocol does not allow. Trying again cannot help.
    #[error("{0}")]
    BadOptions(String),
}

impl ConnectError {
    /// Whether trying again, later or elsewhere, can help.
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout
            | Self::Overloaded { .. }
            | Self::SentAway { .. } => true,
            // Another request would be refused alike; an overloaded server says so with a 5xx or 429.
            Self::Handshake(error) => match &**error {
                tungstenite::Error::Http(response) => {
                    !response.status().is_client_error() || response.status() == 429
                }
                tungstenite::Error::Url(_) => false,
                _ => true,
            },
            // A hello that is too long is too long for the next comet as well.
            Self::Closed { code, .. } => !matches!(
                code,
                Some(codes::TOO_BIG | codes::REPLACED | codes::KICKED | codes::UNAUTHORIZED)
            ),
            Self::Refused { code, .. } => *code == ErrorCode::Unavailable,
            Self::NotInGoim(_) | Self::BadOptions(_) => false,
        }
    }

    /// When the comet asked to come back, where it said so.
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Overloaded { retry_after } | Self::SentAway { retry_after, .. } = self {
            return Some(*retry_after);
        }
        let Self::Handshake(error) = self else { return None };
        let tungstenite::Error::Http(response) = &**error else { return None };
        let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
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

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::http::Response;

    use super::*;

    fn handshake(status: u16, retry_after: &str) -> ConnectError {
        let response = Response::builder().status(status).header(RETRY_AFTER, retry_after);
        let error = tungstenite::Error::Http(Box::new(response.body(None).unwrap()));
        ConnectError::Handshake(Box::new(error))
    }

    #[test]
    fn an_overloaded_comet_says_when_to_come_back() {
        let overloaded = handshake(503, "5");
        assert_eq!(overloaded.retry_after(), Some(Duration::from_secs(5)));
        assert!(overloaded.may_retry());
        assert_eq!(handshake(503, "tomorrow").retry_after(), None);
        assert_eq!(ConnectError::Timeout.retry_after(), None);
    }

    #[test]
    fn what_will_not_change_is_not_tried_again() {
        let refused = |code| ConnectError::Refused { code, message: String::new() };
        let closed = |code| ConnectError::Closed { code, reason: String::new() };
        for error in [
            handshake(404, "1"),
            refused(ErrorCode::Unauthorized),
            closed(Some(codes::UNAUTHORIZED)),
            closed(Some(codes::TOO_BIG)),
            ConnectError::NotInGoim("room"),
        ] {
            assert!(!error.may_retry(), "{error}");
        }
        for error in [
            handshake(429, "1"),
            refused(ErrorCode::Unavailable),
            closed(None),
            closed(Some(codes::TRY_AGAIN_LATER)),
            ConnectError::Timeout,
        ] {
            assert!(error.may_retry(), "{error}");
        }
    }
}
