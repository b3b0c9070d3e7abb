//! Waking: how a connection's own task comes to run, and how its worker knows that it did.

use std::task::Context;

use super::Connection;

impl Connection {
    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow()
            && !self.woken.replace(true)
        {
            self.shared.turn.begin();
            waker.wake_by_ref();
        }
    }

    /// The task runs: says whom to wake next time, before it looks at what there is to do.
    pub(super) fn register(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        self.had_turn();
    }

    /// Its task looks at nothing any more: from now on there is nobody to wake, and what is held for it
    /// is not here.
    pub(super) fn retire(&self) {
        self.agenda.take_held();
        self.waker.borrow_mut().take();
        self.had_turn();
    }

    pub(super) fn had_turn(&self) {
        if self.woken.replace(false) {
            self.shared.turn.end();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.had_turn();
    }
}
