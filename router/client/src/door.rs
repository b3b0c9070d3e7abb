//! Door: calls for the control shard. Any router node may be asked; one that cannot answer says who can.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use orrery_host::Host;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::{Code, ConnectError, Response, Status};

use crate::ask::Effect;
use crate::backoff::Backoff;
use crate::limits::{ATTEMPTS_MAX, CONTROL_PAUSE_MAX, HEDGE_PAUSE_MAX, PAUSE_MIN, REDIRECTS_MAX};
use crate::node::Node;
use crate::nodes::Nodes;

/// The metadata key under which a node names the registry address of the control shard's leader.
const LEADER: &str = "orrery-leader";

/// The way to whoever answers for the control shard.
pub(crate) struct Door {
    nodes: Arc<Nodes>,
    host: Host,
    attempt_timeout: Duration,
    hedge: Duration,
    /// Who answered last, or is said to be able to.
    last: Mutex<Option<String>>,
}

/// A call that was not answered.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// A node refused it, and asking again at once cannot help.
    Refused { status: Status, in_doubt: bool },
    /// Nobody who could was there.
    Nobody { detail: String, in_doubt: bool },
    /// There was no time to ask anybody.
    Deadline,
}

impl Door {
    pub(crate) fn new(
        nodes: Arc<Nodes>,
        host: Host,
        attempt_timeout: Duration,
        hedge: Duration,
    ) -> Self {
        Self { nodes, host, attempt_timeout, hedge, last: Mutex::default() }
    }

    /// Asks the node that answered last, then whom that one names, then one of `addresses` after the other.
    pub(crate) async fn ask<T, F, Fut>(
        &self,
        effect: Effect,
        addresses: impl Fn() -> Vec<String>,
        deadline: Instant,
        ask: F,
    ) -> Result<T, Unanswered>
    where
        F: Fn(Arc<Node>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut backoff = Backoff::new(PAUSE_MIN, CONTROL_PAUSE_MAX);
        let (mut last, mut in_doubt, mut redirects) = (None, false, 0);
        for turn in 0..ATTEMPTS_MAX {
            if Instant::now() >= deadline {
                break;
            }
            let all = addresses();
            let Some(address) = self.choose(&all, turn) else {
                last = Some("no router node is configured".to_owned());
                break;
            };
            let others: Vec<&str> = match effect {
                Effect::Read => all.iter().map(String::as_str).filter(|o| *o != address).collect(),
                Effect::Write => Vec::new(),
            };
            let until = deadline.min(Instant::now() + self.attempt_timeout);
            let (answered_by, answer) = self.attempt(&address, &others, until, &ask).await;
            let status = match answer {
                Ok(answer) => {
                    *self.last.lock() = Some(answered_by.to_owned());
                    return Ok(answer);
                }
                Err(status) => status,
            };
            in_doubt |= effect == Effect::Write && may_have_acted(&status);
            if is_final(&status) {
                return Err(Unanswered::Refused { status, in_doubt });
            }
            last = Some(format!("{}: {}", status.code(), status.message()));
            let leader = leader_of(&status).filter(|leader| leader != answered_by);
            let known = self.turn_to(leader, &[&address, answered_by]);
            redirects = if known { redirects + 1 } else { 0 };
            if !known || redirects > REDIRECTS_MAX {
                let pause = backoff.pause(&*self.host.random);
                sleep_until(deadline.min(Instant::now() + pause)).await;
            }
        }
        Err(match last {
            Some(detail) => Unanswered::Nobody { detail, in_doubt },
            None => Unanswered::Deadline,
        })
    }

    /// Asks one node, and while that one is silent the others in turn. Returns whose answer counts.
    async fn attempt<'a, T, F, Fut>(
        &self,
        address: &'a str,
        others: &[&'a str],
        until: Instant,
        ask: &F,
    ) -> (&'a str, Result<T, Status>)
    where
        F: Fn(Arc<Node>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut first = std::pin::pin!(self.one(address, until, ask));
        let mut pause = self.hedge;
        for other in others.iter().cycle() {
            tokio::select! {
                biased;
                answer = &mut first => return (address, answer),
                () = sleep_until(Instant::now() + pause) => pause = HEDGE_PAUSE_MAX,
            }
            // One that is silent too gets no more time than the first one got.
            let patience = until.min(Instant::now() + self.hedge);
            let answer = tokio::select! {
                biased;
                answer = &mut first => return (address, answer),
                answer = self.one(other, patience, ask) => answer,
            };
            let knows_more = match &answer {
                Ok(_) => true,
                Err(status) => leader_of(status).is_some_and(|leader| leader != address),
            };
            if knows_more {
                return (other, answer);
            }
        }
        let answer = first.await;
        (address, answer)
    }

    async fn one<T, F, Fut>(&self, address: &str, until: Instant, ask: &F) -> Result<T, Status>
    where
        F: Fn(Arc<Node>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let node = self.nodes.at(address).ok_or_else(|| Status::unavailable("not an address"))?;
        match timeout_at(until, ask(node)).await {
            Ok(answer) => answer.map(Response::into_inner),
            Err(_) => Err(Status::deadline_exceeded("no answer in time")),
        }
    }

    /// Remembers whom those named who could not answer, unless another call found somebody meanwhile: they
    /// may be behind. Returns whether anybody is remembered.
    fn turn_to(&self, leader: Option<String>, without: &[&str]) -> bool {
        let mut last = self.last.lock();
        if last.as_deref().is_none_or(|last| without.contains(&last)) {
            *last = leader;
        }
        last.is_some()
    }

    fn choose(&self, all: &[String], turn: u32) -> Option<String> {
        if let Some(last) = self.last.lock().clone() {
            return Some(last);
        }
        let place = usize::try_from(turn).unwrap_or(0).checked_rem(all.len())?;
        all.get(place).cloned()
    }
}

/// The registry address of the leader that a node names.
pub(crate) fn leader_of(status: &Status) -> Option<String> {
    let value = status.metadata().get(LEADER)?.to_str().ok()?;
    (!value.is_empty()).then(|| value.to_owned())
}

/// Whether asking again cannot help, or must not be at once.
fn is_final(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::InvalidArgument | Code::FailedPrecondition | Code::ResourceExhausted
    )
}

/// Whether a call that ended so may have taken effect: not when the node says it did nothing, nor when
/// it was never reached.
pub(crate) fn may_have_acted(status: &Status) -> bool {
    let declined = matches!(
        status.code(),
        Code::Unavailable
            | Code::InvalidArgument
            | Code::FailedPrecondition
            | Code::ResourceExhausted
            | Code::Unimplemented
            | Code::PermissionDenied
            | Code::Unauthenticated
    );
    let mut cause = std::error::Error::source(status);
    let said_by_node = cause.is_none();
    while let Some(error) = cause {
        if error.is::<ConnectError>() {
            return false;
        }
        cause = error.source();
    }
    !(declined && said_by_node)
}
