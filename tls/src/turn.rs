//! Turn: a handshake's leave to do what takes long, so that a thread's other connections need not wait for all of them.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::yield_now;

use crate::limits::HANDSHAKES_PER_ROUND;

thread_local! {
    static FREE: Arc<Semaphore> = Arc::new(Semaphore::new(HANDSHAKES_PER_ROUND));
}

/// One handshake's turn, while it has one. A thread goes through its tasks in rounds, and between two looks for what has
/// come. Whoever has taken a turn keeps it for the round: so no more handshakes than there are turns are worked at
/// in one, and the next are those that have waited longest.
pub(crate) struct Turn(Option<OwnedSemaphorePermit>);

impl Turn {
    /// Not yet.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Takes one, or goes on with the one it has.
    pub(crate) async fn take(&mut self) {
        if self.0.is_none() {
            let free = FREE.with(Arc::clone);
            self.0 = Some(free.acquire_owned().await.expect("nobody closes it"));
        }
    }

    /// Does what may have to wait. Who waits gives his turn back, after this round.
    pub(crate) async fn wait<T>(&mut self, mut step: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
        let mut round = pin!(yield_now());
        poll_fn(|cx| {
            let polled = step(cx);
            if polled.is_pending() && self.0.is_some() && round.as_mut().poll(cx).is_ready() {
                self.0 = None;
            }
            polled
        })
        .await
    }
}
