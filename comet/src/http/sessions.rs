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
use crate::limits::{ENDED_SESSIONS_MAX, ENDED_SESSIONS_MAX_AGE};

/// The sessions of a comet: no more that live than there are places for connections.
pub(crate) struct Sessions {
    random: Arc<dyn Random>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    by_id: HashMap<SessionId, Arc<PollSession>>,
    /// Those that are over, in the order in which they ended.
    ended: VecDeque<(Instant, SessionId)>,
}

impl Sessions {
    pub(crate) fn new(random: Arc<dyn Random>) -> Arc<Self> {
        Arc::new(Self { random, known: Mutex::default() })
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
    pub(super) fn ended(&self, session: &PollSession) {
        let now = Instant::now();
        let mut known = self.known.lock();
        match session.is_known() {
            true => known.ended.push_back((now, session.id())),
            false => drop(known.by_id.remove(&session.id())),
        }
        known.forget(now);
    }

    /// Whether some live, or are over and have a last word that nobody has taken.
    pub(crate) fn have_more_to_say(&self) -> bool {
        let known = self.known.lock();
        let untold = |id| known.by_id.get(id).is_some_and(|session| !session.is_told());
        known.by_id.len() > known.ended.len() || known.ended.iter().any(|(_, id)| untold(id))
    }
}

impl Known {
    /// Forgets those that ended long ago, and the oldest where they are too many.
    fn forget(&mut self, now: Instant) {
        while let Some((at, id)) = self.ended.front()
            && (now.saturating_duration_since(*at) >= ENDED_SESSIONS_MAX_AGE
                || self.ended.len() > ENDED_SESSIONS_MAX)
        {
            self.by_id.remove(id);
            self.ended.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use orrery_comet_core::http::{Cursor, Refusal};
    use orrery_host::Host;
    use tokio::io::AsyncWriteExt as _;

    use super::super::session::Next;
    use super::*;

    #[tokio::test]
    async fn those_that_are_over_are_remembered_for_a_while_and_so_many_at_most() {
        let sessions = Sessions::new(Host::system().random);
        let (living, _stream) = sessions.open();
        let ended = |_| {
            let (session, stream) = sessions.open();
            session.welcome(Duration::from_secs(1));
            drop(stream);
            session.id()
        };
        let ended: Vec<SessionId> = (0..=ENDED_SESSIONS_MAX).map(ended).collect();
        assert!(sessions.find(ended[0]).is_none(), "the oldest is forgotten");
        let refusal = sessions.find(ended[1]).expect("it is remembered").refusal();
        assert_eq!(refusal, Refusal::NoSuchSession, "it had no last word");
        let later = Instant::now() + ENDED_SESSIONS_MAX_AGE;
        sessions.known.lock().forget(later);
        assert!(sessions.find(ended[ENDED_SESSIONS_MAX]).is_none());
        assert!(sessions.find(living.id()).is_some(), "however old it is");
        assert_eq!(sessions.known.lock().by_id.len(), 1);
    }

    #[tokio::test]
    async fn those_that_nobody_was_told_of_are_not_remembered() {
        let sessions = Sessions::new(Host::system().random);
        let (session, mut stream) = sessions.open();
        stream.shutdown().await.unwrap();
        stream.write_all(b"refused\n").await.unwrap();
        drop(stream);
        assert!(sessions.find(session.id()).is_none());
        assert!(!sessions.have_more_to_say(), "nobody can ask for its last word");
    }

    #[tokio::test]
    async fn there_is_more_to_say_until_a_socket_took_the_last_word() {
        let sessions = Sessions::new(Host::system().random);
        let (session, mut stream) = sessions.open();
        session.welcome(Duration::from_secs(1));
        assert!(sessions.have_more_to_say(), "it lives");
        stream.shutdown().await.unwrap();
        stream.write_all(b"farewell\n").await.unwrap();
        drop(stream);
        assert!(sessions.have_more_to_say(), "nobody has asked for it");
        let turn = session.begin(Cursor(0), Instant::now()).unwrap();
        let next = poll_fn(|cx| session.poll_next(turn, Cursor(0), cx)).await;
        let Next::Events(events, upto, _) = next else { panic!("there is one") };
        assert_eq!(events, ["farewell"]);
        session.give(upto);
        assert!(!sessions.have_more_to_say());
    }
}
