//! Gate: lets the tasks of a host stand still, as a process that was stopped does.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use pin_project_lite::pin_project;

/// Whether the tasks behind it may run. Clones are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    closed: bool,
    waiting: Vec<Waker>,
}

impl Gate {
    /// Lets nothing run from now on.
    pub fn close(&self) {
        self.0.lock().closed = true;
    }

    /// Lets everything run again.
    pub fn open(&self) {
        let waiting = {
            let mut inner = self.0.lock();
            inner.closed = false;
            std::mem::take(&mut inner.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// A future that stands still while the gate is closed.
    pub fn behind<F: Future>(&self, future: F) -> Gated<F> {
        Gated { gate: self.clone(), future }
    }
}

pin_project! {
    /// See [`Gate::behind`].
    pub struct Gated<F> {
        gate: Gate,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for Gated<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        {
            let mut inner = this.gate.0.lock();
            if inner.closed {
                inner.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
        }
        this.future.poll(cx)
    }
}
