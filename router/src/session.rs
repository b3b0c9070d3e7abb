//! Session: one client's stream of requests on data shards, and of their answers in any order.
//!
//! A session is the stream that its answers are polled from: it has no task and no queue of its own, so
//! that a client that stops reading stops its own requests and nothing else.

use std::future::poll_fn;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesUnordered};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use orrery_host::{Trace, trace};
use orrery_model::ShardId;
use orrery_proto::registry as wire;
use orrery_proto::registry::failure::Reason;
use prometheus_client::metrics::gauge::Gauge;
use prost::Message as _;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Status, Streaming};
use tracing::field::Empty;
use tracing::instrument::Instrumented;
use tracing::{Instrument as _, Span};

use crate::error::failure;
use crate::limits::{RESPONSES_BYTES_MAX, RESPONSES_PER_MESSAGE_MAX, SESSION_REQUESTS_MAX};
use crate::member::Member;
use crate::request;
use crate::shards::Shards;
use crate::view::Views;

/// One session.
pub(crate) struct Session {
    /// None once the client has ended its side, or the node is stopping.
    requests: Option<Streaming<wire::SessionRequest>>,
    under_way: FuturesUnordered<Instrumented<BoxFuture<'static, wire::Response>>>,
    /// Answered, but too large for the message before.
    left: Option<wire::Response>,
    /// Not kept alive by a client that keeps its session open.
    shards: Weak<Shards>,
    views: Views,
    timeout: Duration,
    stopping: watch::Receiver<bool>,
    _open: OpenSession,
}

/// Counts a session for as long as it is open.
struct OpenSession(Gauge);

impl Drop for OpenSession {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Session {
    pub(crate) fn new(
        requests: Streaming<wire::SessionRequest>,
        member: &Member,
        timeout: Duration,
        stopping: watch::Receiver<bool>,
        open: Gauge,
    ) -> Self {
        open.inc();
        Self {
            requests: Some(requests),
            under_way: FuturesUnordered::new(),
            left: None,
            shards: Arc::downgrade(&member.shards),
            views: member.around.views.clone(),
            timeout,
            stopping,
            _open: OpenSession(open),
        }
    }

    /// The answers. Ends when the client has ended its side (or the node is stopping) and everything
    /// that was asked is answered.
    pub(crate) fn answers(
        self,
    ) -> impl Stream<Item = Result<wire::SessionResponse, Status>> + Send + 'static {
        stream::unfold(self, |mut session| async move {
            let responses = session.next_responses().await?;
            Some((Ok(wire::SessionResponse { responses }), session))
        })
    }

    async fn next_responses(&mut self) -> Option<Vec<wire::Response>> {
        loop {
            if let Some(left) = self.left.take() {
                return Some(self.pack(left).await);
            }
            if self.requests.is_none() && self.under_way.is_empty() {
                return None;
            }
            let room = self.under_way.len() < SESSION_REQUESTS_MAX;
            tokio::select! {
                // Answers first: they make room.
                biased;
                Some(first) = self.under_way.next(), if !self.under_way.is_empty() => {
                    return Some(self.pack(first).await);
                }
                in_order = stopped(&mut self.stopping), if self.requests.is_some() => {
                    self.requests = None;
                    if !in_order {
                        // The node is gone, and nobody answers what is under way.
                        return None;
                    }
                }
                message = next_message(&mut self.requests), if room && self.requests.is_some() => {
                    match message {
                        Some(message) if message.requests.len() <= SESSION_REQUESTS_MAX => {
                            self.begin(message.requests);
                        }
                        // Small requests in one message of the largest size would be millions.
                        Some(message) => {
                            let requests = message.requests.len();
                            tracing::warn!(requests, "a session asked too much at once and is ended");
                            self.requests = None;
                        }
                        None => self.requests = None,
                    }
                }
            }
        }
    }

    fn begin(&mut self, requests: Vec<wire::Request>) {
        let now = Instant::now();
        // One for all that came at once; each entry that their writes get into follows from it.
        let span = tracing::debug_span!("requests", requests = requests.len());
        for request in requests {
            // One of its own for what somebody follows: it is found by its trace, and leads to its entry.
            let (span, trace) = follow(&span, &request);
            let answer = match trace {
                Some(_) => trace::within(trace, self.answer(request, now)).boxed(),
                None => self.answer(request, now),
            };
            self.under_way.push(answer.instrument(span));
        }
    }

    fn answer(&self, request: wire::Request, now: Instant) -> BoxFuture<'static, wire::Response> {
        let id = request.id;
        let timeout = match request.timeout_ms {
            0 => self.timeout,
            ms => self.timeout.min(Duration::from_millis(ms.into())),
        };
        let shard = ShardId(request.shard);
        let held = self.shards.upgrade().and_then(|shards| shards.get(shard));
        let answer = match held {
            Some(shard) => request::answer(shard, request.kind, now + timeout).boxed(),
            None => std::future::ready(Err(self.not_here(shard))).boxed(),
        };
        let answer = answer.map(move |answer| {
            let response = request::response(id, answer);
            Span::current().record("index", response.log_index);
            response
        });
        answer.boxed()
    }

    /// Says that a shard is not here, and who should know.
    fn not_here(&self, shard: ShardId) -> wire::Failure {
        let leader = self.views.now().preferred_leader(shard).filter(|_| shard != ShardId::CONTROL);
        let detail = format!("this node has no replica of shard {shard}");
        let leader = leader.map_or(0, |leader| leader.0);
        wire::Failure { leader, ..failure(Reason::NoShard, detail) }
    }

    /// Packs what is answered by now into one message.
    async fn pack(&mut self, first: wire::Response) -> Vec<wire::Response> {
        let mut bytes = first.encoded_len();
        let mut responses = vec![first];
        while responses.len() < RESPONSES_PER_MESSAGE_MAX {
            // With the task's own waker: an answer that comes next must wake the session.
            let next = poll_fn(|cx| Poll::Ready(self.under_way.poll_next_unpin(cx))).await;
            let Poll::Ready(Some(next)) = next else { break };
            bytes += next.encoded_len();
            if bytes > RESPONSES_BYTES_MAX {
                self.left = Some(next);
                break;
            }
            responses.push(next);
        }
        responses
    }
}

/// The span of a request, and the trace it belongs to, where that is followed here.
fn follow(batch: &Span, request: &wire::Request) -> (Span, Option<Trace>) {
    let trace = match batch.is_disabled() {
        true => None,
        false => Trace::parse(&request.traceparent),
    };
    let span = match trace {
        Some(trace) => tracing::debug_span!(
            parent: batch,
            "request",
            trace = %trace.id(),
            shard = request.shard,
            index = Empty,
        ),
        None => batch.clone(),
    };
    (span, trace)
}

/// Waits until the node is stopping; false where it is gone.
async fn stopped(stopping: &mut watch::Receiver<bool>) -> bool {
    stopping.wait_for(|stopping| *stopping).await.is_ok()
}

/// The next message; none when the client has ended its side or is gone.
async fn next_message(
    requests: &mut Option<Streaming<wire::SessionRequest>>,
) -> Option<wire::SessionRequest> {
    match requests.as_mut()?.message().await {
        Ok(message) => message,
        Err(status) => {
            tracing::debug!(%status, "a session broke off");
            None
        }
    }
}
