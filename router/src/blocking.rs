//! Blocking: work that waits for the disk, away from the tasks.

use std::io;
use std::sync::Arc;

use orrery_host::Tasks;
use tokio::sync::oneshot;

/// Runs work that blocks and waits for its result.
///
/// # Errors
/// When the host stopped before the work was done.
pub(crate) async fn blocking<T: Send + 'static>(
    tasks: &Arc<dyn Tasks>,
    name: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (done, result) = oneshot::channel();
    let work = Box::new(move || {
        // Whoever waited may be gone, which is the matter of nobody else.
        let _ = done.send(work());
    });
    tasks.blocking(name, work).await;
    result.await.map_err(|_| io::Error::other(format!("{name} was not finished")))?
}
