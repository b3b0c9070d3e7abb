//! Append stream: the one stream to a peer that carries the appends and heartbeats of all shards, and
//! brings each answer to whoever waits for it. When it breaks, all of them learn it at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream;
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_model::{NodeId, ShardId};
use orrery_proto::peers as wire;
use orrery_proto::peers::peers_client::PeersClient;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tonic::Streaming;
use tonic::transport::Channel;

use super::envelope::Me;
use super::lane::Lane;
use super::link::PeerError;
use super::outgoing::{Departing, Outgoing, Room, outgoing};
use crate::limits::{LANE_REQUESTS_MAX, LINK_OPEN_TIMEOUT, LINK_SILENCE_MAX};
use crate::metrics::LinkMetrics;

/// What arrives for a lane.
pub(super) type Answer = wire::AppendResponse;

/// The near end of a stream, shared by all who send on it.
pub(super) struct AppendStream {
    node: NodeId,
    metrics: LinkMetrics,
    outgoing: Outgoing,
    waiting: Mutex<Waiting>,
}

/// Who waits for an answer.
#[derive(Default)]
struct Waiting {
    /// The last number given to a lane or a heartbeat.
    last: u64,
    lanes: BTreeMap<u64, LaneEnd>,
    heartbeats: BTreeMap<u64, oneshot::Sender<Answer>>,
    /// Lanes that ended here, to be told to the peer.
    closed: Vec<u64>,
    /// Since when the peer has owed an answer without saying anything.
    owed_since: Option<Instant>,
    /// When the peer last said anything.
    heard: Option<Instant>,
    /// Why the stream is over.
    over: Option<Arc<str>>,
}

/// Where a lane's answers go, and how many it waits for.
struct LaneEnd {
    answers: mpsc::Sender<Answer>,
    unanswered: usize,
}

impl Waiting {
    /// Whether the peer owes an answer that somebody still waits for.
    fn owed(&self) -> bool {
        !self.heartbeats.is_empty() || self.lanes.values().any(|lane| lane.unanswered > 0)
    }
}

/// The far end: to be run by a task.
pub(super) struct Carrier {
    stream: Arc<AppendStream>,
    departing: Departing,
    me: Arc<Me>,
    channel: Channel,
}

impl AppendStream {
    pub(super) fn new(
        me: Arc<Me>,
        metrics: LinkMetrics,
        node: NodeId,
        channel: Channel,
    ) -> (Arc<Self>, Carrier) {
        let (outgoing, departing) = outgoing();
        let stream = Arc::new(Self { node, metrics, outgoing, waiting: Mutex::default() });
        (stream.clone(), Carrier { stream, departing, me, channel })
    }

    /// Which node it leads to.
    pub(super) fn node(&self) -> NodeId {
        self.node
    }

    /// Opens a lane.
    ///
    /// # Errors
    /// When the stream is over.
    pub(super) fn open_lane(self: &Arc<Self>) -> Result<Lane, PeerError> {
        let (answers, answered) = mpsc::channel(LANE_REQUESTS_MAX);
        let mut waiting = self.waiting.lock();
        if let Some(over) = &waiting.over {
            return Err(self.error(over));
        }
        waiting.last += 1;
        let id = waiting.last;
        waiting.lanes.insert(id, LaneEnd { answers, unanswered: 0 });
        Ok(Lane::new(self.clone(), id, answered))
    }

    pub(super) fn close_lane(&self, id: u64) {
        let mut waiting = self.waiting.lock();
        waiting.lanes.remove(&id);
        if waiting.over.is_none() {
            waiting.closed.push(id);
        }
        if !waiting.owed() {
            waiting.owed_since = None;
        }
    }

    /// Waits for room for a request. Cancel-safe.
    pub(super) async fn room(&self, bytes: usize) -> Result<Room, PeerError> {
        let room = self.outgoing.room(bytes).await.map_err(|_| self.broken())?;
        self.count_queue();
        Ok(room)
    }

    fn count_queue(&self) {
        self.metrics.queued_bytes.set(i64::try_from(self.outgoing.bytes()).unwrap_or(i64::MAX));
    }

    /// Sends a heartbeat, before all appends that wait, and waits for its answer. May be dropped.
    pub(super) async fn heartbeat(
        &self,
        mut request: wire::AppendRequest,
    ) -> Result<Answer, PeerError> {
        let (answer, answered) = oneshot::channel();
        let guard = {
            let mut waiting = self.waiting.lock();
            if let Some(over) = &waiting.over {
                return Err(self.error(over));
            }
            waiting.last += 1;
            request.id = waiting.last;
            waiting.heartbeats.insert(request.id, answer);
            Beating { stream: self, id: request.id }
        };
        request.heartbeat = true;
        if !self.outgoing.heartbeat(request) {
            return Err(self.error("too many heartbeats wait"));
        }
        let answer = answered.await.map_err(|_| self.broken());
        drop(guard);
        answer
    }

    /// Whether the stream is over.
    pub(super) fn is_over(&self) -> bool {
        self.waiting.lock().over.is_some()
    }

    /// Whether this stream tells if the connection is dead: it does while the peer owes an answer, which is
    /// not waited for for long, and did if the peer has spoken since. An idle one does not.
    pub(super) fn is_watching(&self, since: Instant) -> bool {
        let waiting = self.waiting.lock();
        let heard = waiting.heard.is_some_and(|heard| heard >= since);
        waiting.over.is_none() && (waiting.owed_since.is_some() || heard)
    }

