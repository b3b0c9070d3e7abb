//! Link: the way to one peer. A connection for everything small, a second one for snapshots; both are
//! made when they are first needed, by tasks and never by whoever asks.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use orrery_host::{Host, Task, grpc};
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_model::{NodeId, ShardId};
use orrery_proto::peers as wire;
use orrery_proto::peers::peers_client::PeersClient;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::append_stream::AppendStream;
use super::envelope::Me;
use super::lane::Lane;
use crate::limits::LINK_PAUSE;
use crate::metrics::LinkMetrics;

/// Why another node gave no answer. Trying again later may help.
#[derive(Debug, Clone, thiserror::Error)]
#[error("node {node} cannot be reached: {detail}")]
pub(crate) struct PeerError {
    pub(crate) node: NodeId,
    pub(crate) detail: String,
}

/// The way to one peer.
pub(crate) struct Link {
    host: Host,
    me: Arc<Me>,
    metrics: LinkMetrics,
    node: NodeId,
    address: String,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// For everything small, and when it was made.
    calls: Option<(Channel, Instant)>,
    /// For snapshots.
    bulk: Option<(Channel, Instant)>,
    stream: Option<Running>,
    /// Why the last stream ended, and when.
    broken: Option<(Instant, String)>,
}

struct Running {
    stream: Arc<AppendStream>,
    _task: Task,
}

impl Link {
    pub(super) fn new(
        host: Host,
        me: Arc<Me>,
        metrics: LinkMetrics,
        node: NodeId,
        address: String,
    ) -> Self {
        Self { host, me, metrics, node, address, state: Arc::default() }
    }

    /// `host:port` of the peer.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Which node this leads to.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// The envelope of a message to the peer.
    pub(crate) fn envelope(&self, shard: ShardId) -> wire::Envelope {
        self.me.envelope(shard, self.node)
    }

    /// Opens a lane. Never waits.
    ///
    /// # Errors
    /// While the connection is given up for a moment.
    pub(crate) fn open_lane(&self) -> Result<Lane, PeerError> {
        self.stream()?.open_lane()
    }

