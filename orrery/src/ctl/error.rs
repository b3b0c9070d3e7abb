//! How a command of `ctl` can fail, and the exit code that says so.

use std::process::ExitCode;

use orrery_router_client::ClientError;
use orrery_router_client::cluster::ClusterError;

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub(super) enum CtlError {
    /// It was refused, or what was found is wrong.
    #[error("{0}")]
    Failed(String),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Usage(String),
    /// Somebody was not reached.
    #[error("{0}")]
    Unreachable(String),
    /// It was not done in time; it may go on by itself.
    #[error("not done in time: {0}")]
    Late(String),
}

/// What a node met, or did not do, that gave no answer to a question. Asking has no outcome to be in doubt of.
pub(super) fn no_answer(error: ClusterError) -> String {
    match error {
        ClusterError::Unreachable { detail, .. } | ClusterError::Unknown { detail } => detail,
        error => error.to_string(),
    }
}

impl CtlError {
    pub(super) fn failed(what: impl Into<String>) -> Self {
        Self::Failed(what.into())
    }

    /// All of several: somebody was not reached where that is one of them. `None` where there is none.
    pub(super) fn of_all(mut errors: Vec<Self>) -> Option<Self> {
        if errors.len() < 2 {
            return errors.pop();
        }
        let is_reached = errors.iter().all(|error| error.code() < 3);
        let all = errors.iter().map(Self::to_string).collect::<Vec<_>>().join("; ");
        Some(if is_reached { Self::Failed(all) } else { Self::Unreachable(all) })
    }

    /// What the process ends with.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::Unreachable(_) | Self::Late(_) => 3,
        }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }
}

impl From<ClusterError> for CtlError {
    fn from(error: ClusterError) -> Self {
        match &error {
            ClusterError::Unreachable { .. } | ClusterError::Unknown { .. } => {
                Self::Unreachable(error.to_string())
            }
            ClusterError::Refused { detail } => Self::Failed(format!("refused: {detail}")),
            ClusterError::Invalid { .. } | ClusterError::Malformed { .. } => {
                Self::Failed(error.to_string())
            }
        }
    }
}

impl From<ClientError> for CtlError {
    fn from(error: ClientError) -> Self {
        match &error {
            ClientError::Unavailable { .. }
            | ClientError::Unknown { .. }
            | ClientError::Overloaded { .. }
            | ClientError::Deadline => Self::Unreachable(error.to_string()),
            ClientError::Invalid { .. } | ClientError::Superseded { .. } => {
                Self::Failed(error.to_string())
            }
        }
    }
}

impl From<std::io::Error> for CtlError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
