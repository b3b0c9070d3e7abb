//! Conversation: what one peer's append stream brings, spread over the groups, and their answers,
//! gathered into messages. A group that is slow keeps its own lanes waiting and nobody else.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, FuturesUnordered, SelectAll};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use orrery_model::ShardId;
use orrery_proto::peers as wire;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};
use tonic::{Status, Streaming};

use super::envelope::{Envelope, Gate};
use super::refusal::Refusal;
use super::service::Groups;
use crate::limits::{
    LANE_REQUESTS_MAX, LANES_PER_PEER_MAX, LINK_PULSE, PEER_ANSWERS_PER_MESSAGE_MAX,
    PEER_HEARTBEATS_WAITING_MAX,
};
use crate::raft::backlog::{Admitted, Backlog};

/// A lane of the peer.
struct Lane {
    /// Its way to the group; `None` once the lane has ended here. It stays known until the peer closes it,
    /// so that what was sent before is not taken for a new lane.
    way: Option<Way>,
    unanswered: usize,
}

/// The way to a lane's group.
struct Way {
    requests: mpsc::Sender<Admitted>,
    backlog: Arc<Backlog>,
}

/// One peer's append stream. Answers as the stream of messages that it is.
pub(super) struct Conversation {
    groups: Arc<dyn Groups>,
    gate: Arc<dyn Gate>,
    envelope: Envelope,
    requests: Streaming<wire::AppendRequests>,
    stop: BoxFuture<'static, ()>,
    lanes: BTreeMap<u64, Lane>,
    lane_answers: SelectAll<BoxStream<'static, wire::AppendResponse>>,
    heartbeats: FuturesUnordered<BoxFuture<'static, wire::AppendResponse>>,
    /// Appends taken and not answered, of all lanes.
    unanswered: usize,
    ready: Vec<wire::AppendResponse>,
    pulse: Option<Pin<Box<Sleep>>>,
    over: bool,
}

