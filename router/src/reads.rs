//! Reads: confirmations of leadership, shared by all reads that wait at the same time.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::error::ReadError;
use crate::limits::{READ_TIMEOUT, READS_WAITING_MAX};
use crate::metrics::ShardMetrics;
use crate::raft::group::Group;

type Waiting = oneshot::Sender<Result<(), ReadError>>;

/// The near end of a shard's reads.
pub(crate) struct Reads {
    queue: mpsc::Sender<Waiting>,
    metrics: ShardMetrics,
}

/// The far end: to be run by a task.
pub(crate) struct Confirmer {
    queue: mpsc::Receiver<Waiting>,
    group: Arc<Group>,
    metrics: ShardMetrics,
}

impl Reads {
    pub(crate) fn new(group: Arc<Group>, metrics: ShardMetrics) -> (Self, Confirmer) {
        let (near, far) = mpsc::channel(READS_WAITING_MAX);
        let confirmer = Confirmer { queue: far, group, metrics: metrics.clone() };
        (Self { queue: near, metrics }, confirmer)
    }

    /// Waits until this node was confirmed as the shard's leader after the call began, and its state
    /// holds everything that was committed then. What is read from the state afterwards is linearizable.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub(crate) async fn confirm(&self, deadline: Instant) -> Result<(), ReadError> {
        let result = self.try_confirm(deadline).await;
        self.metrics.read(result.as_ref().err());
        result
    }

    async fn try_confirm(&self, deadline: Instant) -> Result<(), ReadError> {
        let (waiting, confirmed) = oneshot::channel();
        self.queue.try_send(waiting).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => ReadError::Overloaded,
            mpsc::error::TrySendError::Closed(_) => stopping(),
        })?;
        match timeout_at(deadline, confirmed).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(stopping()),
            Err(_) => Err(ReadError::Unavailable("not confirmed in time".to_owned())),
        }
    }
}

impl Confirmer {
    /// Runs until the near end is dropped.
    pub(crate) async fn run(mut self) {
        let mut waiting = Vec::new();
        while self.queue.recv_many(&mut waiting, READS_WAITING_MAX).await > 0 {
            // Everyone in `waiting` came before this begins; who comes meanwhile waits for the next.
            let begun = Instant::now();
            let result = self.group.confirm(READ_TIMEOUT).await;
            self.metrics.confirm_seconds.observe(begun.elapsed().as_secs_f64());
            for waiting in waiting.drain(..) {
                let _ = waiting.send(result.clone());
            }
        }
    }
}

fn stopping() -> ReadError {
    ReadError::Unavailable("the node is stopping".to_owned())
}
