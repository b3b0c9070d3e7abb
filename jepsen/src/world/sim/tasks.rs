//! Tasks of a simulated host: all on the host's own runtime, so that a crash of the host ends them.

use std::time::Duration;

use futures_util::FutureExt as _;
use orrery_host::tasks::{Task, TaskFuture, Tasks, WorkerStart};
use tokio::sync::{mpsc, oneshot};

use super::gate::Gate;

/// Runs everything on the runtime of the host that uses it.
#[derive(Debug, Clone)]
pub(super) struct SimTasks {
    workers: mpsc::UnboundedSender<Worker>,
    /// Closed while the process is stopped.
    process: Gate,
    /// Closed while its disk takes nothing: what may block stands still.
    disk: Gate,
}

struct Worker {
    start: WorkerStart,
    cancelled: oneshot::Receiver<()>,
    ended: oneshot::Sender<()>,
}

impl SimTasks {
    /// Tasks of the host that calls this: from its own future, where what is not `Send` may be run.
    pub(super) fn of_this_host(process: Gate, disk: Gate) -> Self {
        let (workers, mut started) = mpsc::unbounded_channel::<Worker>();
        tokio::task::spawn_local(async move {
            while let Some(Worker { start, cancelled, ended }) = started.recv().await {
                tokio::task::spawn_local(async move {
                    tokio::select! {
                        biased;
                        // Its owner dropped it.
                        _ = cancelled => {}
                        () = start() => {}
                    }
                    drop(ended);
                });
            }
        });
        Self { workers, process, disk }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the simulation's tasks come from")]
impl Tasks for SimTasks {
    fn spawn_boxed(&self, _name: &'static str, task: TaskFuture) -> Task {
        Task::new(tokio::spawn(self.process.behind(task)))
    }

    fn blocking(&self, _name: &'static str, work: Box<dyn FnOnce() + Send>) -> TaskFuture {
        self.disk.behind(async move { work() }).boxed()
    }

    fn thread_time(&self) -> Duration {
        Duration::ZERO
    }

    fn worker(&self, _name: String, start: WorkerStart) -> Task {
        let (cancel, cancelled) = oneshot::channel();
        let (ended_tx, ended) = oneshot::channel();
        let (process, disk) = (self.process.clone(), self.disk.clone());
        let start: WorkerStart =
            Box::new(move || process.behind(disk.behind(start())).boxed_local());
        // The receiver lives as long as the host.
        let _ = self.workers.send(Worker { start, cancelled, ended: ended_tx });
        Task::new(tokio::spawn(async move {
            let _cancel = cancel;
            let _ = ended.await;
        }))
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn what_a_worker_held_that_panicked_is_dropped() {
        let noticed = async {
            let tasks = SimTasks::of_this_host(Gate::default(), Gate::default());
            let (held, noticed) = oneshot::channel::<()>();
            let start = move || {
                let panics = async move {
                    let _held = held;
                    tokio::task::yield_now().await;
                    panic!("a panic was asked for");
                };
                panics.boxed_local()
            };
            let worker = tasks.worker("fragile".to_owned(), Box::new(start));
            let noticed = noticed.await;
            worker.join().await;
            noticed
        };
        assert!(LocalSet::new().run_until(noticed).await.is_err());
    }
}
