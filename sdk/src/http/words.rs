//! Words: why an answer is not what was asked for, where a comet says it.

use orrery_comet_core::json::{ErrorCode, ServerMessage};

use super::link::Answer;

pub(super) enum Words {
    /// The session is over, with this code where the comet knows it.
    Over(Option<u16>, String),
    /// The request cannot be carried out.
    Wrong(ErrorCode, String),
}

impl Words {
    /// Reads them. None where there are none, as in what a proxy says in place of the comet.
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        match ServerMessage::parse(&answer.body).ok()? {
            ServerMessage::Close { code, reason } => Some(Self::Over(Some(code), reason)),
            ServerMessage::Error { code: ErrorCode::NoSuchSession, message, .. } => {
                Some(Self::Over(None, message))
            }
            ServerMessage::Error { code, message, .. } => Some(Self::Wrong(code, message)),
            _ => None,
        }
    }
}
