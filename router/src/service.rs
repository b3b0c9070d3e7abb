//! Service: the registry as gRPC offers it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::Stream;
use orrery_model::CometRef;
use orrery_model::control::{Attach, ControlRefusal};
use orrery_proto::convert::WireError;
use orrery_proto::registry as wire;
use orrery_proto::registry::registry_server::Registry;
use orrery_router_core::control::Standing;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Response, Status, Streaming};

use crate::control::LifeError;
use crate::lobby::Lobby;
use crate::member::Member;
use crate::session::Session;
use crate::view::View;

/// The metadata key under which the registry address of the control shard's leader is named.
const LEADER_KEY: &str = "orrery-leader";

/// The registry service of one node.
pub(crate) struct RegistryService {
    /// Knows the member, but does not keep it: a client that keeps its connection open must not keep the
    /// node alive.
    pub(crate) lobby: Arc<Lobby>,
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
    fn member(&self) -> Result<Arc<Member>, Status> {
        self.lobby.member()
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
        let member = self.member()?;
        let session = Session::new(
            request.into_inner(),
            &member,
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
        let member = self.member()?;
        // With the index that it stands at: the node's own view may be a moment behind.
        let control = member.shards.control().replica();
        let (view, log_index) = control.control(|control, index| (View::learnt(control), index));
        let starting = || {
            let why = member.knows_the_cluster().err();
            Status::unavailable(why.unwrap_or_else(|| "the cluster is not founded yet".to_owned()))
        };
        let view = view.ok_or_else(starting)?;
        let table = view.table.as_ref().ok_or_else(starting)?;
        let me = &member.around.node;
        // Of itself this node knows the newest.
        let nodes = view.members().map(|node| if node.id == me.id { me.as_ref() } else { node });
        Ok(Response::new(wire::GetTableResponse {
            cluster_id: member.identity.cluster_id.clone(),
            table: Some(table.as_ref().into()),
            nodes: nodes.map(Into::into).collect(),
            log_index,
        }))
    }

    async fn attach_comet(
        &self,
        request: Request<wire::AttachCometRequest>,
    ) -> Result<Response<wire::AttachCometResponse>, Status> {
        let attach = request.into_inner().attach.ok_or_else(|| missing("attach"))?;
        let attach = Attach::try_from(attach).map_err(invalid)?;
        let member = self.member()?;
        let incarnation = member.control.attach(attach, self.deadline()).await;
        let incarnation = incarnation.map_err(|error| redirected(&member, error.into()))?;
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
        let member = self.member()?;
        let standing = member.control.keep_alive(&comet, self.deadline()).await;
        let standing = standing.map_err(|error| redirected(&member, error.into()))?;
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
        let member = self.member()?;
        let detached = member.control.detach(comet, self.deadline()).await;
        detached.map_err(|error| redirected(&member, error.into()))?;
        Ok(Response::new(wire::DetachCometResponse {}))
    }

    async fn list_comets(
        &self,
        request: Request<wire::ListCometsRequest>,
    ) -> Result<Response<wire::ListCometsResponse>, Status> {
        let stale_ok = request.into_inner().stale_ok;
        let member = self.member()?;
        let comets = member.control.comets(stale_ok, self.deadline()).await;
        let comets = comets.map_err(|error| redirected(&member, error.into()))?;
        let comets = comets.iter().map(Into::into).collect();
        Ok(Response::new(wire::ListCometsResponse { comets }))
    }
}

/// Names the leader of the control shard where somebody else than this node is.
fn redirected(member: &Member, mut status: Status) -> Status {
    let leader = member.shards.control().group().leader();
    let leader = leader.filter(|leader| *leader != member.around.me());
    let view = member.around.views.now();
    let address = leader.and_then(|leader| view.member(leader)).map(|(node, _)| &node.registry);
    if status.code() == Code::Unavailable
        && let Some(address) = address.and_then(|address| MetadataValue::try_from(address).ok())
    {
        status.metadata_mut().insert(LEADER_KEY, address);
    }
    status
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
            ControlRefusal::Invalid(_) => Self::invalid_argument(detail),
            // No refusal of what concerns a comet.
            ControlRefusal::AlreadyFounded { .. }
            | ControlRefusal::NodeUsed { .. }
            | ControlRefusal::UnknownNode { .. }
            | ControlRefusal::RemovedNode { .. }
            | ControlRefusal::StalePlacement { .. }
            | ControlRefusal::StillPlaced { .. } => Self::internal(detail),
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
