//! Cluster service: operating the cluster as gRPC offers it. Every node answers for itself; changes are
//! taken by the leader of the control shard.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use orrery_host::Peer;
use orrery_model::control::{ControlCommand, Found};
use orrery_model::{NodeId, ShardId};
use orrery_proto::cluster as wire;
use orrery_proto::cluster::cluster_server::Cluster;
use orrery_proto::convert::WireError;
use orrery_proto::registry as registry_wire;
use tokio::time::Instant;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status};

use crate::audit::Asker;
use crate::cluster::{
    AdoptError, Adoption, BackupError, ChangeError, ClusterPlane, Description, NotMember,
    ReplicaStatus, Role, SnapshotError, Status as NodeStatus,
};
use crate::digests::DigestError;
use crate::limits::SNAPSHOT_TIMEOUT;

/// The metadata key under which the registry address of the control shard's leader is named.
const LEADER: &str = "orrery-leader";

/// The cluster service of one node.
pub(crate) struct ClusterService {
    plane: ClusterPlane,
    request_timeout: Duration,
}

impl ClusterService {
    pub(crate) fn new(plane: ClusterPlane, request_timeout: Duration) -> Self {
        Self { plane, request_timeout }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.request_timeout
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    type BackupStream =
        Pin<Box<dyn Stream<Item = Result<wire::BackupChunk, Status>> + Send + 'static>>;

    async fn describe(
        &self,
        _request: Request<wire::DescribeRequest>,
    ) -> Result<Response<wire::DescribeResponse>, Status> {
        Ok(Response::new(described(self.plane.describe())))
    }

    async fn adopt(
        &self,
        request: Request<wire::AdoptRequest>,
    ) -> Result<Response<wire::AdoptResponse>, Status> {
        let peer = peer(&request);
        let request = request.into_inner();
        let founding = request.founding.map(Found::try_from).transpose().map_err(invalid)?;
        let adoption = Adoption {
            cluster_id: request.cluster_id,
            node: NodeId(request.node),
            instance: request.instance,
            shards: request.shards,
            founding,
        };
        self.plane.adopt(adoption, Asker { by: request.by, peer }).await?;
        Ok(Response::new(wire::AdoptResponse {}))
    }

    async fn status(
        &self,
        _request: Request<wire::StatusRequest>,
    ) -> Result<Response<wire::StatusResponse>, Status> {
        Ok(Response::new(status(self.plane.status()?)))
    }

    async fn change(
        &self,
        request: Request<wire::ChangeRequest>,
    ) -> Result<Response<wire::ChangeResponse>, Status> {
        let peer = peer(&request);
        let request = request.into_inner();
        let command = request.command.ok_or_else(|| Status::invalid_argument("no command"))?;
        let command = ControlCommand::try_from(command).map_err(invalid)?;
        let asker = Asker { by: request.by, peer };
        let log_index = self.plane.change(command, asker, self.deadline()).await?;
        Ok(Response::new(wire::ChangeResponse { log_index }))
    }

    async fn snapshot(
        &self,
        request: Request<wire::SnapshotRequest>,
    ) -> Result<Response<wire::SnapshotResponse>, Status> {
        let shards: Vec<_> = request.into_inner().shards.into_iter().map(ShardId).collect();
        let made = self.plane.snapshot(&shards, Instant::now() + SNAPSHOT_TIMEOUT).await?;
        let made = made.into_iter();
        let snapshots =
            made.map(|(shard, index)| wire::ShardSnapshot { shard: shard.0, index }).collect();
        Ok(Response::new(wire::SnapshotResponse { snapshots }))
    }

    async fn digest(
        &self,
        request: Request<wire::DigestRequest>,
    ) -> Result<Response<wire::DigestResponse>, Status> {
        let shards: Vec<_> = request.into_inner().shards.into_iter().map(ShardId).collect();
        let made = self.plane.digests(&shards).await?;
        let digests = made.into_iter().map(|made| wire::ShardDigest {
            shard: made.shard.0,
            term: made.term,
            index: made.index,
            digest: made.digest,
        });
        Ok(Response::new(wire::DigestResponse { digests: digests.collect() }))
    }

    async fn backup(
        &self,
        request: Request<wire::BackupRequest>,
    ) -> Result<Response<Self::BackupStream>, Status> {
        let shard = ShardId(request.into_inner().shard);
        let backup = self.plane.backup(shard, self.deadline()).await?;
        Ok(Response::new(Box::pin(backup.map(Ok))))
    }
}

fn peer<T>(request: &Request<T>) -> Option<SocketAddr> {
    request.extensions().get::<Peer>().and_then(|peer| peer.address)
}

fn described(description: Description) -> wire::DescribeResponse {
    let Description { node, cluster_id, build, founding } = description;
    wire::DescribeResponse {
        node: node.id.0,
        instance: node.instance,
        cluster_id: cluster_id.unwrap_or_default(),
        protocol: node.protocol,
        build: build.to_owned(),
        registry: node.registry,
        peers: node.peers,
        founding: founding.as_ref().map(Into::into),
    }
}

fn status(status: NodeStatus) -> wire::StatusResponse {
    let nodes = status.nodes.into_iter().map(|(node, state)| wire::NodeStatus {
        node: Some(node.into()),
        state: registry_wire::NodeState::from(state).into(),
    });
    let placements = status.placements.into_iter().map(|(placement, placed)| {
        let placed = placed.map(Into::into);
        wire::ShardPlacement { placement: Some(placement.into()), placed }
    });
    let space = status.space;
    wire::StatusResponse {
        node: Some(described(status.description)),
        not_ready: status.not_ready.unwrap_or_default(),
        nodes: nodes.collect(),
        placements: placements.collect(),
        replicas: status.replicas.into_iter().map(replica).collect(),
        table_epoch: status.table_epoch,
        comets: u32::try_from(status.comets).unwrap_or(u32::MAX),
        disk_free_bytes: space.map_or(0, |space| space.free_bytes),
        disk_total_bytes: space.map_or(0, |space| space.total_bytes),
        disk_full: status.disk_full,
        replicas_founded: u32::try_from(status.replicas_founded).unwrap_or(0),
    }
}

fn replica(replica: ReplicaStatus) -> wire::ReplicaStatus {
    use wire::replica_status::Role as WireRole;
    let role = match replica.role {
        Role::Leader => WireRole::Leader,
        Role::Follower => WireRole::Follower,
        Role::Candidate => WireRole::Candidate,
        Role::Learner => WireRole::Learner,
    };
    let numbers = |nodes: Vec<NodeId>| nodes.into_iter().map(|node| node.0).collect();
    let (at, data) = (replica.progress, replica.data.unwrap_or_default());
    wire::ReplicaStatus {
        shard: replica.shard.0,
        role: role.into(),
        term: at.term,
        leader: at.leader.map_or(0, |leader| leader.0),
        last_index: at.last_index,
        committed_index: at.committed_index,
        applied_index: at.applied_index,
        snapshot_index: at.snapshot_index,
        purged_index: at.purged_index,
        voters: numbers(replica.voters),
        learners: numbers(replica.learners),
        joint: replica.joint,
        recovered: replica.recovered,
        slots: data.slots,
        routes: data.routes,
        listings: data.listings,
        next_seq: data.next_seq,
        cursor: data.cursor,
    }
}

// `UNAVAILABLE`: certainly not done, another node may, or this one later; `FAILED_PRECONDITION`: not done,
// what is there contradicts it; `INVALID_ARGUMENT`: never.
impl From<NotMember> for Status {
    fn from(_: NotMember) -> Self {
        Self::unavailable("the node belongs to no cluster yet")
    }
}

impl From<AdoptError> for Status {
    fn from(error: AdoptError) -> Self {
        let detail = error.to_string();
        match error {
            AdoptError::Invalid(_) => Self::invalid_argument(detail),
            AdoptError::Disk(_) => Self::internal(detail),
            AdoptError::OtherNode { .. }
            | AdoptError::OtherCluster { .. }
            | AdoptError::NotInPlan(_) => Self::failed_precondition(detail),
        }
    }
}

impl From<ChangeError> for Status {
    fn from(error: ChangeError) -> Self {
        let detail = error.to_string();
        match error {
            ChangeError::NotMember => NotMember.into(),
            ChangeError::NotLeader { leader } => {
                let mut status = Self::unavailable(detail);
                let leader = leader.and_then(|leader| MetadataValue::try_from(leader).ok());
                if let Some(leader) = leader {
                    status.metadata_mut().insert(LEADER, leader);
                }
                status
            }
            ChangeError::Refused(_) | ChangeError::Protocol { .. } => {
                Self::failed_precondition(detail)
            }
            ChangeError::NotAllowed(_) => Self::invalid_argument(detail),
            ChangeError::Write(error) => error.into(),
        }
    }
}

impl From<SnapshotError> for Status {
    fn from(error: SnapshotError) -> Self {
        let detail = error.to_string();
        match error {
            SnapshotError::NotMember => NotMember.into(),
            SnapshotError::NoShard(_) => Self::failed_precondition(detail),
            SnapshotError::Failed(_) => Self::internal(detail),
        }
    }
}

impl From<DigestError> for Status {
    fn from(error: DigestError) -> Self {
        let detail = error.to_string();
        match error {
            DigestError::NotMember => NotMember.into(),
            DigestError::NoShard(_) => Self::failed_precondition(detail),
            DigestError::Busy => Self::resource_exhausted(detail),
            DigestError::Failed(_) => Self::internal(detail),
        }
    }
}

impl From<BackupError> for Status {
    fn from(error: BackupError) -> Self {
        let detail = error.to_string();
        match error {
            BackupError::NotMember => NotMember.into(),
            BackupError::NoShard(_) => Self::unavailable(detail),
            BackupError::Busy => Self::resource_exhausted(detail),
            BackupError::Read(error) => error.into(),
        }
    }
}

fn invalid(error: WireError) -> Status {
    Status::invalid_argument(error.to_string())
}
