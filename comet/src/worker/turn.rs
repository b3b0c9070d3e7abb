//! Turn: lets the connections be written to before the worker gives them more.
//!
//! While the connections that were given something have not had their turn, the worker delivers nothing.
//! So whatever arrives meanwhile reaches each of them at once and leaves in one write, and an outbox
//! overflows only where the device itself is slow; one that has no room before its turn is tried at once. Nobody waits
//! for a device: a turn is over when it was tried.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// The connections of a worker that have yet to be written to, and those that were woken and have not run yet.
#[derive(Default)]
pub(crate) struct Turn {
    /// The slots of those to write to.
    asked: RefCell<VecDeque<usize>>,
    woken: Cell<usize>,
    waker: RefCell<Option<Waker>>,
    /// Whether the worker took its mail since somebody was written to.
    heard: Cell<bool>,
    /// Bytes that were written to make room for more.
    early: Cell<usize>,
}

impl Turn {
    /// The connection in a slot is to be written to.
    pub(crate) fn ask(&self, slot: usize) {
        self.asked.borrow_mut().push_back(slot);
        self.wake();
    }

    /// The next slot to write to. Whoever asked may be gone, and another one in its place.
    pub(crate) fn next(&self) -> Option<usize> {
        self.heard.set(false);
        self.asked.borrow_mut().pop_front()
    }

    /// Whether the worker may take its mail: after the turn, or, where there is more to give afterwards (`goes_on`), once
    /// between two goes of writing. Mail may come without an end, and those who are to be written to wait for it.
    pub(crate) fn may_hear(&self, goes_on: bool) -> bool {
        self.is_over() || (goes_on && !self.heard.get())
    }

    /// So many bytes were written before it was the connection's turn.
    pub(crate) fn wrote_early(&self, bytes: usize) {
        self.early.set(self.early.get() + bytes);
    }

    /// Bytes that were written so since somebody last asked.
    pub(crate) fn take_early(&self) -> usize {
        self.early.take()
    }

    /// The worker took its mail.
    pub(crate) fn hear(&self) {
        self.heard.set(true);
    }

    /// A connection was woken.
    pub(crate) fn begin(&self) {
        self.woken.set(self.woken.get() + 1);
    }

    /// A connection that was woken has run, or never will.
    pub(crate) fn end(&self) {
        let left = self.woken.get().saturating_sub(1);
        self.woken.set(left);
        if left == 0 {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Whether all have had their turn.
    pub(crate) fn is_over(&self) -> bool {
        self.woken.get() == 0 && !self.is_asked()
    }

    /// Whether somebody has yet to be written to.
    pub(crate) fn is_asked(&self) -> bool {
        !self.asked.borrow().is_empty()
    }

    /// Waits until somebody is to be written to.
    pub(super) async fn asked(&self) {
        poll_fn(|cx| self.poll(self.is_asked(), cx)).await;
    }

    /// Waits until all have had their turn.
    pub(super) async fn over(&self) {
        poll_fn(|cx| self.poll(self.is_over(), cx)).await;
    }

    fn poll(&self, is_so: bool, cx: &Context<'_>) -> Poll<()> {
        if is_so {
            return Poll::Ready(());
        }
        // Only the worker waits here.
        *self.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use tokio::join;
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn a_turn_is_over_when_everybody_asked_is_taken() {
        let turn = Turn::default();
        assert!(turn.asked().now_or_never().is_none());
        turn.ask(7);
        assert!(turn.asked().now_or_never().is_some());
        assert!(turn.over().now_or_never().is_none());
        assert_eq!((turn.next(), turn.next()), (Some(7), None));
        assert!(turn.over().now_or_never().is_some());
    }

    #[tokio::test]
    async fn whoever_waits_notices_that_somebody_is_to_be_written_to() {
        let turn = Turn::default();
        let late = async {
            yield_now().await;
            turn.ask(7);
        };
        let asked = async { timeout(Duration::from_secs(60), turn.asked()).await };
        assert_eq!(join!(asked, late).0, Ok(()));
    }

    #[test]
    fn mail_that_comes_between_two_goes_of_a_sweep_holds_nobody_up() {
        let turn = Turn::default();
        turn.ask(7);
        turn.ask(8);
        assert!(
            !turn.may_hear(false),
            "there is nothing that could be carried out with what comes"
        );
        assert!(turn.may_hear(true));
        turn.hear();
        assert!(!turn.may_hear(true), "more mail has to wait until somebody is written to");
        turn.next();
        assert!(turn.may_hear(true));
        turn.next();
        turn.hear();
        assert!(turn.may_hear(false), "the turn is over");
    }

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
