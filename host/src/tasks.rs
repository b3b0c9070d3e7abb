//! Tasks: where futures and blocking work run. A task always has an owner that can cancel and join it.

use std::future::Future;
use std::time::Duration;

use futures_util::future::{BoxFuture, LocalBoxFuture};
use tokio::task::JoinHandle;

/// A boxed task.
pub type TaskFuture = BoxFuture<'static, ()>;

/// Makes the future of a worker on the worker's own thread, so that it may hold what is not `Send`.
pub type WorkerStart = Box<dyn FnOnce() -> LocalBoxFuture<'static, ()> + Send>;

/// A running task. Dropping it cancels the task; [`Task::join`] waits for its end instead.
#[derive(Debug)]
#[must_use = "dropping a task cancels it"]
pub struct Task(Option<JoinHandle<()>>);

impl Task {
    /// Takes ownership of what a runtime spawned.
    pub fn new(handle: JoinHandle<()>) -> Self {
        Self(Some(handle))
    }

    /// Waits until the task has ended. Returns false when it panicked or was cancelled.
    pub async fn join(mut self) -> bool {
        let Some(handle) = self.0.as_mut() else { return true };
        let ended = handle.await.is_ok();
        self.0 = None;
        ended
    }

    /// Cancels the task at its next await.
    pub fn cancel(&self) {
        if let Some(handle) = &self.0 {
            handle.abort();
        }
    }

    /// Lets the task run to its own end without an owner. Only for tasks whose end is bounded by a
    /// deadline of their own.
    pub fn detach(mut self) {
        self.0 = None;
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// Runs tasks and blocking work.
pub trait Tasks: Send + Sync {
    /// Runs a task.
    fn spawn_boxed(&self, name: &'static str, task: TaskFuture) -> Task;

    /// Runs work that blocks away from the tasks; the future ends when it is done. Simulation runs it
    /// in place. Dropping the future does not stop the work.
    fn blocking(&self, name: &'static str, work: Box<dyn FnOnce() + Send>) -> TaskFuture;

    /// Starts a worker: a thread of its own with a single-threaded runtime, that may also block (the
    /// log's writer does). Ends with its future; one that panics is dropped, which is how others can notice it.
    /// Simulation runs it among the other tasks.
    fn worker(&self, name: String, start: WorkerStart) -> Task;

    /// The processor time that the thread which asks has taken so far. In simulation none: nothing takes time there.
    fn thread_time(&self) -> Duration;
}

impl dyn Tasks {
    /// Runs a task.
    pub fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> Task {
        self.spawn_boxed(name, Box::pin(task))
    }
}
