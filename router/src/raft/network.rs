//! Network: how a shard's core reaches its replicas on other nodes, through the links that all share.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _, stream};
use openraft::base::{BoxFuture, BoxStream};
use openraft::entry::RaftEntry as _;
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::{SnapshotOf, VoteOf};
use openraft::{AnyError, OptionalSend, RaftNetworkFactory, RaftNetworkV2};
use orrery_host::Tasks;
use orrery_model::{NodeId, ShardId};
use orrery_proto::peers as wire;
use seeded_bugs::Bug;
use tokio::time::{Instant, sleep_until};

use super::entry::decode_entry;
use super::sending::send_snapshot;
use super::snapshot::SnapshotFile;
use super::types::{LogId, PeerAddress, Types};
use super::wire as convert;
use crate::limits::{LANE_BYTES_MAX, LANE_IDLE_MAX, LANE_REQUESTS_MAX};
use crate::peers::lane::{Lane, LaneSender};
use crate::peers::{Link, Links, PeerError};

type RpcResult<T> = Result<T, RPCError<Types>>;

/// Makes the connections of one shard's core.
pub(crate) struct Network {
    pub(crate) shard: ShardId,
    pub(crate) peers: Arc<Links>,
    pub(crate) tasks: Arc<dyn Tasks>,
}

impl Network {
    fn connection(&self, target: u64, node: &PeerAddress, heartbeats: bool) -> Connection {
        Connection {
            shard: self.shard,
            node: NodeId(target),
            address: node.0.clone(),
            peers: self.peers.clone(),
            tasks: self.tasks.clone(),
            heartbeats,
        }
    }
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &PeerAddress) -> Connection {
        self.connection(target, node, false)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &PeerAddress) -> Connection {
        self.connection(target, node, true)
    }
}

/// One shard's way to its replica on one node.
pub(crate) struct Connection {
    shard: ShardId,
    node: NodeId,
    /// Where the shard's membership says that the node is.
    address: String,
    peers: Arc<Links>,
    tasks: Arc<dyn Tasks>,
    /// Carries heartbeats, which pass the appends, and nothing else.
    heartbeats: bool,
}

impl Connection {
    fn link(&self) -> Arc<Link> {
        self.peers.link(self.node, &self.address)
    }

    fn refused(&self, detail: impl ToString) -> Unreachable<Types> {
        unreachable(PeerError { node: self.node, detail: detail.to_string() })
    }

    async fn heartbeat(
        &self,
        request: AppendEntriesRequest<Types>,
        option: &RPCOption,
    ) -> RpcResult<StreamAppendResult<Types>> {
        let request = convert::append_request(self.shard, &request);
        let link = self.link();
        let answer = link.heartbeat(request, option.soft_ttl()).await.map_err(unreachable)?;
        Ok(convert::append_answer(answer).map_err(|detail| self.refused(detail))?)
    }

    async fn ask_vote(
        &self,
        request: VoteRequest<Types>,
        pre_vote: bool,
        option: &RPCOption,
    ) -> RpcResult<VoteResponse<Types>> {
        let link = self.link();
        let mut request = convert::vote_request(&request, pre_vote);
        request.envelope = Some(link.envelope(self.shard));
        let answer = link.vote(request, option.hard_ttl()).await.map_err(unreachable)?;
        Ok(convert::vote_response_from_wire(answer).map_err(|error| self.refused(error))?)
    }
}

