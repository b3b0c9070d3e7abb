//! How a call on a cluster can end without an answer.

use tonic::{Code, Status};

use crate::door::{Unanswered, may_have_acted};

/// A call on a node, or on the cluster, that was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// Certainly not carried out: nobody who could was there. Try again.
    #[error("{who} cannot be reached: {detail}")]
    Unreachable {
        /// Which node, or the cluster.
        who: String,
        /// What the last attempt met, for people.
        detail: String,
    },
    /// Certainly not carried out: what is there contradicts it. Try again only after something changed.
    #[error("refused: {detail}")]
    Refused {
        /// Why, for people.
        detail: String,
    },
    /// May or may not have been carried out. Look how things are before trying again.
    #[error("outcome is unknown: {detail}")]
    Unknown {
        /// What the last attempt met, for people.
        detail: String,
    },
    /// Certainly not carried out, and never will be as it stands. Do not try again.
    #[error("invalid request: {detail}")]
    Invalid {
        /// What is wrong with it, for people.
        detail: String,
    },
    /// The answer is not what the contract says.
    #[error("malformed answer: {detail}")]
    Malformed {
        /// What is wrong with it, for people.
        detail: String,
    },
}

impl ClusterError {
    /// Whether the same request may simply be sent again.
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// What a node said to a call that was meant for it alone.
    pub(crate) fn of_node(address: &str, status: &Status) -> Self {
        let unclear = may_have_acted(status);
        Self::of(&format!("router node {address}"), status, unclear)
    }

    /// What came of a call that any node may take.
    pub(crate) fn of_cluster(unanswered: Unanswered) -> Self {
        let who = || "the leader of the control shard".to_owned();
        match unanswered {
            Unanswered::Refused { status, in_doubt } => Self::of(&who(), &status, in_doubt),
            Unanswered::Nobody { detail, in_doubt: true } => Self::Unknown { detail },
            Unanswered::Nobody { detail, in_doubt: false } => {
                Self::Unreachable { who: who(), detail }
            }
            Unanswered::Deadline => {
                Self::Unreachable { who: who(), detail: "no time to ask".to_owned() }
            }
        }
    }

    fn of(who: &str, status: &Status, in_doubt: bool) -> Self {
        let detail = match status.message() {
            "" => status.code().to_string(),
            message => message.to_owned(),
        };
        match status.code() {
            // What contradicts the state says so of this very state, whatever was tried before.
            Code::FailedPrecondition => Self::Refused { detail },
            Code::InvalidArgument => Self::Invalid { detail },
            _ if in_doubt => Self::Unknown { detail },
            _ => Self::Unreachable { who: who.to_owned(), detail },
        }
    }
}
