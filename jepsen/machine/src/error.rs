//! What can go wrong on the machine.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use thiserror::Error;

/// Why something could not be made, changed or undone. Only [`MachineError::Late`] may go away by trying again.
#[derive(Debug, Error)]
pub enum MachineError {
    /// A tool is not there or must not be run.
    #[error("cannot run `{line}`: {source}")]
    Start {
        /// The command line.
        line: String,
        /// What the system said.
        source: io::Error,
    },
    /// A tool ran and failed.
    #[error("`{line}` failed ({status}): {stderr}")]
    Failed {
        /// The command line.
        line: String,
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// A file or folder does not let itself be worked with.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// The verb.
        doing: &'static str,
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel refused a call.
    #[error("cannot {doing}: {source}")]
    Kernel {
        /// The call in words.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// The caller asked for what is not possible here.
    #[error("{0}")]
    Refused(String),
    /// Something did not happen in time.
    #[error("{what} within {limit:?}")]
    Late {
        /// What did not happen.
        what: String,
        /// How long it was waited for.
        limit: Duration,
    },
}

impl MachineError {
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { doing, path, source }
    }

    pub(crate) fn kernel<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |source| Self::Kernel { doing: doing.into(), source: source.into() }
    }
}
