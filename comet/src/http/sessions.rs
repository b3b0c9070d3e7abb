//! Sessions: those of all workers, by their ids. Those that are over are remembered for a while, so that their
//! devices are told why.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use orrery_comet_core::http::SessionId;
use orrery_host::Random;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::session::PollSession;
use super::stream::SessionStream;
use crate::limits::{ENDED_LOOKS_MAX, ENDED_SESSIONS_MAX, ENDED_SESSIONS_MAX_AGE, LAST_WORDS_WAIT};

/// The sessions of a comet: no more that live than there are places for connections.
pub(crate) struct Sessions {
    random: Arc<dyn Random>,
    /// Most of which only the last words are kept.
    untold_max: usize,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<SessionId, Arc<PollSession>>,
    /// Those that ended last, in that order, with all that is kept of them.
    ended: VecDeque<Ended>,
    /// Those that ended before and had not told their devices by then, in that order, with their last words.
    untold: VecDeque<Ended>,
}

struct Ended {
    at: Instant,
    session: Arc<PollSession>,
}

impl Sessions {
    /// Those of a comet that may have so many connections.
    pub(crate) fn new(connections_max: usize, random: Arc<dyn Random>) -> Arc<Self> {
        Arc::new(Self { random, untold_max: connections_max, known: Mutex::default() })
    }

    /// A new session, and the end for its connection.
    pub(super) fn open(self: &Arc<Self>) -> (Arc<PollSession>, SessionStream) {
        let mut bits = [0; 16];
        self.random.fill(&mut bits);
        let session = PollSession::new(SessionId::new(bits));
        let mut known = self.known.lock();
        known.forget(Instant::now());
        known.by_id.insert(session.id(), session.clone());
        (session.clone(), SessionStream::new(session, self.clone()))
    }

    /// One that lives or is remembered.
    pub(super) fn find(&self, id: SessionId) -> Option<Arc<PollSession>> {
        let mut known = self.known.lock();
        known.forget(Instant::now());
        known.by_id.get(&id).cloned()
    }

    /// One is over. It is not remembered where its hello was refused, since nobody ever learned its id.
    pub(super) fn ended(&self, session: &Arc<PollSession>) {
        let at = Instant::now();
        let mut known = self.known.lock();
        match session.is_known() {
            true => known.ended.push_back(Ended { at, session: session.clone() }),
            false => drop(known.by_id.remove(&session.id())),
        }
        known.forget(at);
        known.keep_less(self.untold_max);
    }

    /// Whether some live, or ended just now and have a last word that nobody has taken. Whoever had the time for it and
    /// did not come may be gone.
    pub(crate) fn have_more_to_say(&self, now: Instant) -> bool {
        let known = self.known.lock();
        let is_new = |ended: &&Ended| now.saturating_duration_since(ended.at) < LAST_WORDS_WAIT;
        let newest = known.ended.iter().rev().chain(known.untold.iter().rev());
        known.by_id.len() > known.untold.len() + known.ended.len()
            || newest.take_while(is_new).any(|ended| !ended.session.is_told())
    }
}

impl Known {
    /// Forgets those that ended long ago.
    fn forget(&mut self, now: Instant) {
        for ended in [&mut self.untold, &mut self.ended] {
            while let Some(Ended { at, session }) = ended.front()
                && now.saturating_duration_since(*at) >= ENDED_SESSIONS_MAX_AGE
            {
                self.by_id.remove(&session.id());
                ended.pop_front();
            }
        }
    }

