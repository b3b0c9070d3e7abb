//! Asking: what the requests of a device do to its session.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use orrery_comet_core::http::{self, Cursor, CursorError, Refusal};
use orrery_comet_core::limits::HTTP_ANSWERS_MAX;
use tokio::time::Instant;

use super::{Next, PollSession, Underway, wake};
use crate::limits::{STREAM_MAX, STREAM_RETRY_MAX};

impl PollSession {
    /// Takes how far a device has got that asks for more. Returns the number of its request, by which it is the
    /// newest.
    ///
    /// # Errors
    /// [`Refusal`]; the request before it is the newest then.
    pub(in crate::http) fn begin(&self, cursor: Cursor, now: Instant) -> Result<u64, Refusal> {
        let mut state = self.state.lock();
        // Each has a copy of the events for as long as its device does not read it.
        if state.underway >= HTTP_ANSWERS_MAX {
            return Err(Refusal::Busy);
        }
        let is_news = match state.ring.acknowledge(cursor) {
            Ok(is_news) => is_news,
            // Of one that is over less is kept; why it is, its device is to know.
            Err(CursorError::Passed) if state.over => return Err(state.refusal()),
            Err(why) => return Err(Refusal::Cursor(why)),
        };
        if state.over && !state.ring.has_after(cursor) {
            return Err(state.refusal());
        }
        // Who gets on is not counted for each request, lest a busy device floods us by reading.
        match is_news {
            true => state.sign_if_due(now),
            false => state.sign(now).map_err(|http::Full| Refusal::Busy)?,
        }
        state.turn += 1;
        let turn = state.turn;
        // The older request, which sees that; what was given has made room.
        state.wake_all();
        Ok(turn)
    }

    /// The events after a cursor, as soon as there are any.
    pub(in crate::http) fn poll_next(
        self: &Arc<Self>,
        turn: u64,
        after: Cursor,
        cx: &mut Context<'_>,
    ) -> Poll<Next> {
        let mut state = self.state.lock();
        if state.turn != turn {
            return Poll::Ready(Next::Superseded);
        }
        // It ended just now, and keeps less.
        if state.over && state.ring.is_passed(after) {
            return Poll::Ready(Next::Over);
        }
        if state.ring.has_after(after) {
            let (events, cursor) = state.ring.show(after);
            state.underway += 1;
            return Poll::Ready(Next::Events(events, cursor, Underway(self.clone())));
        }
        if state.over {
            return Poll::Ready(Next::Over);
        }
        state.poller = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The same where a socket has yet to take what was shown before.
    pub(in crate::http) fn poll_after_flush(&self, turn: u64, cx: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.state.lock();
        if state.turn != turn {
            return Poll::Ready(Next::Superseded);
        }
        state.poller = Some(cx.waker().clone());
        Poll::Pending
    }

    /// A socket has taken all events up to this one.
    pub(in crate::http) fn give(&self, cursor: Cursor) {
        let mut state = self.state.lock();
        state.ring.give(cursor);
        state.wake_all();
    }

    /// Takes a message of the device's.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(in crate::http) fn post(&self, text: &[u8], now: Instant) -> Result<(), Refusal> {
        let mut state = self.state.lock();
        if state.over || state.hung_up {
            return Err(state.refusal());
        }
        state.inbox.post(text).map_err(|http::Full| Refusal::Busy)?;
        state.sign_if_due(now);
        wake(&mut state.reader);
        Ok(())
    }

    /// The device goes.
    pub(in crate::http) fn hang_up(&self) {
        let mut state = self.state.lock();
        state.hung_up = true;
        wake(&mut state.reader);
        // A connection that does not read, because too many answers wait, waits only there.
        wake(&mut state.flusher);
    }

    /// Whether the device is gone.
    pub(in crate::http) fn has_hung_up(&self) -> bool {
        self.state.lock().hung_up
    }

    /// The device is welcome, may be silent for so long, and is told of the session.
    pub(in crate::http) fn welcome(&self, silence_max: Duration) {
        self.state.lock().silence_max = Some(silence_max);
    }

    /// Whether its device may know of it.
    pub(in crate::http) fn is_known(&self) -> bool {
        self.state.lock().silence_max.is_some()
    }

    /// Some request has to name the session until then: that its device was told of it, only that shows.
    pub(in crate::http) fn has_to_be_claimed(&self, until: Instant) {
        let mut state = self.state.lock();
        state.unclaimed_until = Some(until);
        wake(&mut state.reader);
    }

    /// A request has named the session.
    pub(in crate::http) fn claim(&self) {
        self.state.lock().unclaimed_until = None;
    }

    /// Until when it has to be named, if it was not yet.
    pub(in crate::http) fn unclaimed_until(&self) -> Option<Instant> {
        self.state.lock().unclaimed_until
    }

    /// How long a poll waits that would wait so long: never so long that the device seems silent meanwhile.
    pub(in crate::http) fn wait(&self, longest: Duration) -> Duration {
        self.half_of_silence().map_or(longest, |half| half.min(longest))
    }

    /// How long a stream lasts: then its device comes back, which is its sign of life.
    pub(in crate::http) fn stay(&self) -> Duration {
        self.wait(STREAM_MAX)
    }

    /// After how long to come back when a stream has ended. With its stay that leaves a quarter of the silence that is
    /// allowed for the way.
    pub(in crate::http) fn retry(&self) -> Duration {
        self.half_of_silence().map_or(STREAM_RETRY_MAX, |half| STREAM_RETRY_MAX.min(half / 2))
    }

    fn half_of_silence(&self) -> Option<Duration> {
        self.state.lock().silence_max.map(|max| max / 2)
    }

    /// Whether its connection is gone: what it keeps may be asked for again, and nobody counts how often.
    pub(in crate::http) fn is_over(&self) -> bool {
        self.state.lock().over
    }

    /// How a request is refused for which the session is over.
    pub(in crate::http) fn refusal(&self) -> Refusal {
        self.state.lock().refusal()
    }

    /// Whether a socket has taken its last word, if it had one.
    pub(in crate::http) fn is_told(&self) -> bool {
        let state = self.state.lock();
        state.last_word.is_none() || state.ring.is_given()
    }
}
