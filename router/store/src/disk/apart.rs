//! Runs a piece of work on a thread of its own and waits for it.
//!
//! Two habits of the engines ask for this. raft-engine keeps the last block it read in a thread-local, under
//! a key that does not say of which directory: with two stores in one process, a thread that serves both
//! could be handed the other's entries, and its purge could even write them down. A thread that starts
//! with the work starts without such a block. And both engines panic on some damaged files, where a node
//! should say which file is damaged.

use std::any::Any;
use std::path::Path;
use std::thread;

use crate::error::StoreError;

/// Runs `work` on a fresh thread; its panic is reported as damage of `path`.
pub(super) fn apart<T: Send>(
    path: &Path,
    work: impl FnOnce() -> Result<T, StoreError> + Send,
) -> Result<T, StoreError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("store-engine".into())
            .spawn_scoped(scope, work)
            .map_err(StoreError::io("start a thread for", path))?;
        thread.join().unwrap_or_else(|panic| Err(StoreError::corrupt(path, words(&*panic))))
    })
}

/// What a panic said.
pub(super) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the engine gave up: {}", text.unwrap_or("without a word"))
}
