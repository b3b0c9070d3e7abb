//! Comets: their lives, as the control shard keeps them. Any router node takes these calls.

use std::future::Future;

use orrery_model::control::{Attach, Comet};
use orrery_model::{CometRef, Incarnation};
use orrery_proto::registry::registry_client::RegistryClient;
use orrery_proto::registry::{
    AttachCometRequest, DetachCometRequest, KeepAliveCometRequest, ListCometsRequest,
};
use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, ConnectError, Response, Status};

use crate::ask::Effect;
use crate::backoff::Backoff;
use crate::client::{Client, malformed};
use crate::error::ClientError;
use crate::limits::{ATTEMPTS_MAX, PAUSE_MAX, PAUSE_MIN};

/// The node that last took a call for the control shard.
#[derive(Default)]
pub(crate) struct Door(Mutex<Option<String>>);

/// A comet's new life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attached {
    /// Its number.
    pub incarnation: Incarnation,
    /// How long it lives without a keep-alive, in milliseconds.
    pub lease_ms: u32,
    /// How often to send one, in milliseconds.
    pub keep_alive_ms: u32,
    /// The pace for binding living connections again, per second.
    pub rebind_per_second: u32,
}

/// What a keep-alive was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// The lease began anew.
    Alive,
    /// This incarnation has ended: attach again.
    Ended,
    /// Another instance runs under this id: end.
    Superseded,
}

impl Client {
    /// Gives a comet a new life; a repeat of the same attempt is answered alike.
    ///
    /// # Errors
    /// [`ClientError::Superseded`] when another instance took the id; otherwise repeat the same attempt.
    pub async fn attach(&self, attach: Attach, deadline: Instant) -> Result<Attached, ClientError> {
        let request = AttachCometRequest { attach: Some(attach.into()) };
        let ask = |mut client: RegistryClient<Channel>| {
            let request = request.clone();
            async move { client.attach_comet(request).await }
        };
        let answer = self.ask_any(Effect::Write, deadline, ask).await?;
        Ok(Attached {
            incarnation: Incarnation(answer.incarnation),
            lease_ms: answer.lease_ms,
            keep_alive_ms: answer.keep_alive_ms,
            rebind_per_second: answer.rebind_per_second,
        })
    }

    /// Begins a comet's lease anew, if its life has not ended.
    ///
    /// # Errors
    /// [`ClientError`]; may always be repeated.
    pub async fn keep_alive(
        &self,
        comet: CometRef,
        deadline: Instant,
    ) -> Result<Pulse, ClientError> {
        let request = KeepAliveCometRequest { comet: Some(comet.into()) };
        let ask = |mut client: RegistryClient<Channel>| {
            let request = request.clone();
            async move { client.keep_alive_comet(request).await }
        };
        let answer = self.ask_any(Effect::Read, deadline, ask).await?;
        Ok(match (answer.alive, answer.superseded) {
            (_, true) => Pulse::Superseded,
            (true, false) => Pulse::Alive,
            (false, false) => Pulse::Ended,
        })
    }

    /// Ends a comet's life: its goodbye.
    ///
    /// # Errors
    /// [`ClientError`]; may always be repeated.
    pub async fn detach(&self, comet: CometRef, deadline: Instant) -> Result<(), ClientError> {
        let request = DetachCometRequest { comet: Some(comet.into()) };
        let ask = |mut client: RegistryClient<Channel>| {
            let request = request.clone();
            async move { client.detach_comet(request).await }
        };
        self.ask_any(Effect::Write, deadline, ask).await.map(|_| ())
    }

    /// The living comets: linearizable, unless `stale_ok` lets any node answer from what it has.
    ///
    /// # Errors
    /// [`ClientError`]; a read may always be repeated.
    pub async fn comets(
        &self,
        stale_ok: bool,
        deadline: Instant,
    ) -> Result<Vec<Comet>, ClientError> {
        let ask = |mut client: RegistryClient<Channel>| async move {
            client.list_comets(ListCometsRequest { stale_ok }).await
        };
        let answer = self.ask_any(Effect::Read, deadline, ask).await?;
        let comets: Result<_, _> = answer.comets.into_iter().map(Comet::try_from).collect();
        comets.map_err(|error| malformed(&error))
    }

    /// Asks node after node, beginning with the one that answered last.
    async fn ask_any<T, F, Fut>(
        &self,
        effect: Effect,
        deadline: Instant,
        ask: F,
    ) -> Result<T, ClientError>
    where
        F: Fn(RegistryClient<Channel>) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        let mut last = None;
        let mut in_doubt = false;
        for turn in 0..ATTEMPTS_MAX {
            if Instant::now() >= deadline {
                break;
            }
            let Some(address) = self.any_address(turn) else {
                last = Some("no router node is configured".to_owned());
                break;
            };
            let until = deadline.min(Instant::now() + self.inner.config.attempt_timeout());
            let status = match self.inner.nodes.at(&address) {
                None => Status::unavailable("not an address"),
                Some(node) => match timeout_at(until, ask(node.client())).await {
                    Ok(Ok(answer)) => {
                        *self.inner.door.0.lock() = Some(address);
                        return Ok(answer.into_inner());
                    }
                    Ok(Err(status)) => status,
                    Err(_) => Status::deadline_exceeded("no answer in time"),
                },
            };
            in_doubt |= effect == Effect::Write && may_have_acted(&status);
            let detail = format!("{}: {}", status.code(), status.message());
            if let Some(error) = final_error(&status, &detail) {
                return Err(error.after(in_doubt));
            }
            last = Some(detail);
            self.inner.door.0.lock().take_if(|door| *door == address);
            let pause = backoff.pause(&*self.inner.host.random);
            sleep_until(deadline.min(Instant::now() + pause)).await;
        }
        Err(match last {
            Some(detail) => ClientError::Unavailable { detail }.after(in_doubt),
            None => ClientError::Deadline,
        })
    }

    fn any_address(&self, turn: u32) -> Option<String> {
        if let Some(door) = self.inner.door.0.lock().clone() {
            return Some(door);
        }
        let mut addresses = self.inner.nodes.addresses(self.table().as_deref());
        let place = usize::try_from(turn).unwrap_or(0).checked_rem(addresses.len())?;
        Some(addresses.swap_remove(place))
    }
}

/// The error where asking again cannot help, or must not be at once.
fn final_error(status: &Status, detail: &str) -> Option<ClientError> {
    let detail = detail.to_owned();
    match status.code() {
        Code::InvalidArgument => Some(ClientError::Invalid { detail }),
        Code::FailedPrecondition => Some(ClientError::Superseded { detail }),
        Code::ResourceExhausted => Some(ClientError::Overloaded { detail }),
        _ => None,
    }
}

/// Whether a call that ended so may have taken effect: not when the node says it did nothing, nor when
/// it was never reached.
fn may_have_acted(status: &Status) -> bool {
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
