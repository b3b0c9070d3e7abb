//! Session: what the requests of one device and its connection have in common.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use orrery_comet_core::http::{self, Cursor, CursorError, Inbox, Refusal, Ring, SessionId};
use parking_lot::Mutex;
use tokio::io::ReadBuf;
use tokio::time::Instant;

use crate::limits::{SIGN_PERIOD, STREAM_MAX, STREAM_RETRY_MAX};

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
    /// Until when some request has to name it, after the one that began it; none once one has.
    unclaimed_until: Option<Instant>,
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
    /// [`Refusal`]; the request before it is the newest then.
    pub(super) fn begin(&self, cursor: Cursor, now: Instant) -> Result<u64, Refusal> {
        let mut state = self.state.lock();
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
    pub(super) fn poll_next(&self, turn: u64, after: Cursor, cx: &mut Context<'_>) -> Poll<Next> {
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
        state.sign_if_due(now);
        wake(&mut state.reader);
        Ok(())
    }

    /// The device goes.
    pub(super) fn hang_up(&self) {
        let mut state = self.state.lock();
        state.hung_up = true;
        wake(&mut state.reader);
        // A connection that does not read, because too many answers wait, waits only there.
        wake(&mut state.flusher);
    }

    /// Whether the device is gone.
    pub(super) fn has_hung_up(&self) -> bool {
        self.state.lock().hung_up
    }

    /// The device is welcome, may be silent for so long, and is told of the session.
    pub(super) fn welcome(&self, silence_max: Duration) {
        self.state.lock().silence_max = Some(silence_max);
    }

    /// Whether its device may know of it.
    pub(super) fn is_known(&self) -> bool {
        self.state.lock().silence_max.is_some()
    }

    /// Some request has to name the session until then: that its device was told of it, only that shows.
    pub(super) fn has_to_be_claimed(&self, until: Instant) {
        let mut state = self.state.lock();
        state.unclaimed_until = Some(until);
        wake(&mut state.reader);
    }

    /// A request has named the session.
    pub(super) fn claim(&self) {
        self.state.lock().unclaimed_until = None;
    }

    /// Until when it has to be named, if it was not yet.
    pub(super) fn unclaimed_until(&self) -> Option<Instant> {
        self.state.lock().unclaimed_until
    }

    /// How long a poll waits that would wait so long: never so long that the device seems silent meanwhile.
    pub(super) fn wait(&self, longest: Duration) -> Duration {
        self.half_of_silence().map_or(longest, |half| half.min(longest))
    }

    /// How long a stream lasts: then its device comes back, which is its sign of life.
    pub(super) fn stay(&self) -> Duration {
        self.wait(STREAM_MAX)
    }

    /// After how long to come back when a stream has ended. With its stay that leaves a quarter of the silence that is
    /// allowed for the way.
    pub(super) fn retry(&self) -> Duration {
        self.half_of_silence().map_or(STREAM_RETRY_MAX, |half| STREAM_RETRY_MAX.min(half / 2))
    }

    fn half_of_silence(&self) -> Option<Duration> {
        self.state.lock().silence_max.map(|max| max / 2)
    }

    /// Whether its connection is gone: what it keeps may be asked for again, and nobody counts how often.
    pub(super) fn is_over(&self) -> bool {
        self.state.lock().over
    }

    /// How a request is refused for which the session is over.
    pub(super) fn refusal(&self) -> Refusal {
        self.state.lock().refusal()
    }

    /// Whether a socket has taken its last word, if it had one.
    pub(super) fn is_told(&self) -> bool {
        let state = self.state.lock();
        state.last_word.is_none() || state.ring.is_given()
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

    /// The connection is gone. Only what its device may still ask for is kept, and not too much of it.
    pub(super) fn end(&self) {
        self.close();
        let mut state = self.state.lock();
        state.over = true;
        state.inbox = Inbox::default();
        state.ring.shrink();
        wake(&mut state.poller);
        (state.reader, state.flusher) = (None, None);
    }
}

impl State {
    /// Takes a sign of life, which counts as a frame. Of a session that is over nobody reads any.
    fn sign(&mut self, now: Instant) -> Result<(), http::Full> {
        if !self.over {
            self.inbox.sign()?;
            self.signed_at = Some(now);
        }
        Ok(())
    }

    /// The same unless there was one just now, or too many wait, which say as much.
    fn sign_if_due(&mut self, now: Instant) {
        let is_due = |last: Instant| now.saturating_duration_since(last) >= SIGN_PERIOD;
        if self.signed_at.is_none_or(is_due) {
            let _ = self.sign(now);
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

#[cfg(test)]
mod tests {
    use orrery_comet_core::limits::{HTTP_INBOX_BYTES_MAX, HTTP_KEPT_BYTES_MAX, HTTP_SIGNS_MAX};

    use super::*;

    fn session() -> Arc<PollSession> {
        PollSession::new(SessionId::new([7; 16]))
    }

    /// What a request gets at once that asks for what is after a cursor.
    fn next(session: &PollSession, turn: u64, after: Cursor) -> Poll<Next> {
        session.poll_next(turn, after, &mut Context::from_waker(Waker::noop()))
    }

    /// A session that has shown more than is kept, and has posts that nobody has read.
    fn full() -> (Arc<PollSession>, u64) {
        let session = session();
        let now = Instant::now();
        let turn = session.begin(Cursor(0), now).unwrap();
        let line = [vec![b'x'; HTTP_KEPT_BYTES_MAX / 3], b"\n".to_vec()].concat();
        session.write(&[&line, &line, &line, &line]);
        assert!(matches!(next(&session, turn, Cursor(0)), Poll::Ready(Next::Events(_, Cursor(4)))));
        (0..100).for_each(|_| session.post(&[b'x'; 1000], now).unwrap());
        (session, turn)
    }

    /// How many bytes its connection reads at once.
    fn read(session: &PollSession) -> usize {
        let mut buffer = vec![0; 2 * HTTP_INBOX_BYTES_MAX];
        let mut read = ReadBuf::new(&mut buffer);
        let _ = session.poll_read(&mut Context::from_waker(Waker::noop()), &mut read);
        read.filled().len()
    }

    #[test]
    fn requests_that_do_not_get_on_are_counted_each_and_refused_where_nobody_reads_them() {
        let (session, now) = (session(), Instant::now());
        session.begin(Cursor(0), now).unwrap();
        session.begin(Cursor(0), now).unwrap();
        assert_eq!(read(&session), 2 * 4, "two frames of nothing but their length");
        let mut turn = 0;
        for _ in 0..HTTP_SIGNS_MAX {
            turn = session.begin(Cursor(0), now).unwrap();
        }
        assert_eq!(session.begin(Cursor(0), now), Err(Refusal::Busy));
        session.write(&[b"event\n"]);
        let newest = next(&session, turn, Cursor(0));
        assert!(matches!(newest, Poll::Ready(Next::Events(_, Cursor(1)))), "it goes on");
        session.begin(Cursor(1), now + SIGN_PERIOD).expect("whoever gets on is let through");
        assert_eq!(session.begin(Cursor(1), now), Err(Refusal::Busy), "which it did once");
        assert_eq!(read(&session), HTTP_SIGNS_MAX * 4);
        session.begin(Cursor(1), now).unwrap();
    }

    #[test]
    fn posts_that_nobody_carries_out_are_refused_until_somebody_does() {
        let (session, now) = (session(), Instant::now());
        let text = [b'x'; 1000];
        let posted = (0..).take_while(|_| session.post(&text, now).is_ok()).count();
        assert_eq!(posted, HTTP_INBOX_BYTES_MAX / (4 + text.len()));
        assert_eq!(session.post(&text, now), Err(Refusal::Busy));
        assert_eq!(read(&session), posted * (4 + text.len()) + 4, "and one sign of life");
        session.post(&text, now).unwrap();
    }

    #[test]
    fn a_session_that_is_over_keeps_little_and_its_last_word() {
        let (session, _) = full();
        session.close();
        session.write(&[b"goodbye\n"]);
        session.end();
        assert!(session.state.lock().inbox.is_empty());
        let begin = |cursor| session.begin(Cursor(cursor), Instant::now());
        assert_eq!(begin(1), Err(Refusal::Over("goodbye".into())), "that is not kept");
        let turn = begin(2).unwrap();
        let Poll::Ready(Next::Events(events, Cursor(5))) = next(&session, turn, Cursor(2)) else {
            panic!("there are events");
        };
        assert_eq!((events.len(), &events[2]), (3, &"goodbye".into()));
        assert!(session.state.lock().inbox.is_empty(), "nobody reads a sign of life any more");
        assert_eq!(begin(5), Err(Refusal::Over("goodbye".into())));
    }

    #[test]
    fn a_request_that_begins_as_its_session_ends_is_told_why() {
        let (session, _) = full();
        let turn = session.begin(Cursor(0), Instant::now()).unwrap();
        session.end();
        assert!(matches!(next(&session, turn, Cursor(0)), Poll::Ready(Next::Over)));
        assert_eq!(session.refusal(), Refusal::NoSuchSession, "it had no last word");
    }
}
