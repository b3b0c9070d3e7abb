//! Turn: lets the connections write before the worker gives them more.
//!
//! While the connections that were given something have not had their turn, the worker delivers nothing.
//! So whatever arrives meanwhile reaches each of them at once and leaves in one write, and an outbox
//! overflows only where the device itself is slow. Nobody waits for a device: a turn is over when its
//! task has tried.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// The connections of a worker that were woken and have not run yet.
#[derive(Default)]
pub(crate) struct Turn {
    woken: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl Turn {
    /// A connection was woken.
    pub(crate) fn begin(&self) {
        self.woken.set(self.woken.get() + 1);
    }

    /// A connection that was woken has run, or never will.
    pub(crate) fn end(&self) {
        let left = self.woken.get().saturating_sub(1);
        self.woken.set(left);
        if left == 0
            && let Some(waker) = self.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// Whether all have had their turn.
    pub(crate) fn is_over(&self) -> bool {
        self.woken.get() == 0
    }

    /// Waits until all have had their turn.
    pub(crate) async fn over(&self) {
        poll_fn(|cx| {
            if self.is_over() {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_turn_is_over_when_everybody_woken_has_run() {
        let turn = Turn::default();
        assert!(turn.over().now_or_never().is_some());
        turn.begin();
        turn.begin();
        turn.end();
        assert!(turn.over().now_or_never().is_none());
        turn.end();
        assert!(turn.over().now_or_never().is_some());
    }
}
