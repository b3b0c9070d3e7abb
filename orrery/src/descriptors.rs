//! File descriptors: every connection is one, and systems hand out few unless asked.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Asks for as many file descriptors as this process may have. Best effort: with fewer, connections
/// beyond them are refused and counted.
pub(crate) fn raise() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of file descriptors cannot be raised");
    }
}
