//! How a call can end without an answer.

/// A call that was not answered. What the registry *refuses* is an answer and stands in the reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// Certainly not carried out: nobody who could was there. Try again.
    #[error("registry is unavailable: {detail}")]
    Unavailable {
        /// What the last attempt met, for people.
        detail: String,
    },
    /// May or may not have been carried out, now or later. Repeat the same identity to learn which.
    #[error("outcome is unknown: {detail}")]
    Unknown {
        /// What the last attempt met, for people.
        detail: String,
    },
    /// Certainly not carried out: a queue is full. Try again later, not at once.
    #[error("registry is overloaded: {detail}")]
    Overloaded {
        /// Whose queue, for people.
        detail: String,
    },
    /// Certainly not carried out, and never will be as it stands. Do not try again.
    #[error("invalid request: {detail}")]
    Invalid {
        /// What is wrong with it, for people.
        detail: String,
    },
    /// The deadline passed before anything was tried. Certainly not carried out; try again with more time.
    #[error("deadline passed before the registry could be asked")]
    Deadline,
    /// Of an attach: another instance runs under this comet's id, or a later attempt of the same one.
    /// Do not try again.
    #[error("superseded: {detail}")]
    Superseded {
        /// By whom, for people.
        detail: String,
    },
}

impl ClientError {
    /// Whether the same request may be sent again. After [`ClientError::Unknown`] only with the same
    /// identity, which every write of a comet has.
    pub fn may_retry(&self) -> bool {
        match self {
            Self::Unavailable { .. }
            | Self::Unknown { .. }
            | Self::Overloaded { .. }
            | Self::Deadline => true,
            Self::Invalid { .. } | Self::Superseded { .. } => false,
        }
    }

    /// The error as it must be told when an earlier attempt may have taken effect: it cannot say any
    /// more that nothing was carried out.
    pub(crate) fn after(self, in_doubt: bool) -> Self {
        match self {
            Self::Unavailable { detail }
            | Self::Overloaded { detail }
            | Self::Invalid { detail }
                if in_doubt =>
            {
                Self::Unknown { detail }
            }
            error => error,
        }
    }
}