    /// Ends the stream: whoever waits is told why.
    pub(super) fn end(&self, reason: &str) {
        let mut waiting = self.waiting.lock();
        waiting.over.get_or_insert_with(|| reason.into());
        // Their receivers see that nobody will answer.
        waiting.lanes.clear();
        waiting.heartbeats.clear();
        waiting.closed.clear();
        self.metrics.queued_bytes.set(0);
    }

    /// Why nothing can be sent or answered any more.
    pub(super) fn broken(&self) -> PeerError {
        let waiting = self.waiting.lock();
        self.error(waiting.over.as_deref().unwrap_or("the stream has ended"))
    }

    fn error(&self, detail: &str) -> PeerError {
        PeerError { node: self.node, detail: detail.to_owned() }
    }

    /// A message of requests, without those of lanes that have ended since.
    fn pack(&self, mut requests: Vec<wire::AppendRequest>) -> wire::AppendRequests {
        let mut waiting = self.waiting.lock();
        requests.retain(|request| match waiting.lanes.get_mut(&request.lane) {
            Some(lane) => {
                lane.unanswered += 1;
                true
            }
            None => request.heartbeat,
        });
        let closed = std::mem::take(&mut waiting.closed);
        if !requests.is_empty() {
            waiting.owed_since.get_or_insert_with(Instant::now);
        }
        wire::AppendRequests { envelope: None, requests, closed }
    }

    fn count_sent(&self, message: &wire::AppendRequests) {
        self.count_queue();
        self.metrics.sent_messages.inc();
        self.metrics.sent_bytes.inc_by(message.encoded_len() as u64);
    }

    fn receive(&self, message: wire::AppendResponses) {
        self.metrics.received_messages.inc();
        self.metrics.received_bytes.inc_by(message.encoded_len() as u64);
        let mut waiting = self.waiting.lock();
        for answer in message.responses {
            if let Some(wire::append_response::Result::Failure(_)) = answer.result {
                self.metrics.refused.inc();
            }
            if answer.lane == 0 {
                if let Some(waiter) = waiting.heartbeats.remove(&answer.id) {
                    let _ = waiter.send(answer);
                }
                continue;
            }
            let Some(lane) = waiting.lanes.get_mut(&answer.lane) else { continue };
            lane.unanswered = lane.unanswered.saturating_sub(1);
            let id = answer.lane;
            // A peer that answers what it was not asked cannot be trusted with the rest: the lane ends.
            if lane.answers.try_send(answer).is_err() {
                waiting.lanes.remove(&id);
            }
        }
        // It lives, whatever it still owes.
        let now = Instant::now();
        waiting.heard = Some(now);
        waiting.owed_since = waiting.owed().then_some(now);
    }

    fn silent(&self, now: Instant) -> bool {
        let waiting = self.waiting.lock();
        waiting.owed_since.is_some_and(|since| now - since >= LINK_SILENCE_MAX)
    }
}

/// Takes a heartbeat that is given up off the list.
struct Beating<'a> {
    stream: &'a AppendStream,
    id: u64,
}

impl Drop for Beating<'_> {
    fn drop(&mut self) {
        self.stream.waiting.lock().heartbeats.remove(&self.id);
    }
}

impl Carrier {
    /// Opens the stream and carries until it breaks; says why it did.
    pub(super) async fn run(self) -> String {
        let stream = self.stream.clone();
        let reason = self.carry().await;
        tracing::debug!(node = %stream.node, %reason, "the stream to a peer is over");
        stream.end(&reason);
        reason
    }

    async fn carry(self) -> String {
        let Self { stream, departing, me, channel } = self;
        let mut client = PeersClient::new(channel)
            .max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(INTERNAL_MESSAGE_BYTES_MAX);
        let envelope = me.envelope(ShardId::CONTROL, stream.node);
        let messages = messages(stream.clone(), departing, envelope);
        match timeout(LINK_OPEN_TIMEOUT, client.append(messages)).await {
            Ok(Ok(answers)) => receive(&stream, answers.into_inner()).await,
            Ok(Err(status)) => status.message().to_owned(),
            Err(_) => "no answer when the stream was opened".to_owned(),
        }
    }
}

/// What is sent: an envelope at once, then whatever waits.
fn messages(
    stream: Arc<AppendStream>,
    departing: Departing,
    envelope: wire::Envelope,
) -> impl futures_util::Stream<Item = wire::AppendRequests> + Send {
    let hello = wire::AppendRequests { envelope: Some(envelope), ..Default::default() };
    stream::unfold((Some(hello), departing), move |(hello, mut departing)| {
        let stream = stream.clone();
        async move {
            if let Some(hello) = hello {
                return Some((hello, (None, departing)));
            }
            loop {
                let requests = departing.next().await;
                if requests.is_empty() {
                    return None;
                }
                let message = stream.pack(requests);
                if !message.requests.is_empty() || !message.closed.is_empty() {
                    stream.count_sent(&message);
                    return Some((message, (None, departing)));
                }
            }
        }
    })
}

async fn receive(stream: &AppendStream, mut answers: Streaming<wire::AppendResponses>) -> String {
    loop {
        match timeout(LINK_SILENCE_MAX / 2, answers.message()).await {
            Ok(Ok(Some(message))) => stream.receive(message),
            Ok(Ok(None)) => return "the peer ended the stream".to_owned(),
            Ok(Err(status)) => return status.message().to_owned(),
            Err(_) if stream.silent(Instant::now()) => {
                return "the peer takes messages and does not answer".to_owned();
            }
            Err(_) => {}
        }
    }
}
