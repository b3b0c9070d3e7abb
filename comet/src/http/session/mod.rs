//! Session: what the requests of one device and its connection have in common.

mod asking;
mod carrying;

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use orrery_comet_core::http::{self, Cursor, Inbox, Refusal, Ring, SessionId};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::limits::SIGN_PERIOD;

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
    /// Answers with events that no socket has taken yet.
    underway: usize,
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
    Events(Vec<Bytes>, Cursor, Underway),
    /// A newer request gets them.
    Superseded,
    /// There are no more.
    Over,
}

/// An answer with events. It has a copy of them, and counts until it is dropped, because a socket took it or it broke
/// off.
pub(super) struct Underway(Arc<PollSession>);

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.state.lock().underway -= 1;
    }
}

impl PollSession {
    pub(super) fn new(id: SessionId) -> Arc<Self> {
        Arc::new(Self { id, state: Mutex::default() })
    }

    pub(super) fn id(&self) -> SessionId {
        self.id
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
    use std::task::{Context, Poll};

    use orrery_comet_core::limits::{
        HTTP_ANSWERS_MAX, HTTP_INBOX_BYTES_MAX, HTTP_KEPT_BYTES_MAX, HTTP_SIGNS_MAX,
    };
    use tokio::io::ReadBuf;

    use super::*;

    fn session() -> Arc<PollSession> {
        PollSession::new(SessionId::new([7; 16]))
    }

    /// What a request gets at once that asks for what is after a cursor.
    fn next(session: &Arc<PollSession>, turn: u64, after: Cursor) -> Poll<Next> {
        session.poll_next(turn, after, &mut Context::from_waker(Waker::noop()))
    }

    /// A session that has shown more than is kept, and has posts that nobody has read.
    fn full() -> (Arc<PollSession>, u64) {
        let session = session();
        let now = Instant::now();
        let turn = session.begin(Cursor(0), now).unwrap();
        let line = [vec![b'x'; HTTP_KEPT_BYTES_MAX / 3], b"\n".to_vec()].concat();
        session.write(&[&line, &line, &line, &line]);
        let shown = next(&session, turn, Cursor(0));
        assert!(matches!(shown, Poll::Ready(Next::Events(_, Cursor(4), _))));
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
        assert!(matches!(newest, Poll::Ready(Next::Events(_, Cursor(1), _))), "it goes on");
        session.begin(Cursor(1), now + SIGN_PERIOD).expect("whoever gets on is let through");
        assert_eq!(session.begin(Cursor(1), now), Err(Refusal::Busy), "which it did once");
        assert_eq!(read(&session), HTTP_SIGNS_MAX * 4);
        session.begin(Cursor(1), now).unwrap();
    }

    #[test]
    fn so_many_answers_wait_for_their_sockets_and_no_more_until_one_is_taken_or_breaks_off() {
        let (session, now) = (session(), Instant::now());
        session.write(&[b"event\n"]);
        let ask = || {
            let turn = session.begin(Cursor(0), now)?;
            Ok(next(&session, turn, Cursor(0)))
        };
        let mut answers: Vec<_> = (0..HTTP_ANSWERS_MAX).map(|_| ask().unwrap()).collect();
        assert!(matches!(answers[0], Poll::Ready(Next::Events(..))));
        assert_eq!(ask().err(), Some(Refusal::Busy));
        answers.pop();
        let last = ask().unwrap();
        assert_eq!(ask().err(), Some(Refusal::Busy));
        drop((answers, last));
        assert_eq!(session.state.lock().underway, 0);
        // Requests that wait have no events yet, and the newest alone gets any.
        let turns: Vec<_> = (0..10).map(|_| session.begin(Cursor(0), now).unwrap()).collect();
        let shown = turns.iter().map(|turn| next(&session, *turn, Cursor(0)));
        let shown: Vec<_> =
            shown.filter(|next| !matches!(next, Poll::Ready(Next::Superseded))).collect();
        assert_eq!((shown.len(), session.state.lock().underway), (1, 1));
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
        let Poll::Ready(Next::Events(events, Cursor(5), _)) = next(&session, turn, Cursor(2))
        else {
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
