//! Edge: the service for comets. A session carries requests one way and answers the other, each request
//! on its own: a slow write never holds up a lease.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream, StreamExt};
use orrery_host::{Host, Random, Task, Trace, trace};
use orrery_model::CometId;
use orrery_proto::edge::edge_server;
use orrery_proto::edge::{
    EdgeRequest, EdgeRequests, EdgeResponse, EdgeResponses, RoomTotal, RoomTotals, edge_request,
    edge_response,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use tracing::{Instrument as _, Span, field};

use crate::edge::desk::Desk;
use crate::limits::{
    EDGE_LEASE_REQUESTS_MAX, EDGE_REQUESTS_MAX, EDGE_RESPONSES_PER_BATCH_MAX,
    EDGE_RESPONSES_WAITING_MAX, TOTALS_PER_MESSAGE_MAX,
};
use crate::online::Online;

mod audit;
pub(crate) mod desk;

/// The gRPC service.
pub(crate) struct EdgeService {
    desk: Arc<Desk>,
    online: Online,
    host: Host,
    stopped: CancellationToken,
}

impl EdgeService {
    pub(crate) fn new(
        desk: Arc<Desk>,
        online: Online,
        host: Host,
        stopped: CancellationToken,
    ) -> Self {
        Self { desk, online, host, stopped }
    }
}

#[tonic::async_trait]
impl edge_server::Edge for EdgeService {
    type SessionStream = Answers;

    async fn session(
        &self,
        request: Request<Streaming<EdgeRequests>>,
    ) -> Result<Response<Answers>, Status> {
        let (answers, waiting) = mpsc::channel(EDGE_RESPONSES_WAITING_MAX);
        let session = Session {
            requests: request.into_inner(),
            answers,
            desk: self.desk.clone(),
            online: self.online.clone(),
            totals: self.online.changes(),
            random: self.host.random.clone(),
            comet: None,
            under_way: FuturesUnordered::new(),
            leases: 0,
        };
        let stopped = self.stopped.clone();
        let task = self.host.tasks.spawn("edge session", async move {
            // Stopped or ended by the comet: either way nothing is left to do.
            let _ = stopped.run_until_cancelled(session.run()).await;
        });
        Ok(Response::new(Answers { waiting, _task: task }))
    }
}

/// The answers of a session; dropping them ends it.
pub(crate) struct Answers {
    waiting: mpsc::Receiver<EdgeResponses>,
    _task: Task,
}

impl Stream for Answers {
    type Item = Result<EdgeResponses, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.waiting.poll_recv(cx).map(|responses| responses.map(Ok))
    }
}

/// An answer that is ready, and whether it was about a lease.
type Ready = (EdgeResponse, bool);

/// One session.
struct Session {
    requests: Streaming<EdgeRequests>,
    answers: mpsc::Sender<EdgeResponses>,
    desk: Arc<Desk>,
    online: Online,
    totals: watch::Receiver<u64>,
    random: Arc<dyn Random>,
    /// Whose session it is, as far as its leases told.
    comet: Option<CometId>,
    under_way: FuturesUnordered<BoxFuture<'static, Ready>>,
    /// How many of those under way are about leases.
    leases: usize,
}

impl Session {
    /// Runs until either side ends it. Requests under way are then abandoned: the comet repeats what it
    /// has no answer to.
    async fn run(mut self) {
        let _open = self.desk.metrics.edge_session();
        while self.step().await.is_some() {}
    }

    async fn step(&mut self) -> Option<()> {
        tokio::select! {
            biased;
            // Answers first: they make room for requests.
            Some(first) = self.under_way.next() => self.answer(first).await,
            requests = self.requests.message() => {
                let requests = match requests {
                    Ok(requests) => requests?,
                    Err(status) => {
                        tracing::debug!(%status, comet = ?self.comet, "edge session broke");
                        return None;
                    }
                };
                for request in requests.requests {
                    self.begin(request);
                }
                Some(())
            }
            changed = self.totals.changed() => {
                changed.ok()?;
                self.tell_totals().await
            }
        }
    }