    /// Keeps only last words of the oldest where they are too many, and those of so many at most.
    fn keep_less(&mut self, untold_max: usize) {
        while self.ended.len() > ENDED_SESSIONS_MAX
            && let Some(oldest) = self.ended.pop_front()
        {
            match oldest.session.is_told() {
                true => drop(self.by_id.remove(&oldest.session.id())),
                false => {
                    oldest.session.keep_last_words();
                    self.untold.push_back(oldest);
                }
            }
        }
        while self.untold.len() > untold_max {
            let mut oldest = self.untold.iter().take(ENDED_LOOKS_MAX);
            let told = oldest.position(|ended| ended.session.is_told());
            if let Some(least) = self.untold.remove(told.unwrap_or(0)) {
                self.by_id.remove(&least.session.id());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use bytes::Bytes;
    use orrery_comet_core::http::{Cursor, Refusal};
    use orrery_host::Host;
    use tokio::io::AsyncWriteExt as _;

    use super::super::session::Next;
    use super::*;

    /// Most of which only the last words are kept.
    const UNTOLD_MAX: usize = 100;

    fn sessions() -> Arc<Sessions> {
        Sessions::new(UNTOLD_MAX, Host::system().random)
    }

    /// One that has shown an event, and is over.
    async fn over(sessions: &Arc<Sessions>, last_words: &[u8]) -> Arc<PollSession> {
        let (session, mut stream) = sessions.open();
        session.welcome(Duration::from_secs(1));
        stream.write_all(b"shown\n").await.unwrap();
        assert_eq!(given(&session, Cursor(0)).await, ["shown"]);
        stream.shutdown().await.unwrap();
        stream.write_all(last_words).await.unwrap();
        session
    }

    /// What a device gets that asks on.
    async fn given(session: &Arc<PollSession>, after: Cursor) -> Vec<Bytes> {
        let turn = session.begin(after, Instant::now()).unwrap();
        let next = poll_fn(|cx| session.poll_next(turn, after, cx)).await;
        let Next::Events(events, upto, _) = next else { panic!("there are events") };
        session.give(upto);
        events
    }

    #[tokio::test]
    async fn those_that_are_over_are_remembered_for_a_while_and_so_many_at_most() {
        let sessions = sessions();
        let (living, _stream) = sessions.open();
        let mut ended = Vec::new();
        for _ in 0..=ENDED_SESSIONS_MAX {
            ended.push(over(&sessions, b"").await);
        }
        assert!(sessions.find(ended[0].id()).is_none(), "the oldest had nothing more to say");
        let refusal = sessions.find(ended[1].id()).expect("it is remembered").refusal();
        assert_eq!(refusal, Refusal::NoSuchSession, "it had no last word");
        sessions.known.lock().forget(Instant::now() + ENDED_SESSIONS_MAX_AGE);
        assert!(sessions.find(ended[ENDED_SESSIONS_MAX].id()).is_none());
        assert!(sessions.find(living.id()).is_some(), "however old it is");
        assert_eq!(sessions.known.lock().by_id.len(), 1);
    }

    #[tokio::test]
    async fn the_last_words_of_many_more_are_kept_until_their_devices_come_for_them() {
        let sessions = sessions();
        let drain = br#"{"type":"drain","retry_after_ms":1000,"nodes":["comet-2:3102","comet-3"]}"#;
        let last_words = [&drain[..], br#"{"type":"close","code":1012,"reason":"drain"}"#];
        let mut ended = Vec::new();
        for _ in 0..ENDED_SESSIONS_MAX + UNTOLD_MAX {
            ended.push(over(&sessions, &last_words.join(&b'\n')).await);
        }
        assert!(sessions.have_more_to_say(Instant::now()));
        let find = |number: usize| sessions.find(ended[number].id());
        let oldest = find(0).expect("it has more to say");
        // With what the maps and allocators need it is less than the KiB that is promised.
        let bytes =
            size_of::<PollSession>() + last_words.map(|word| word.len()).iter().sum::<usize>();
        assert!(bytes < 512, "{bytes}");
        assert_eq!(given(&oldest, Cursor(1)).await, last_words);
        let close = Bytes::copy_from_slice(last_words[1]);
        assert_eq!(oldest.begin(Cursor(0), Instant::now()), Err(Refusal::Over(close)));
        let newer = find(ENDED_SESSIONS_MAX).expect("all is kept of it");
        assert_eq!(given(&newer, Cursor(1)).await, last_words);

        // Of two more it is one that has told its device that is forgotten first, then the oldest.
        given(&find(7).unwrap(), Cursor(1)).await;
        given(&find(8).unwrap(), Cursor(1)).await;
        for (forgotten, kept) in [(0, 7), (7, 8), (8, 1), (1, 2)] {
            over(&sessions, b"close\n").await;
            assert!(find(forgotten).is_none() && find(kept).is_some(), "{forgotten}");
        }
        let least = |known: &Known| (known.untold.len(), known.ended.len(), known.by_id.len());
        let sizes = (UNTOLD_MAX, ENDED_SESSIONS_MAX, UNTOLD_MAX + ENDED_SESSIONS_MAX);
        assert_eq!(least(&sessions.known.lock()), sizes);
        sessions.known.lock().forget(Instant::now() + ENDED_SESSIONS_MAX_AGE);
        assert_eq!(least(&sessions.known.lock()), (0, 0, 0));
    }

    #[tokio::test]
    async fn those_that_nobody_was_told_of_are_not_remembered() {
        let sessions = sessions();
        let (session, mut stream) = sessions.open();
        stream.shutdown().await.unwrap();
        stream.write_all(b"refused\n").await.unwrap();
        drop(stream);
        assert!(sessions.find(session.id()).is_none());
        assert!(!sessions.have_more_to_say(Instant::now()), "nobody can ask for its last word");
    }

    #[tokio::test]
    async fn there_is_more_to_say_until_a_socket_took_the_last_word_or_had_the_time_for_it() {
        let sessions = sessions();
        let (session, mut stream) = sessions.open();
        session.welcome(Duration::from_secs(1));
        assert!(sessions.have_more_to_say(Instant::now()), "it lives");
        stream.shutdown().await.unwrap();
        stream.write_all(b"farewell\n").await.unwrap();
        drop(stream);
        assert!(sessions.have_more_to_say(Instant::now()), "nobody has asked for it");
        let later = Instant::now() + LAST_WORDS_WAIT;
        assert!(!sessions.have_more_to_say(later), "nobody is to come any more");
        let (_, stream) = sessions.open();
        assert!(sessions.have_more_to_say(later), "this one lives");
        drop(stream);
        let turn = session.begin(Cursor(0), Instant::now()).unwrap();
        let next = poll_fn(|cx| session.poll_next(turn, Cursor(0), cx)).await;
        let Next::Events(events, upto, _) = next else { panic!("there is one") };
        assert_eq!(events, ["farewell"]);
        session.give(upto);
        assert!(!sessions.have_more_to_say(Instant::now()));
    }
}
