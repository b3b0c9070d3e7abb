//! What can go wrong with the disk.

use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong with the disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The operating system refused.
    #[error("{action} {path:?}: {source}")]
    Io {
        /// What was being done.
        action: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The directory belongs to another cluster or node.
    #[error("{path:?} belongs to {found}, not to {expected}")]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// What its header says.
        found: String,
        /// What the configuration says.
        expected: String,
    },
    /// The directory was made by a newer version.
    #[error("{path:?} has format {found}, newer than {newest} which this version understands")]
    TooNew {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        newest: u32,
    },
    /// Another process uses the directory.
    #[error("{path:?} is in use by another process")]
    Locked {
        /// The lock's file.
        path: PathBuf,
    },
    /// What is on the disk is not what was written.
    #[error("{path:?} is corrupt: {detail}")]
    Corrupt {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },
    /// An engine failed.
    #[error("{engine}: {detail}")]
    Engine {
        /// Which engine.
        engine: &'static str,
        /// What it said.
        detail: String,
    },
    /// An earlier write failed; nothing is written any more.
    #[error("the store stopped after an earlier failure")]
    Stopped,
    /// The caller broke the contract (a gap, an append below the end).
    #[error("log of shard {shard} would get a hole: {detail}")]
    Gap {
        /// Whose log.
        shard: u32,
        /// What was asked.
        detail: String,
    },
    /// An entry was asked for that the log does not hold.
    #[error("the log of shard {shard} does not hold entry {index}")]
    Missing {
        /// Whose log.
        shard: u32,
        /// The first entry that is not there.
        index: u64,
    },
}

/// How the log's engine words that the disk is full.
const NO_SPACE: &str = "nospace";

impl StoreError {
    /// The disk is full. Once there is space again the directory can be opened as it is.
    pub fn is_full(&self) -> bool {
        let says_so = |words: &str| words.contains(NO_SPACE) || words.contains("No space left");
        match self {
            Self::Io { source, .. } => {
                source.kind() == io::ErrorKind::StorageFull || says_so(&source.to_string())
            }
            Self::Engine { detail, .. } => says_so(detail),
            _ => false,
        }
    }

    /// For `map_err`: what was being done to which file when the operating system refused.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action, path: path.into(), source }
    }

    /// What is wrong with a file or folder.
    pub(crate) fn corrupt(path: &Path, detail: impl Into<String>) -> Self {
        Self::Corrupt { path: path.into(), detail: detail.into() }
    }
}
