//! How large the log's files become.

use crate::limits::{LOG_FILE_BYTES, LOG_PURGE_BYTES};

/// How large the log's files become. Tests take small ones, so that little data makes many files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSizes {
    /// Bytes of a log file before the next one is begun.
    pub file_bytes: u64,
    /// Bytes of log files from which [`Store::reclaim`](crate::Store::reclaim) has something to do; at
    /// least `file_bytes`.
    pub purge_bytes: u64,
}

impl Default for LogSizes {
    fn default() -> Self {
        Self { file_bytes: LOG_FILE_BYTES, purge_bytes: LOG_PURGE_BYTES }
    }
}
