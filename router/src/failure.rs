//! Failure: the one reason for which a node stopped itself.

use std::sync::Arc;

use tokio::sync::watch;

/// Where any part of the node reports that it cannot go on. The first reason stays.
#[derive(Debug, Clone)]
pub(crate) struct Failure(watch::Sender<Option<Arc<str>>>);

impl Failure {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    /// Stops the node, and logs why unless it was stopping already.
    pub(crate) fn report(&self, reason: impl Into<Arc<str>>) {
        let reason = reason.into();
        let first = self.0.send_if_modified(|held| {
            let first = held.is_none();
            if first {
                *held = Some(reason.clone());
            }
            first
        });
        if first {
            tracing::error!(%reason, "the router node stops itself");
        }
    }

    /// The reason, where there is one.
    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        self.0.borrow().clone()
    }

    /// Waits for a reason.
    pub(crate) async fn wait(&self) -> Arc<str> {
        let mut reasons = self.0.subscribe();
        let held = reasons.wait_for(Option::is_some).await;
        // The sender lives in `self`, so the wait cannot end without a reason.
        held.ok().and_then(|reason| reason.clone()).unwrap_or_else(|| "stopped".into())
    }
}
