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
use crate::limits::{
    ENDED_SESSIONS_MAX, ENDED_SESSIONS_MAX_AGE, RETRY_AFTER_S, RETRY_AFTER_SPREAD_S,
};

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

    /// One is over.
    pub(super) fn ended(&self, id: SessionId) {
        let now = Instant::now();
        let mut known = self.known.lock();
        known.ended.push_back((now, id));
        known.forget(now);
    }

    /// After how many seconds a device may come back for which there is no place now.
    pub(super) fn retry_after_s(&self) -> u64 {
        RETRY_AFTER_S + self.random.below(RETRY_AFTER_SPREAD_S + 1)
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
    use orrery_comet_core::http::Refusal;
    use orrery_host::Host;

    use super::*;

    #[tokio::test]
    async fn those_that_are_over_are_remembered_for_a_while_and_so_many_at_most() {
        let sessions = Sessions::new(Host::system().random);
        let (living, _stream) = sessions.open();
        let ended = |_| {
            let (session, stream) = sessions.open();
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
}
