//! Progress: how far a drain is, and what it waits for.

use tokio::time::{Instant, sleep, timeout};

use crate::comet::Comet;
use crate::limits::{FLUSH_TIMEOUT, LAST_WORDS_WAIT, PACE_STEP};

/// How far a drain is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) per_second: Option<u32>,
    pub(crate) connections: u64,
    pub(crate) handshakes: u64,
    pub(crate) unbinding: u64,
}

impl Comet {
    /// How far the drain is.
    pub(crate) fn drain_progress(&self) -> Progress {
        let connections = self.metrics.connections();
        let handshakes = self.metrics.handshakes();
        let living = self.presence.living() as u64;
        Progress {
            per_second: self.drain.wish.borrow().as_ref().map(|wish| wish.per_second),
            connections,
            handshakes,
            // Some of those that shake hands live already, and some do not yet.
            unbinding: living.saturating_sub(connections + handshakes),
        }
    }

    /// Waits until no device is connected any more.
    pub(crate) async fn emptied(&self) {
        while self.metrics.connections() > 0 {
            sleep(PACE_STEP).await;
        }
    }

    /// Waits until the devices over HTTP have come for their last words, or had the time for it since their sessions
    /// ended.
    pub(crate) async fn last_words_taken(&self) {
        let taken = async {
            while self.sessions.have_more_to_say(Instant::now()) {
                sleep(PACE_STEP).await;
            }
        };
        // Such a session may have as long for what waits in its outbox first.
        let _ = timeout(FLUSH_TIMEOUT + LAST_WORDS_WAIT, taken).await;
    }
}
