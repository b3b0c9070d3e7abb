//! Network: how a shard's core reaches its replicas on other nodes, through the [`Peers`] handed in.

use std::future::Future;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use openraft::{AnyError, OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use orrery_model::{NodeId, ShardId};
use tokio::time::timeout;

use super::snapshot::SnapshotFile;
use super::types::{PeerAddress, Types};

/// What a call to another node gives.
pub(crate) type PeerResult<T> = Result<T, PeerError>;

/// Why another node gave no answer. Trying again later may help; the core does so by itself.
#[derive(Debug, Clone, thiserror::Error)]
#[error("node {node} cannot be reached: {detail}")]
pub(crate) struct PeerError {
    pub(crate) node: NodeId,
    pub(crate) detail: String,
}

/// Another node's replica of a shard.
#[derive(Debug, Clone)]
pub(crate) struct PeerReplica {
    pub(crate) shard: ShardId,
    pub(crate) node: NodeId,
    /// `host:port` of its peers service.
    pub(crate) address: String,
}

/// The other nodes of the cluster. A call may be dropped before it has ended.
pub(crate) trait Peers: Send + Sync + 'static {
    /// Sends entries, or a heartbeat when there are none.
    fn append<'a>(
        &'a self,
        to: &'a PeerReplica,
        request: AppendEntriesRequest<Types>,
    ) -> BoxFuture<'a, PeerResult<AppendEntriesResponse<Types>>>;

    /// Asks for a vote, or (`pre`) whether one would be given.
    fn vote<'a>(
        &'a self,
        to: &'a PeerReplica,
        request: VoteRequest<Types>,
        pre: bool,
    ) -> BoxFuture<'a, PeerResult<VoteResponse<Types>>>;

    /// Sends a whole snapshot.
    fn snapshot<'a>(
        &'a self,
        to: &'a PeerReplica,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, SnapshotFile>,
    ) -> BoxFuture<'a, PeerResult<SnapshotResponse<Types>>>;

    /// Asks a replica to take the leadership over.
    fn transfer_leader<'a>(
        &'a self,
        to: &'a PeerReplica,
        request: TransferLeaderRequest<Types>,
    ) -> BoxFuture<'a, PeerResult<TransferLeaderResponse<Types>>>;
}

/// A node that is the whole cluster: there is nobody to be reached.
pub(crate) struct Alone;

impl Alone {
    fn nobody<T: Send + 'static>(to: &PeerReplica) -> BoxFuture<'_, PeerResult<T>> {
        let detail = format!("shard {} has no replica at {:?}", to.shard, to.address);
        Box::pin(std::future::ready(Err(PeerError { node: to.node, detail })))
    }
}

impl Peers for Alone {
    fn append<'a>(
        &'a self,
        to: &'a PeerReplica,
        _request: AppendEntriesRequest<Types>,
    ) -> BoxFuture<'a, PeerResult<AppendEntriesResponse<Types>>> {
        Self::nobody(to)
    }

    fn vote<'a>(
        &'a self,
        to: &'a PeerReplica,
        _request: VoteRequest<Types>,
        _pre: bool,
    ) -> BoxFuture<'a, PeerResult<VoteResponse<Types>>> {
        Self::nobody(to)
    }

    fn snapshot<'a>(
        &'a self,
        to: &'a PeerReplica,
        _vote: VoteOf<Types>,
        _snapshot: SnapshotOf<Types, SnapshotFile>,
    ) -> BoxFuture<'a, PeerResult<SnapshotResponse<Types>>> {
        Self::nobody(to)
    }

    fn transfer_leader<'a>(
        &'a self,
        to: &'a PeerReplica,
        _request: TransferLeaderRequest<Types>,
    ) -> BoxFuture<'a, PeerResult<TransferLeaderResponse<Types>>> {
        Self::nobody(to)
    }
}

/// Makes the connections of one shard's core.
pub(crate) struct Network {
    pub(crate) shard: ShardId,
    pub(crate) peers: Arc<dyn Peers>,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &PeerAddress) -> Connection {
        let to = PeerReplica { shard: self.shard, node: NodeId(target), address: node.0.clone() };
        Connection { to, peers: self.peers.clone() }
    }
}

/// One shard's way to its replica on one node.
pub(crate) struct Connection {
    to: PeerReplica,
    peers: Arc<dyn Peers>,
}

impl RaftNetworkV2<Types> for Connection {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        Ok(within(&option, self.peers.append(&self.to, rpc)).await?)
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Ok(within(&option, self.peers.vote(&self.to, rpc, false)).await?)
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        Ok(within(&option, self.peers.vote(&self.to, rpc, true)).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        tokio::select! {
            // Whoever cancels is no longer leader: its snapshot must not be installed.
            biased;
            closed = cancel => Err(closed.into()),
            // However long it takes: a large snapshot is not a slow one.
            sent = self.peers.snapshot(&self.to, vote, snapshot) => Ok(sent.map_err(unreachable)?),
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        Ok(within(&option, self.peers.transfer_leader(&self.to, req)).await?)
    }
}

async fn within<T>(
    option: &RPCOption,
    call: impl Future<Output = PeerResult<T>>,
) -> Result<T, Unreachable<Types>> {
    match timeout(option.hard_ttl(), call).await {
        Ok(answer) => answer.map_err(unreachable),
        Err(elapsed) => Err(Unreachable::new(&AnyError::new(&elapsed))),
    }
}

/// Whatever went wrong, the core should back off before it tries that node again.
fn unreachable(error: PeerError) -> Unreachable<Types> {
    Unreachable::new(&AnyError::new(&error))
}