    /// Sends a heartbeat, which passes all appends, and waits for its answer. May be dropped.
    ///
    /// # Errors
    /// When there is none within `ttl`.
    pub(crate) async fn heartbeat(
        &self,
        request: wire::AppendRequest,
        ttl: Duration,
    ) -> Result<wire::AppendResponse, PeerError> {
        let stream = self.stream()?;
        match timeout(ttl, stream.heartbeat(request)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.metrics.silent_heartbeats.inc();
                Err(self.error("no answer to a heartbeat in time"))
            }
        }
    }

    /// Asks for a vote.
    ///
    /// # Errors
    /// When there is no answer within `ttl`.
    pub(crate) async fn vote(
        &self,
        request: wire::VoteRequest,
        ttl: Duration,
    ) -> Result<wire::VoteResponse, PeerError> {
        self.call(ttl, |mut peer| async move { peer.vote(request).await }).await
    }

    /// Asks the peer to take a leadership over, or tells it who does.
    ///
    /// # Errors
    /// When there is no answer within `ttl`.
    pub(crate) async fn transfer_leader(
        &self,
        request: wire::TransferLeaderRequest,
        ttl: Duration,
    ) -> Result<wire::TransferLeaderResponse, PeerError> {
        self.call(ttl, |mut peer| async move { peer.transfer_leader(request).await }).await
    }

    /// Sends a snapshot over the connection of its own. Has no limit of time: who feeds the parts does.
    ///
    /// # Errors
    /// When the peer refuses or the connection breaks.
    pub(crate) async fn snapshot(
        &self,
        parts: impl futures_util::Stream<Item = wire::SnapshotPart> + Send + 'static,
    ) -> Result<wire::SnapshotResponse, PeerError> {
        let channel = self.connect(&mut self.state.lock().bulk)?;
        let sent_bytes = self.metrics.snapshot_bytes.clone();
        let parts = parts.inspect(move |part| {
            if let Some(wire::snapshot_part::Part::Data(data)) = &part.part {
                sent_bytes.inc_by(data.len() as u64);
            }
        });
        let sent = client(channel).snapshot(parts).await;
        sent.map(Response::into_inner).map_err(|status| self.refused(&status))
    }

    /// Gives the connection for snapshots up: what was sent on it got no answer.
    pub(crate) fn abandon_snapshots(&self) {
        self.state.lock().bulk = None;
    }

    /// Ends everything that is under way.
    pub(super) fn end(&self, reason: &str) {
        let mut state = self.state.lock();
        (state.calls, state.bulk) = (None, None);
        if let Some(running) = state.stream.take() {
            running.stream.end(reason);
        }
    }

    async fn call<T, F>(
        &self,
        ttl: Duration,
        call: impl FnOnce(PeersClient<Channel>) -> F,
    ) -> Result<T, PeerError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let begun = Instant::now();
        let channel = self.connect(&mut self.state.lock().calls)?;
        match timeout(ttl, call(client(channel))).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(self.refused(&status)),
            Err(_) => {
                self.abandon_unless_watched(begun);
                Err(self.error("no answer in time"))
            }
        }
    }

    /// Where no stream watches over the connection, a call without an answer is what tells that it may be
    /// dead: the next one makes another. An idle stream goes with it, or it would be sent on next.
    fn abandon_unless_watched(&self, begun: Instant) {
        let mut state = self.state.lock();
        let is_another = state.calls.as_ref().is_none_or(|(_, made)| *made > begun);
        let watched = |running: &Running| running.stream.is_watching(begun);
        if is_another || state.stream.as_ref().is_some_and(watched) {
            return;
        }
        // The other connection goes the same way.
        (state.calls, state.bulk) = (None, None);
        if let Some(running) = state.stream.take() {
            self.metrics.broken.inc();
            running.stream.end("a call on the same connection was not answered");
        }
    }

    fn connect(&self, slot: &mut Option<(Channel, Instant)>) -> Result<Channel, PeerError> {
        if let Some((channel, _)) = slot {
            return Ok(channel.clone());
        }
        let channel = grpc::channel(self.host.net.clone(), &self.address)
            .map_err(|error| self.error(&format!("{:?}: {error}", self.address)))?;
        *slot = Some((channel.clone(), Instant::now()));
        Ok(channel)
    }

    fn stream(&self) -> Result<Arc<AppendStream>, PeerError> {
        let mut state = self.state.lock();
        if let Some(running) = &state.stream
            && !running.stream.is_over()
        {
            return Ok(running.stream.clone());
        }
        if let Some((at, reason)) = &state.broken
            && at.elapsed() < LINK_PAUSE
        {
            return Err(self.error(reason));
        }
        let channel = self.connect(&mut state.calls)?;
        let (me, metrics) = (self.me.clone(), self.metrics.clone());
        let (stream, carrier) = AppendStream::new(me, metrics, self.node, channel);
        let (held, ended) = (self.state.clone(), stream.clone());
        let broken = self.metrics.broken.clone();
        let task = self.host.tasks.spawn("peer-appends", async move {
            let reason = carrier.run().await;
            broken.inc();
            let mut state = held.lock();
            let running = state.stream.as_ref();
            if running.is_some_and(|running| Arc::ptr_eq(&running.stream, &ended)) {
                // A connection that broke is made anew, one that says nothing is not waited for. Nor is the one
                // for snapshots, which went the same way and would be known to be dead much later.
                (state.calls, state.bulk) = (None, None);
                state.broken = Some((Instant::now(), reason));
            }
        });
        state.stream = Some(Running { stream: stream.clone(), _task: task });
        Ok(stream)
    }

    fn refused(&self, status: &Status) -> PeerError {
        self.metrics.refused.inc();
        self.error(status.message())
    }

    fn error(&self, detail: &str) -> PeerError {
        PeerError { node: self.node, detail: detail.to_owned() }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.end("the node is stopping");
    }
}

fn client(channel: Channel) -> PeersClient<Channel> {
    PeersClient::new(channel)
        .max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(INTERNAL_MESSAGE_BYTES_MAX)
}
