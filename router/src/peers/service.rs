//! Service: what other nodes ask of this one's groups.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream;
use orrery_model::ShardId;
use orrery_proto::peers as wire;
use orrery_proto::peers::peers_server::Peers;
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::conversation::Conversation;
use super::envelope::{Envelope, Gate};
use super::refusal::Refusal;
use crate::raft::group::Group;

/// The groups of a node.
pub(crate) trait Groups: Send + Sync + 'static {
    /// The group of a shard, where this node has one.
    fn group(&self, shard: ShardId) -> Option<Arc<Group>>;

    /// All groups.
    fn groups(&self) -> Vec<Arc<Group>>;
}

/// The peers service of a node.
pub(crate) struct PeersService {
    groups: Arc<dyn Groups>,
    gate: Arc<dyn Gate>,
    stopping: watch::Receiver<bool>,
}

impl PeersService {
    /// Serves these groups to whoever the gate lets in, until `stopping` says so.
    pub(crate) fn new(
        groups: Arc<dyn Groups>,
        gate: Arc<dyn Gate>,
        stopping: watch::Receiver<bool>,
    ) -> Self {
        Self { groups, gate, stopping }
    }

    fn admit(&self, envelope: Option<wire::Envelope>) -> Result<Arc<Group>, Refusal> {
        let envelope = envelope.ok_or_else(|| missing("envelope"))?;
        let shard = ShardId(envelope.shard);
        self.gate.check(&envelope.into())?;
        self.groups.group(shard).ok_or(Refusal::NoShard(shard))
    }

    /// Ready once the node stops: what has no end of its own ends then.
    fn stop(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stopping = self.stopping.clone();
        async move {
            // An error says that the node was dropped.
            let _ = stopping.wait_for(|stopping| *stopping).await;
        }
    }
}

#[tonic::async_trait]
impl Peers for PeersService {
    type AppendStream = Pin<Box<dyn Stream<Item = Result<wire::AppendResponses, Status>> + Send>>;

    async fn vote(
        &self,
        request: Request<wire::VoteRequest>,
    ) -> Result<Response<wire::VoteResponse>, Status> {
        let mut request = request.into_inner();
        let group = self.admit(request.envelope.take())?;
        Ok(Response::new(group.handle_vote(request).await?))
    }

    async fn append(
        &self,
        request: Request<Streaming<wire::AppendRequests>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let mut requests = request.into_inner();
        let mut first = requests.message().await?.ok_or_else(|| missing("first message"))?;
        let envelope = first.envelope.take().ok_or_else(|| missing("envelope"))?;
        let envelope = Envelope::from(envelope);
        self.gate.check(&envelope)?;
        let (groups, gate) = (self.groups.clone(), self.gate.clone());
        let stop = self.stop();
        let mut conversation = Conversation::new(groups, gate, envelope, requests, stop);
        conversation.take(first)?;
        Ok(Response::new(Box::pin(conversation)))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<wire::SnapshotPart>>,
    ) -> Result<Response<wire::SnapshotResponse>, Status> {
        let mut parts = request.into_inner();
        let first = parts.message().await?.and_then(|part| part.part);
        let Some(wire::snapshot_part::Part::Begin(mut begin)) = first else {
            return Err(missing("beginning of the snapshot").into());
        };
        let group = self.admit(begin.envelope.take())?;
        Ok(Response::new(group.handle_snapshot(begin, parts, self.stop()).await?))
    }

    async fn transfer_leader(
        &self,
        request: Request<wire::TransferLeaderRequest>,
    ) -> Result<Response<wire::TransferLeaderResponse>, Status> {
        let mut request = request.into_inner();
        let group = self.admit(request.envelope.take())?;
        Ok(Response::new(group.handle_transfer(request).await?))
    }
}

fn missing(what: &str) -> Refusal {
    Refusal::Malformed(format!("the {what} is missing"))
}
