//! Session: what the requests of one device and its connection have in common.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use orrery_comet_core::http::{self, Cursor, Inbox, Refusal, Ring, SessionId};
use parking_lot::Mutex;
use tokio::io::ReadBuf;
use tokio::time::Instant;

use crate::limits::{SIGN_PERIOD, STREAM_MAX};

/// One device's session. Its requests are served by any worker; its connection is one worker's.
pub(crate) struct PollSession {
    id: SessionId,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ring: Ring,
    inbox: Inbox,
    /// How long the device may be silent; known once it is welcome.
    silence_max: Option<Duration>,
    signed_at: Option<Instant>,
    /// The number of the newest request for events: older ones end.
    turn: u64,
    /// Whether the device is gone, so that nothing more is to be read from it.
    hung_up: bool,
    /// Whether only its last word is still to be written.
    closing: bool,
    last_word: Option<Bytes>,
    /// Whether the connection is gone.
    over: bool,
    /// Who waits: the newest request for events; the connection, for the device; the connection, for a socket.
    poller: Option<Waker>,
    reader: Option<Waker>,
    flusher: Option<Waker>,
}

/// What a request for events gets.
pub(super) enum Next {
    /// Events, and the cursor behind them.
    Events(Vec<Bytes>, Cursor),
    /// A newer request gets them.
    Superseded,
    /// There are no more.
    Over,
}

impl PollSession {
    pub(super) fn new(id: SessionId) -> Arc<Self> {
        Arc::new(Self { id, state: Mutex::default() })
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
    }

    // What requests do.

    /// Takes how far a device has got that asks for more. Returns the number of its request, by which it is the
    /// newest.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub(super) fn begin(&self, cursor: Cursor, now: Instant) -> Result<u64, Refusal> {
        let mut state = self.state.lock();
        let is_news = state.ring.acknowledge(cursor).map_err(Refusal::Cursor)?;
        if state.over && !state.ring.has_after(cursor) {
            return Err(state.refusal());
        }
        // Who gets on is not counted for each request, lest a busy device floods us by reading.
        state.sign(now, !is_news);
        state.turn += 1;
        let turn = state.turn;
        // The older request, which sees that; what was given has made room.
        state.wake_all();
        Ok(turn)
    }

    /// The events after a cursor, as soon as there are any.
    pub(super) fn poll_next(&self, turn: u64, after: Cursor, cx: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.state.lock();
        if state.turn != turn {
            return Poll::Ready(Next::Superseded);
        }
        if state.ring.has_after(after) {
            let (events, cursor) = state.ring.show(after);
            return Poll::Ready(Next::Events(events, cursor));
        }
        if state.over {
            return Poll::Ready(Next::Over);
        }
        state.poller = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The same where a socket has yet to take what was shown before.
    pub(super) fn poll_after_flush(&self, turn: u64, cx: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.state.lock();
        if state.turn != turn {
            return Poll::Ready(Next::Superseded);
        }
        state.poller = Some(cx.waker().clone());
        Poll::Pending
    }

    /// A socket has taken all events up to this one.
    pub(super) fn give(&self, cursor: Cursor) {
        let mut state = self.state.lock();
        state.ring.give(cursor);
        state.wake_all();
    }

    /// Takes a message of the device's.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn post(&self, text: &[u8], now: Instant) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        if state.over || state.hung_up {
            return Err(state.refusal());
        }
        state.inbox.post(text).map_err(|http::Full| Refusal::Busy)?;
        state.sign(now, false);
        wake(&mut state.reader);
        Ok(())
    }

    /// The device goes.
    pub(super) fn hang_up(&self) {
        let mut state = self.state.lock();
        state.hung_up = true;
        wake(&mut state.reader);
    }

    /// The device is welcome, and may be silent for so long.
    pub(super) fn welcome(&self, silence_max: Duration) {
        self.state.lock().silence_max = Some(silence_max);
    }

    /// How long a poll waits that would wait so long: never so long that the device seems silent meanwhile.
    pub(super) fn wait(&self, longest: Duration) -> Duration {
        self.half_of_silence().map_or(longest, |half| half.min(longest))
    }

    /// How long a stream lasts: then its device comes back, which is its sign of life.
    pub(super) fn stay(&self) -> Duration {
        self.wait(STREAM_MAX)
    }

    fn half_of_silence(&self) -> Option<Duration> {
        self.state.lock().silence_max.map(|max| max / 2)
    }

    /// How a request is refused for which the session is over.
    pub(super) fn refusal(&self) -> Refusal {
        self.state.lock().refusal()
    }

    // What the connection does.

    /// Takes what the connection writes, each line an event.
    pub(super) fn write(&self, slices: &[&[u8]]) {
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
    pub(super) fn poll_given(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.ring.is_given() {
            return Poll::Ready(());
        }
        state.flusher = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Reads what the device has posted: nothing when it is gone.
    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<()> {
        let mut state = self.state.lock();
        if state.inbox.is_empty() && !state.hung_up {
            state.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        buffer.put_slice(&state.inbox.take(buffer.remaining()));
        Poll::Ready(())
    }

    /// What no response has shown is not shown any more; what is written from now on is the last word.
    pub(super) fn close(&self) {
        let mut state = self.state.lock();
        if !state.closing {
            state.closing = true;
            state.ring.cut();
        }
    }

    /// The connection is gone.
    pub(super) fn end(&self) {
        self.close();
        let mut state = self.state.lock();
        state.over = true;
        wake(&mut state.poller);
    }
}

impl State {
    /// Takes a sign of life, unless there was one just now.
    fn sign(&mut self, now: Instant, in_any_case: bool) {
        let is_due = |last: Instant| now.saturating_duration_since(last) >= SIGN_PERIOD;
        if in_any_case || self.signed_at.is_none_or(is_due) {
            self.signed_at = Some(now);
            self.inbox.sign();
        }
    }

    fn refusal(&self) -> Refusal {
        self.last_word.clone().map_or(Refusal::NoSuchSession, Refusal::Over)
    }

    fn wake_all(&mut self) {
        [&mut self.poller, &mut self.reader, &mut self.flusher].into_iter().for_each(wake);
    }
}

fn wake(waiting: &mut Option<Waker>) {
    if let Some(waker) = waiting.take() {
        waker.wake();
    }
}
