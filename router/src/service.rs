//! Service: the registry as gRPC offers it.

use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::Stream;
use orrery_model::CometRef;
use orrery_model::control::{Attach, ControlRefusal, Node};
use orrery_proto::convert::WireError;
use orrery_proto::registry as wire;
use orrery_proto::registry::registry_server::Registry;
use orrery_router_core::control::Standing;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Request, Response, Status, Streaming};

use crate::control::{ControlPlane, LifeError};
use crate::session::Session;
use crate::shards::Shards;

/// What is served: the shards, and the control shard's duties.
pub(crate) struct Serving {
    pub(crate) shards: Arc<Shards>,
    pub(crate) control: ControlPlane,
}

/// The registry service of one node.
pub(crate) struct RegistryService {
    /// Gone with the node: a client that keeps its connection open must not keep the node alive.
    pub(crate) serving: Weak<Serving>,
    /// This node with the addresses it has now: what the cluster was founded with may be outdated.
    pub(crate) node: Node,
    pub(crate) lives: Lives,
    pub(crate) request_timeout: Duration,
    pub(crate) stopping: watch::Receiver<bool>,
    pub(crate) sessions: Gauge,
}

/// What a comet is told when it attaches.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lives {
    pub(crate) lease_ms: u32,
    pub(crate) keep_alive_ms: u32,
    pub(crate) rebind_per_second: u32,
}

impl RegistryService {
    fn serving(&self) -> Result<Arc<Serving>, Status> {
        self.serving.upgrade().ok_or_else(|| Status::unavailable("the node is stopping"))
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.request_timeout
    }
}

#[tonic::async_trait]
impl Registry for RegistryService {
    type SessionStream =
        Pin<Box<dyn Stream<Item = Result<wire::SessionResponse, Status>> + Send + 'static>>;

    async fn session(
        &self,
        request: Request<Streaming<wire::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let session = Session::new(
            request.into_inner(),
            self.serving()?.shards.clone(),
            self.request_timeout,
            self.stopping.clone(),
            self.sessions.clone(),
        );
        Ok(Response::new(Box::pin(session.answers())))
    }

    async fn get_table(
        &self,
        _request: Request<wire::GetTableRequest>,
    ) -> Result<Response<wire::GetTableResponse>, Status> {
        let starting = || Status::unavailable("the cluster is not founded yet");
        let mut found = self.serving()?.control.found().ok_or_else(starting)?;
        for node in &mut found.nodes {
            if node.id == self.node.id {
                node.clone_from(&self.node);
            }
        }
        Ok(Response::new(wire::GetTableResponse {
            cluster_id: found.cluster_id,
            table: Some((&found.table).into()),
            nodes: found.nodes.iter().map(Into::into).collect(),
        }))
    }

    async fn attach_comet(
        &self,
        request: Request<wire::AttachCometRequest>,
    ) -> Result<Response<wire::AttachCometResponse>, Status> {
        let attach = request.into_inner().attach.ok_or_else(|| missing("attach"))?;
        let attach = Attach::try_from(attach).map_err(invalid)?;
        let incarnation = self.serving()?.control.attach(attach, self.deadline()).await?;
        Ok(Response::new(wire::AttachCometResponse {
            incarnation: incarnation.0,
            lease_ms: self.lives.lease_ms,
            keep_alive_ms: self.lives.keep_alive_ms,
            rebind_per_second: self.lives.rebind_per_second,
        }))
    }

    async fn keep_alive_comet(
        &self,
        request: Request<wire::KeepAliveCometRequest>,
    ) -> Result<Response<wire::KeepAliveCometResponse>, Status> {
        let comet = comet(request.into_inner().comet)?;
        let standing = self.serving()?.control.keep_alive(&comet, self.deadline()).await?;
        Ok(Response::new(wire::KeepAliveCometResponse {
            alive: standing == Standing::Living,
            superseded: standing == Standing::Superseded,
        }))
    }

    async fn detach_comet(
        &self,
        request: Request<wire::DetachCometRequest>,
    ) -> Result<Response<wire::DetachCometResponse>, Status> {
        let comet = comet(request.into_inner().comet)?;
        self.serving()?.control.detach(comet, self.deadline()).await?;
        Ok(Response::new(wire::DetachCometResponse {}))
    }

    async fn list_comets(
        &self,
        request: Request<wire::ListCometsRequest>,
    ) -> Result<Response<wire::ListCometsResponse>, Status> {
        let stale_ok = request.into_inner().stale_ok;
        let comets = self.serving()?.control.comets(stale_ok, self.deadline()).await?;
        let comets = comets.iter().map(Into::into).collect();
        Ok(Response::new(wire::ListCometsResponse { comets }))
    }
}

impl From<LifeError> for Status {
    fn from(error: LifeError) -> Self {
        let refusal = match error {
            LifeError::Write(error) => return error.into(),
            LifeError::Refused(refusal) => refusal,
        };
        let detail = refusal.to_string();
        match refusal {
            ControlRefusal::Superseded { .. } => Self::failed_precondition(detail),
            ControlRefusal::NotFounded => Self::unavailable(detail),
            ControlRefusal::AlreadyFounded { .. } => Self::internal(detail),
            ControlRefusal::Invalid(_) => Self::invalid_argument(detail),
        }
    }
}

fn comet(comet: Option<orrery_proto::common::CometRef>) -> Result<CometRef, Status> {
    CometRef::try_from(comet.ok_or_else(|| missing("comet"))?).map_err(invalid)
}

fn missing(field: &str) -> Status {
    Status::invalid_argument(format!("{field} is missing"))
}

fn invalid(error: WireError) -> Status {
    Status::invalid_argument(error.to_string())
}
