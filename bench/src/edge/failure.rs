//! Failure: the kinds of a connect that failed, as reports count them.

use orrery_sdk::ConnectError;

/// The word for it.
pub fn kind(error: &ConnectError) -> &'static str {
    match error {
        ConnectError::Unreachable { .. } => "unreachable",
        ConnectError::Handshake(_) => "handshake",
        ConnectError::Closed { .. } => "closed",
        ConnectError::Refused { .. } => "refused",
        ConnectError::Overloaded { .. } => "overloaded",
        ConnectError::SentAway { .. } => "sent_away",
        ConnectError::Timeout => "timeout",
        ConnectError::NotInGoim(_) | ConnectError::BadOptions(_) => "impossible",
    }
}
