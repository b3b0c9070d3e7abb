//! Converts what became of deliveries, how long a push waits, and why a connection is closed.

use orrery_model::message::{CloseReason, Delivered, DropReason, WaitFor, WhenFull};

use super::{WireError, unknown};
use crate::{common, delivery as wire, push};

impl From<Delivered> for wire::Outcome {
    fn from(delivered: Delivered) -> Self {
        match delivered {
            Delivered::Queued => Self::Queued,
            Delivered::Written => Self::Written,
            Delivered::Filtered => Self::Filtered,
            Delivered::NotHere => Self::NotHere,
            Delivered::Unknown => Self::Unknown,
            Delivered::Dropped(DropReason::OutboxFull) => Self::DroppedOutboxFull,
            Delivered::Dropped(DropReason::Displaced) => Self::DroppedDisplaced,
            Delivered::Dropped(DropReason::Closed) => Self::DroppedClosed,
            Delivered::Dropped(DropReason::BindingFull) => Self::DroppedBindingFull,
            Delivered::Dropped(DropReason::Overloaded) => Self::DroppedOverloaded,
        }
    }
}

/// An outcome this build has no word for claims nothing: it is unknown.
impl From<wire::Outcome> for Delivered {
    fn from(wire: wire::Outcome) -> Self {
        match wire {
            wire::Outcome::Queued => Self::Queued,
            wire::Outcome::Written => Self::Written,
            wire::Outcome::Filtered => Self::Filtered,
            wire::Outcome::NotHere => Self::NotHere,
            wire::Outcome::DroppedOutboxFull => Self::Dropped(DropReason::OutboxFull),
            wire::Outcome::DroppedDisplaced => Self::Dropped(DropReason::Displaced),
            wire::Outcome::DroppedClosed => Self::Dropped(DropReason::Closed),
            wire::Outcome::DroppedBindingFull => Self::Dropped(DropReason::BindingFull),
            wire::Outcome::DroppedOverloaded => Self::Dropped(DropReason::Overloaded),
            wire::Outcome::Unknown | wire::Outcome::Unspecified => Self::Unknown,
        }
    }
}

/// Only logic's two reasons travel; the others are the comet's own and go as unspecified.
impl From<CloseReason> for wire::CloseReason {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Replaced => Self::Replaced,
            CloseReason::Kicked => Self::Kicked,
            CloseReason::Drain
            | CloseReason::Slow
            | CloseReason::Silent
            | CloseReason::HandshakeTimeout
            | CloseReason::BadProtocol
            | CloseReason::Unauthorized
            | CloseReason::Overload
            | CloseReason::Lost => Self::Unspecified,
        }
    }
}

/// Whoever asks for a close wants it, whatever the reason: one without a word is a kick.
impl From<wire::CloseReason> for CloseReason {
    fn from(wire: wire::CloseReason) -> Self {
        match wire {
            wire::CloseReason::Replaced => Self::Replaced,
            wire::CloseReason::Kicked | wire::CloseReason::Unspecified => Self::Kicked,
        }
    }
}

impl From<WaitFor> for push::WaitFor {
    fn from(wait_for: WaitFor) -> Self {
        match wait_for {
            WaitFor::Queued => Self::Queued,
            WaitFor::Written => Self::Written,
        }
    }
}

impl From<push::WaitFor> for WaitFor {
    fn from(wire: push::WaitFor) -> Self {
        match wire {
            push::WaitFor::Queued | push::WaitFor::Unspecified => Self::Queued,
            push::WaitFor::Written => Self::Written,
        }
    }
}

/// How long a push waits, from the number that arrived.
///
/// # Errors
/// [`WireError`] for a number without a meaning here: a push must not be answered at a lower level than
/// it asked for.
pub fn wait_for(number: i32) -> Result<WaitFor, WireError> {
    let wire = push::WaitFor::try_from(number);
    wire.map(Into::into).map_err(|_| unknown("push_request.wait_for", number))
}

impl From<WhenFull> for common::WhenFull {
    fn from(when_full: WhenFull) -> Self {
        match when_full {
            WhenFull::DropNewest => Self::DropNewest,
            WhenFull::DropOldest => Self::DropOldest,
            WhenFull::Close => Self::Close,
        }
    }
}

/// What becomes of a push at a full outbox, from the number that arrived; `None` where the comet decides.
///
/// # Errors
/// [`WireError`] for a number without a meaning here: nothing is to be dropped, or closed, that was not meant to.
pub fn when_full(number: i32) -> Result<Option<WhenFull>, WireError> {
    match common::WhenFull::try_from(number) {
        Ok(common::WhenFull::Unspecified) => Ok(None),
        Ok(common::WhenFull::DropNewest) => Ok(Some(WhenFull::DropNewest)),
        Ok(common::WhenFull::DropOldest) => Ok(Some(WhenFull::DropOldest)),
        Ok(common::WhenFull::Close) => Ok(Some(WhenFull::Close)),
        Err(_) => Err(unknown("when_full", number)),
    }
}
