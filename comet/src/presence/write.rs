//! Writes to the registry: repeated until their outcome is known.

use std::time::Duration;

use orrery_model::command::{Command, Outcome, Refusal, Reply};
use orrery_model::{Conn, Incarnation};
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::edge::edge_response::Kind as Response;
use tokio::time::timeout;

use super::{Life, Presence};
use crate::limits::{REPEAT_PAUSE, REPEAT_PAUSE_MAX};

/// Why a write took no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WriteError {
    /// The incarnation it names has ended; the same may be asked for under the next one.
    #[error("the comet's incarnation has ended")]
    Fenced,
    /// The registry refused it for good.
    #[error(transparent)]
    Refused(Refusal),
}

impl Presence {
    /// Carries out a write of an incarnation. `command` is given the lowest undecided conn.
    ///
    /// # Errors
    /// [`WriteError`]; neither is worth repeating as it is.
    pub(super) async fn write(
        &self,
        incarnation: Incarnation,
        command: impl Fn(Conn) -> Command,
    ) -> Result<Outcome, WriteError> {
        let mut life = self.life.subscribe();
        let mut pause = REPEAT_PAUSE;
        loop {
            let settled = {
                let state = self.state.lock();
                if state.incarnation != Some(incarnation) {
                    return Err(WriteError::Fenced);
                }
                state.conns.settled()
            };
            let request = Request::Write((&command(settled)).into());
            let answer = tokio::select! {
                answer = self.edge.request(request) => answer,
                // Nobody needs the outcome any more.
                _ = life.wait_for(|life| *life != Life::Attached(incarnation)) => continue,
            };
            match answer {
                Ok(Response::Reply(reply)) => match Reply::try_from(reply) {
                    Ok(Ok(outcome)) => return Ok(outcome),
                    Ok(Err(Refusal::Fenced { .. })) => {
                        self.lost(incarnation);
                        return Err(WriteError::Fenced);
                    }
                    // The table is changing hands: whoever owns the slot soon knows.
                    Ok(Err(Refusal::WrongShard { .. })) => {}
                    // A shard that does not answer holds `settled` back; the others listen again after it.
                    Ok(Err(Refusal::Unsettled)) => {}
                    Ok(Err(refusal)) => return Err(WriteError::Refused(refusal)),
                    Err(error) => tracing::warn!(%error, "logic sent a reply nobody understands"),
                },
                Ok(Response::Failure(failure)) => {
                    pause = pause.max(Duration::from_millis(failure.retry_after_ms.into()));
                }
                Ok(_) => tracing::warn!("logic answered a write with something else"),
                Err(_) => {}
            }
            self.metrics.writes_repeated.inc();
            let over = life.wait_for(|life| *life != Life::Attached(incarnation));
            // Not slept through: in the next life others wait in line behind this.
            let _ = timeout(pause.min(REPEAT_PAUSE_MAX) + self.jitter(pause), over).await;
            pause = (pause * 2).min(REPEAT_PAUSE_MAX);
        }
    }

    /// Spreads what would otherwise be repeated at the same moment by everybody.
    pub(super) fn jitter(&self, pause: Duration) -> Duration {
        let half = u64::try_from(pause.as_millis() / 2).unwrap_or(u64::MAX);
        Duration::from_millis(self.host.random.below(half))
    }
}
