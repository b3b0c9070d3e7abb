//! Carrying: what the connection of a session writes to its device, and reads from it.

use std::task::{Context, Poll};

use bytes::Bytes;
use orrery_comet_core::http::{self, Inbox};
use tokio::io::ReadBuf;

use super::{PollSession, wake};

impl PollSession {
    /// Takes what the connection writes, each line an event.
    pub(in crate::http) fn write(&self, slices: &[&[u8]]) {
        let mut state = self.state.lock();
        for event in slices.iter().flat_map(|slice| http::lines(slice)) {
            let event = Bytes::copy_from_slice(event);
            if state.closing {
                state.last_word = Some(event.clone());
            }
            state.ring.push(event);
        }
        wake(&mut state.poller);
    }

    /// Waits until a socket has taken all events.
    pub(in crate::http) fn poll_given(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.ring.is_given() {
            return Poll::Ready(());
        }
        state.flusher = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Reads what the device has posted: nothing when it is gone.
    pub(in crate::http) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<()> {
        let mut state = self.state.lock();
        if state.inbox.is_empty() && !state.hung_up {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buffer.put_slice(&state.inbox.take(buffer.remaining()));
        Poll::Ready(())
    }

    /// What no response has shown is not shown any more; what is written from now on is the last word.
    pub(in crate::http) fn close(&self) {
        let mut state = self.state.lock();
        if !state.closing {
            state.closing = true;
            state.ring.cut();
        }
    }

    /// The connection is gone. Only what its device may still ask for is kept, and not too much of it.
    pub(in crate::http) fn end(&self) {
        self.close();
        let mut state = self.state.lock();
        state.over = true;
        state.inbox = Inbox::default();
        state.ring.shrink();
        wake(&mut state.poller);
        (state.reader, state.flusher) = (None, None);
    }

    /// Of one that is over only the last words are kept from now on.
    pub(in crate::http) fn keep_last_words(&self) {
        self.state.lock().ring.keep_last_words();
    }
}
