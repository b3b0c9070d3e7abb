//! Comets: their lives, as the control shard keeps them. Any router node takes these calls.

use std::future::Future;
use std::sync::Arc;

use orrery_model::control::{Attach, Comet};
use orrery_model::{CometRef, Incarnation};
use orrery_proto::registry::registry_client::RegistryClient;
use orrery_proto::registry::{
    AttachCometRequest, DetachCometRequest, KeepAliveCometRequest, ListCometsRequest,
};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::ask::Effect;
use crate::client::{Client, malformed};
use crate::door::Unanswered;
use crate::error::ClientError;
use crate::node::Node;

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
        let addresses = || self.inner.nodes.addresses(self.table().as_deref());
        let ask = |node: Arc<Node>| ask(node.client());
        let result = self.inner.door.ask(effect, addresses, deadline, ask).await;
        let result = result.map_err(ClientError::from);
        self.inner.metrics.call(effect, &result);
        result
    }
}

impl From<Unanswered> for ClientError {
    fn from(unanswered: Unanswered) -> Self {
        let (status, in_doubt) = match unanswered {
            Unanswered::Deadline => return Self::Deadline,
            Unanswered::Nobody { detail, in_doubt } => {
                return Self::Unavailable { detail }.after(in_doubt);
            }
            Unanswered::Refused { status, in_doubt } => (status, in_doubt),
        };
        let detail = format!("{}: {}", status.code(), status.message());
        let error = match status.code() {
            Code::InvalidArgument => Self::Invalid { detail },
            Code::FailedPrecondition => Self::Superseded { detail },
            _ => Self::Overloaded { detail },
        };
        error.after(in_doubt)
    }
}