impl RaftNetworkV2<Types> for Connection {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> RpcResult<AppendEntriesResponse<Types>> {
        // The core streams all its appends; what is sent alone goes the way of heartbeats.
        self.heartbeat(rpc, &option).await.map(Into::into)
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, RpcResult<BoxStream<'s, RpcResult<StreamAppendResult<Types>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<Types>> + OptionalSend + Unpin + 'static,
    {
        if self.heartbeats {
            return Box::pin(async move {
                let answers = stream::once(async move {
                    let request = input.next().await?;
                    Some(self.heartbeat(request, &option).await)
                });
                let answers = answers.filter_map(std::future::ready);
                Ok(Box::pin(answers) as BoxStream<'s, _>)
            });
        }
        Box::pin(async move {
            // The core's pauses after an error are in its requests: whoever failed before asking for one
            // would be called again at once, and for ever.
            let Some(first) = input.next().await else {
                return Ok(Box::pin(stream::empty()) as BoxStream<'s, _>);
            };
            let lane = self.link().open_lane().map_err(unreachable)?;
            let mut pipeline = Pipeline::new(self.shard, lane, input);
            pipeline.take(&first);
            let answers = stream::unfold(Some(pipeline), |pipeline| async move {
                let mut pipeline = pipeline?;
                let answer = pipeline.next().await?;
                // Any answer but a match ends the stream; the core begins another one.
                let goes_on = matches!(answer, Ok(Ok(_)));
                Some((answer, goes_on.then_some(pipeline)))
            });
            Ok(Box::pin(answers) as BoxStream<'s, _>)
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<Types>> {
        self.ask_vote(rpc, false, &option).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<Types>> {
        self.ask_vote(rpc, true, &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<Types>,
        snapshot: SnapshotOf<Types, SnapshotFile>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let link = self.link();
        tokio::select! {
            // Whoever cancels is no longer leader: its snapshot must not be installed.
            biased;
            closed = cancel => Err(closed.into()),
            sent = send_snapshot(&self.tasks, &link, self.shard, vote, snapshot) => {
                Ok(sent.map_err(unreachable)?)
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> RpcResult<TransferLeaderResponse<Types>> {
        let link = self.link();
        let mut request = convert::transfer_request(&req);
        request.envelope = Some(link.envelope(self.shard));
        let answer = link.transfer_leader(request, option.hard_ttl()).await.map_err(unreachable)?;
        match answer.refused.is_empty() {
            true => Ok(Ok(())),
            false => Err(self.refused(answer.refused).into()),
        }
    }
}

/// A lane's requests under way: as many as the limits allow, answered in order.
struct Pipeline<S> {
    shard: ShardId,
    lane: Lane,
    sender: LaneSender,
    input: S,
    input_ended: bool,
    /// Made, and waiting for room.
    pending: Option<(wire::AppendRequest, usize)>,
    /// Id and bytes of each request that was sent and is not answered.
    sent: VecDeque<(u64, usize)>,
    bytes: usize,
    last_id: u64,
    deadline: Instant,
}

impl<S> Pipeline<S>
where
    S: Stream<Item = AppendEntriesRequest<Types>> + Unpin,
{
    fn new(shard: ShardId, lane: Lane, input: S) -> Self {
        let sender = lane.sender();
        Self {
            shard,
            lane,
            sender,
            input,
            input_ended: false,
            pending: None,
            sent: VecDeque::new(),
            bytes: 0,
            last_id: 0,
            deadline: Instant::now(),
        }
    }

    /// Sends what there is to be sent until there is an answer; none once all is answered and no more
    /// comes.
    async fn next(&mut self) -> Option<RpcResult<StreamAppendResult<Types>>> {
        loop {
            if self.input_ended && self.pending.is_none() && self.sent.is_empty() {
                return None;
            }
            let has_room = self.sent.len() < LANE_REQUESTS_MAX && self.bytes < LANE_BYTES_MAX;
            let may_take = !self.input_ended && self.pending.is_none() && has_room;
            let bytes = self.pending.as_ref().map_or(0, |(_, bytes)| *bytes);
            tokio::select! {
                // Answers first: they let the leader commit, and make room.
                biased;
                answer = self.lane.answer() => return Some(self.answered(answer)),
                room = self.sender.room(bytes), if self.pending.is_some() => match room {
                    Ok(room) => {
                        let Some((request, bytes)) = self.pending.take() else { continue };
                        self.sent(request.id, bytes);
                        let last = last_sent(&request);
                        room.put(request);
                        if last.is_some() {
                            return Some(Ok(Ok(last)));
                        }
                    }
                    Err(error) => return Some(Err(unreachable(error).into())),
                },
                request = self.input.next(), if may_take => match request {
                    Some(request) => self.take(&request),
                    None => self.input_ended = true,
                },
                () = sleep_until(self.deadline), if !self.sent.is_empty() => {
                    let detail = "a replica does not answer appends".to_owned();
                    let error = PeerError { node: self.sender.node(), detail };
                    return Some(Err(unreachable(error).into()));
                }
            }
        }
    }

    fn take(&mut self, request: &AppendEntriesRequest<Types>) {
        self.last_id += 1;
        let mut request = convert::append_request(self.shard, request);
        request.id = self.last_id;
        let bytes = convert::entries_bytes(&request.entries);
        self.pending = Some((request, bytes));
    }

    fn sent(&mut self, id: u64, bytes: usize) {
        if self.sent.is_empty() {
            self.deadline = Instant::now() + LANE_IDLE_MAX;
        }
        self.sent.push_back((id, bytes));
        self.bytes += bytes;
    }

    fn answered(
        &mut self,
        answer: Result<wire::AppendResponse, PeerError>,
    ) -> RpcResult<StreamAppendResult<Types>> {
        let answer = answer.map_err(unreachable)?;
        let refused = |detail| {
            let node = self.sender.node();
            RPCError::from(unreachable(PeerError { node, detail }))
        };
        let awaited = self.sent.pop_front();
        if awaited.is_none_or(|(id, _)| id != answer.id) {
            return Err(refused(format!("answer {} is not the next one", answer.id)));
        }
        self.bytes -= awaited.map_or(0, |(_, bytes)| bytes);
        self.deadline = Instant::now() + LANE_IDLE_MAX;
        convert::append_answer(answer).map_err(refused)
    }
}

/// For a seeded bug: the last entry of a request.
fn last_sent(request: &wire::AppendRequest) -> Option<LogId> {
    if !seeded_bugs::is(Bug::SubQuorum) {
        return None;
    }
    decode_entry(request.entries.last()?.clone()).ok().map(|entry| entry.log_id())
}

/// Whatever went wrong, the core should back off before it tries that node again.
fn unreachable(error: PeerError) -> Unreachable<Types> {
    Unreachable::new(&AnyError::new(&error))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use orrery_host::Host;

    use super::*;
    use crate::peers::Me;

    #[tokio::test]
    async fn a_stream_waits_for_a_request_before_it_can_fail() {
        let me = Me {
            cluster_id: "test".to_owned(),
            node: NodeId(1),
            instance: "first".to_owned(),
            protocol: 2,
            instance_of: Default::default(),
        };
        let (host, tasks) = (Host::system(), Host::system().tasks);
        let peers = Links::new(host, me, Default::default(), |_| None);
        let network = Network { shard: ShardId(1), peers, tasks };
        let mut connection = network.connection(2, &PeerAddress("127.0.0.1:1".to_owned()), false);
        let option = RPCOption::new(Duration::from_millis(100));
        let requests = stream::pending::<AppendEntriesRequest<Types>>();
        let streaming = connection.stream_append(requests, option).now_or_never();
        assert!(streaming.is_none(), "it would be begun again without a pause");
    }
}