impl Conversation {
    pub(super) fn new(
        groups: Arc<dyn Groups>,
        gate: Arc<dyn Gate>,
        envelope: Envelope,
        requests: Streaming<wire::AppendRequests>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            groups,
            gate,
            envelope,
            requests,
            stop: stop.boxed(),
            lanes: BTreeMap::new(),
            lane_answers: SelectAll::new(),
            heartbeats: FuturesUnordered::new(),
            unanswered: 0,
            ready: Vec::new(),
            pulse: None,
            over: false,
        }
    }

    /// Hands a message's requests to their groups. Never waits.
    pub(super) fn take(&mut self, message: wire::AppendRequests) -> Result<(), Refusal> {
        // The cluster may have removed the peer since it began to talk.
        self.gate.check(&self.envelope)?;
        for request in message.requests {
            if request.heartbeat {
                self.take_heartbeat(request);
            } else {
                self.take_append(request)?;
            }
        }
        for lane in message.closed {
            self.end_lane(lane);
            self.lanes.remove(&lane);
        }
        Ok(())
    }

    fn end_lane(&mut self, id: u64) {
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        self.unanswered -= std::mem::take(&mut lane.unanswered);
        lane.way = None;
    }

    fn take_heartbeat(&mut self, request: wire::AppendRequest) {
        if self.heartbeats.len() >= PEER_HEARTBEATS_WAITING_MAX {
            self.ready.push(failure(&request, "OVERLOADED: too many heartbeats wait".to_owned()));
            return;
        }
        let shard = ShardId(request.shard);
        match self.groups.group(shard) {
            Some(group) => self.heartbeats.push(group.handle_heartbeat(request)),
            None => self.ready.push(failure(&request, Refusal::NoShard(shard).detail())),
        }
    }

    fn take_append(&mut self, request: wire::AppendRequest) -> Result<(), Refusal> {
        let id = request.lane;
        if !self.lanes.contains_key(&id) {
            if self.lanes.len() >= LANES_PER_PEER_MAX {
                return Err(Refusal::Malformed("too many lanes".to_owned()));
            }
            let way = self.open_lane(&request);
            self.lanes.insert(id, Lane { way, unanswered: 0 });
        }
        let Some(lane) = self.lanes.get_mut(&id) else { return Ok(()) };
        let Some(way) = &lane.way else { return Ok(()) };
        let Some(room) = way.backlog.room(&request) else {
            // What earlier lanes brought lies with a core that does not get on.
            let detail = "OVERLOADED: too many appends of the shard are unanswered";
            self.ready.push(failure(&request, detail.to_owned()));
            self.end_lane(id);
            return Ok(());
        };
        match way.requests.try_send(Admitted { request, room }) {
            Ok(()) => {
                lane.unanswered += 1;
                self.unanswered += 1;
            }
            Err(mpsc::error::TrySendError::Full(refused)) => {
                // Nobody who keeps to the contract has more under way.
                let detail = "OVERLOADED: the lane is full".to_owned();
                self.ready.push(failure(&refused.request, detail));
                self.end_lane(id);
            }
            // It ended by itself and says why.
            Err(mpsc::error::TrySendError::Closed(_)) => {}
        }
        Ok(())
    }

    fn open_lane(&mut self, first: &wire::AppendRequest) -> Option<Way> {
        let shard = ShardId(first.shard);
        let Some(group) = self.groups.group(shard) else {
            self.ready.push(failure(first, Refusal::NoShard(shard).detail()));
            return None;
        };
        let (requests, arriving) = mpsc::channel(LANE_REQUESTS_MAX);
        self.lane_answers.push(group.handle_lane(first.lane, arriving));
        Some(Way { requests, backlog: group.backlog() })
    }

    /// Collects the answers that are there.
    fn collect(&mut self, cx: &mut Context<'_>) {
        let has_room = |ready: &Vec<_>| ready.len() < PEER_ANSWERS_PER_MESSAGE_MAX;
        while has_room(&self.ready) {
            let Poll::Ready(Some(answer)) = self.heartbeats.poll_next_unpin(cx) else { break };
            self.ready.push(answer);
        }
        while has_room(&self.ready) {
            let Poll::Ready(Some(answer)) = self.lane_answers.poll_next_unpin(cx) else { break };
            // Closed meanwhile: nobody waits for it.
            let Some(lane) = self.lanes.get_mut(&answer.lane) else { continue };
            if lane.unanswered > 0 {
                lane.unanswered -= 1;
                self.unanswered -= 1;
            }
            if !matches!(answer.result, Some(wire::append_response::Result::Matched(_))) {
                self.end_lane(answer.lane);
            }
            self.ready.push(answer);
        }
    }

    /// Whether the peer, who waits for answers that are late, should hear that this node lives.
    fn pulse(&mut self, cx: &mut Context<'_>) -> bool {
        if self.unanswered == 0 && self.heartbeats.is_empty() {
            self.pulse = None;
            return false;
        }
        self.pulse.get_or_insert_with(|| Box::pin(sleep(LINK_PULSE))).as_mut().poll(cx).is_ready()
    }
}

impl Stream for Conversation {
    type Item = Result<wire::AppendResponses, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        if this.stop.poll_unpin(cx).is_ready() {
            this.over = true;
            return Poll::Ready(Some(
                Err(Refusal::Ended("the node is stopping".to_owned()).into()),
            ));
        }
        this.collect(cx);
        while this.ready.len() < PEER_ANSWERS_PER_MESSAGE_MAX {
            let taken = match this.requests.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(message))) => this.take(message),
                // The peer has ended the stream, or the connection broke: nobody waits any more.
                Poll::Ready(_) => {
                    this.over = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => break,
            };
            if let Err(refusal) = taken {
                this.over = true;
                return Poll::Ready(Some(Err(refusal.into())));
            }
            this.collect(cx);
        }
        if !this.ready.is_empty() || this.pulse(cx) {
            this.pulse = None;
            let responses = std::mem::take(&mut this.ready);
            return Poll::Ready(Some(Ok(wire::AppendResponses { responses })));
        }
        Poll::Pending
    }
}

fn failure(request: &wire::AppendRequest, detail: String) -> wire::AppendResponse {
    let result = Some(wire::append_response::Result::Failure(detail));
    let lane = if request.heartbeat { 0 } else { request.lane };
    wire::AppendResponse { lane, id: request.id, result }
}