    /// Begins a request.
    fn begin(&mut self, request: EdgeRequest) {
        let EdgeRequest { id, kind, traceparent } = request;
        let Some(kind) = kind else {
            let failure = Desk::failure("the kind of the request is not known here");
            return self.ready(id, failure);
        };
        let lease = match &kind {
            edge_request::Kind::Attach(attach) => Some(attach.comet.as_str()),
            edge_request::Kind::KeepAlive(comet) | edge_request::Kind::Detach(comet) => {
                Some(comet.id.as_str())
            }
            edge_request::Kind::Received(received) => return self.desk.received(received),
            edge_request::Kind::Authenticate(_)
            | edge_request::Kind::Write(_)
            | edge_request::Kind::Audit(_)
            | edge_request::Kind::AuditRoutes(_) => None,
        };
        if let Some(comet) = lease {
            self.comet = CometId::new(comet).ok();
        }
        let is_lease = lease.is_some();
        let full = match is_lease {
            true => self.leases >= EDGE_LEASE_REQUESTS_MAX,
            false => self.under_way.len() - self.leases >= EDGE_REQUESTS_MAX,
        };
        if full {
            return self.ready(id, Desk::failure("too many requests of this comet are under way"));
        }
        self.leases += usize::from(is_lease);
        let (span, trace) = self.follow(&kind, &traceparent);
        let desk = self.desk.clone();
        let answer = async move {
            let answer = trace::within(trace, desk.answer(kind)).instrument(span);
            (EdgeResponse { id, kind: answer.await }, is_lease)
        };
        self.under_way.push(answer.boxed());
    }

    /// The span of a request, and the trace it belongs to. A device that connects is known and bound under the
    /// one that its comet began.
    fn follow(&self, kind: &edge_request::Kind, traceparent: &str) -> (Span, Option<Trace>) {
        let request = Desk::word(kind);
        let comet = self.comet.as_ref().map(field::display);
        let span = tracing::debug_span!("edge_request", request, comet, trace = field::Empty);
        let trace = Trace::of(&span, Trace::parse(traceparent), &*self.random);
        (span, trace)
    }

    /// An answer that needs no work.
    fn ready(&mut self, id: u64, kind: edge_response::Kind) {
        let ready = (EdgeResponse { id, kind: Some(kind) }, false);
        self.under_way.push(std::future::ready(ready).boxed());
    }

    /// Sends what is ready, together.
    async fn answer(&mut self, first: Ready) -> Option<()> {
        let mut responses = Vec::new();
        let mut next = Some(first);
        while let Some((response, is_lease)) = next {
            self.leases -= usize::from(is_lease);
            responses.push(response);
            if responses.len() == EDGE_RESPONSES_PER_BATCH_MAX {
                break;
            }
            next = self.under_way.next().now_or_never().flatten();
        }
        self.answers.send(EdgeResponses { responses }).await.ok()
    }

    /// Tells the comet the totals of the rooms that it reported.
    async fn tell_totals(&mut self) -> Option<()> {
        let census = self.online.census();
        let Some(counted) = self.comet.as_ref().and_then(|comet| census.comet(comet)) else {
            return Some(());
        };
        for rooms in counted.rooms.chunks(TOTALS_PER_MESSAGE_MAX) {
            let total = |(room, _): &(String, u32)| RoomTotal {
                room: room.clone(),
                count: census.room(room),
            };
            let totals = RoomTotals { totals: rooms.iter().map(total).collect() };
            let kind = Some(edge_response::Kind::RoomTotals(totals));
            let responses = vec![EdgeResponse { id: 0, kind }];
            self.answers.send(EdgeResponses { responses }).await.ok()?;
        }
        Some(())
    }
}
