//! Refusal: how a request is refused: its status, and its words as a message of `orrery.json.v1`.

use bytes::Bytes;

use super::ring::CursorError;
use crate::close::{code_and_word, codes};
use crate::json::{BadMessage, ErrorCode, RequestId, ServerMessage};
use orrery_model::message::CloseReason;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is nothing at its path.
    NoSuchPath,
    /// Only these methods are allowed there.
    NoSuchMethod(&'static [&'static str]),
    /// A parameter is wrong.
    BadQuery(&'static str),
    /// The cursor is none of the session's, or too old.
    Cursor(CursorError),
    /// There is no such session, or none any more.
    NoSuchSession,
    /// The session is over; its last word.
    Over(Bytes),
    /// The body is no message, or not the one that is wanted here.
    BadMessage(BadMessage),
    /// A session begins with a hello, and not with a message of this id.
    NoHello(Option<RequestId>),
    /// The body is longer than so many bytes.
    TooLong(usize),
    /// The body did not come in time.
    Incomplete,
    /// The body is not made as HTTP has it, or breaks off.
    BadBody,
    /// More is posted, or asked for again, than is carried out or read; come back.
    Busy,
    /// There is no place for one more session; come back.
    Overloaded,
}

impl Refusal {
    /// The status of HTTP that says the same.
    pub fn status(&self) -> u16 {
        match self {
            Self::BadQuery(_) | Self::BadBody | Self::BadMessage(_) | Self::NoHello(_) => 400,
            Self::Cursor(CursorError::NeverShown) => 400,
            Self::NoSuchPath => 404,
            Self::NoSuchMethod(_) => 405,
            Self::Incomplete => 408,
            Self::Cursor(CursorError::Passed) | Self::NoSuchSession | Self::Over(_) => 410,
            Self::TooLong(_) => 413,
            Self::Busy => 429,
            Self::Overloaded => 503,
        }
    }

    /// Whether to come back after a while.
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Busy | Self::Overloaded)
    }

    /// The words.
    pub fn body(&self) -> Bytes {
        let error = |code, words: &str| ServerMessage::error(code, words, None);
        let message = match self {
            Self::NoSuchPath => error(ErrorCode::BadRequest, "there is nothing at this path"),
            Self::NoSuchMethod(allowed) => {
                let words = format!("only {} is allowed here", allowed.join(" and "));
                error(ErrorCode::BadRequest, &words)
            }
            Self::BadQuery(words) => error(ErrorCode::BadRequest, words),
            Self::Cursor(why) => error(ErrorCode::BadCursor, &why.to_string()),
            Self::NoSuchSession => {
                error(ErrorCode::NoSuchSession, "there is no such session, or none any more")
            }
            Self::Over(last_word) => return last_word.clone(),
            Self::BadMessage(BadMessage { detail, id }) => {
                ServerMessage::error(ErrorCode::BadMessage, detail, id.clone())
            }
            Self::NoHello(id) => {
                let words = "a session begins with a hello";
                ServerMessage::error(ErrorCode::NotReady, words, id.clone())
            }
            Self::TooLong(max) => {
                error(ErrorCode::BadMessage, &format!("a message has at most {max} bytes"))
            }
            Self::Incomplete => error(ErrorCode::BadRequest, "the body did not arrive in time"),
            Self::BadBody => error(ErrorCode::BadRequest, "the body is malformed, or breaks off"),
            Self::Busy => error(ErrorCode::Unavailable, "too much waits to be carried out or read"),
            Self::Overloaded => {
                let (code, word) = code_and_word(CloseReason::Overload);
                ServerMessage::Close { code, reason: word.to_owned() }
            }
        };
        message.to_text().into()
    }
}

/// The status of the answer to a hello whose session was closed with a code.
pub(super) fn status_of(code: u16) -> u16 {
    match code {
        codes::UNAUTHORIZED => 401,
        codes::SERVICE_RESTART | codes::TRY_AGAIN_LATER | codes::HANDSHAKE_TIMEOUT => 503,
        codes::PROTOCOL_ERROR => 400,
        // Somebody closed it before its device knew of it.
        _ => 410,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_status_and_words_of_the_protocol() {
        let close = ServerMessage::Close { code: 4001, reason: "replaced".to_owned() };
        for (refusal, status, words) in [
            (Refusal::NoSuchPath, 404, "BAD_REQUEST"),
            (Refusal::NoSuchMethod(&["GET"]), 405, "BAD_REQUEST"),
            (Refusal::BadQuery("wrong"), 400, "BAD_REQUEST"),
            (Refusal::Cursor(CursorError::NeverShown), 400, "BAD_CURSOR"),
            (Refusal::Cursor(CursorError::Passed), 410, "BAD_CURSOR"),
            (Refusal::NoSuchSession, 410, "NO_SUCH_SESSION"),
            (Refusal::Over(close.to_text().into()), 410, "replaced"),
            (Refusal::NoHello(None), 400, "NOT_READY"),
            (Refusal::NoHello(Some(RequestId::Number(77))), 400, r#""id":77"#),
            (Refusal::TooLong(10), 413, "BAD_MESSAGE"),
            (Refusal::Incomplete, 408, "BAD_REQUEST"),
            (Refusal::BadBody, 400, "BAD_REQUEST"),
            (Refusal::Busy, 429, "UNAVAILABLE"),
            (Refusal::Overloaded, 503, "overload"),
        ] {
            assert_eq!(refusal.status(), status, "{refusal:?}");
            let body = refusal.body();
            assert!(ServerMessage::parse(&body).is_ok(), "{body:?}");
            assert!(String::from_utf8_lossy(&body).contains(words), "{body:?}");
            assert_eq!(refusal.may_retry(), matches!(status, 429 | 503), "{refusal:?}");
        }
    }
}
