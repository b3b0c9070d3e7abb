//! Edge: the stream to logic. Requests go out in batches through whichever logic is reachable; what
//! stays unanswered is the asker's to repeat. What the comet's life hangs on waits for nothing else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use orrery_host::{Host, Task, Trace, trace};
use orrery_proto::edge::edge_client::EdgeClient;
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::edge::edge_response::Kind as Response;
use orrery_proto::edge::{EdgeRequest, EdgeRequests, EdgeResponses};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::config::Config;
use crate::error::StartError;
use crate::limits::{
    EDGE_BATCH, EDGE_LEASE_QUEUE, EDGE_OUTBOUND, EDGE_QUEUE, EDGE_UNANSWERED_MAX, REPEAT_PAUSE,
    REPEAT_PAUSE_MAX,
};
use crate::metrics::Metrics;
use crate::totals::Totals;

/// Nobody answered in time: whether the request was carried out is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no answer from logic")]
pub(crate) struct Unanswered;

/// A request on its way to the stream; without a return address it is not answered.
struct Asked {
    request: Request,
    answer: Option<oneshot::Sender<Response>>,
    /// What it is asked for, where anybody follows that.
    trace: Option<Trace>,
}

/// The way to logic. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Edge {
    queue: mpsc::Sender<Asked>,
    /// What is about the comet's lease.
    leases: mpsc::Sender<Asked>,
    heard_at: Arc<Mutex<Instant>>,
    patience: Duration,
    metrics: Arc<Metrics>,
}

impl Edge {
    /// Starts the stream's task, which ends with the returned owner.
    ///
    /// # Errors
    /// [`StartError::Logic`] when a configured address is not one.
    pub(crate) fn start(
        config: &Config,
        host: &Host,
        totals: Arc<Totals>,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, Task), StartError> {
        let connect = |address: &String| {
            orrery_host::grpc::channel(host.net.clone(), address)
                .map_err(|source| StartError::Logic { address: address.clone(), source })
        };
        let logics = config.logic.iter().map(connect).collect::<Result<Vec<_>, _>>()?;
        let (queue, queued) = mpsc::channel(EDGE_QUEUE);
        let (leases, lease_asked) = mpsc::channel(EDGE_LEASE_QUEUE);
        let heard_at = Arc::new(Mutex::new(Instant::now()));
        let patience = config.edge_request();
        let edge =
            Self { queue, leases, heard_at: heard_at.clone(), patience, metrics: metrics.clone() };
        let mut sessions = Sessions {
            queued,
            lease_asked,
            next_id: 1,
            unanswered: HashMap::new(),
            waiting_since: None,
            heard_at,
            patience,
            totals,
            metrics,
        };
        // Comets that start together should not all choose the same logic.
        let first = host.random.below(logics.len() as u64) as usize;
        let task = host.tasks.spawn("edge", async move { sessions.run(&logics, first).await });
        Ok((edge, task))
    }

    /// Asks logic and waits for the answer.
    ///
    /// # Errors
    /// [`Unanswered`] when none came in time; the asker may repeat the same request.
    pub(crate) async fn request(&self, request: Request) -> Result<Response, Unanswered> {
        let (answer, answered) = oneshot::channel();
        let ask = async {
            let asked = Asked { request, answer: Some(answer), trace: trace::current() };
            self.way_of(&asked.request).send(asked).await.map_err(|_| Unanswered)?;
            answered.await.map_err(|_| Unanswered)
        };
        timeout(self.patience, ask).await.unwrap_or(Err(Unanswered))
    }

    fn way_of(&self, request: &Request) -> &mpsc::Sender<Asked> {
        match request {
            Request::Attach(_) | Request::KeepAlive(_) | Request::Detach(_) => &self.leases,
            Request::Authenticate(_)
            | Request::Write(_)
            | Request::Received(_)
            | Request::Audit(_)
            | Request::AuditRoutes(_) => &self.queue,
        }
    }

    /// Tells logic something that is not answered. It is dropped when the queue is full.
    pub(crate) fn tell(&self, request: Request) {
        if self.queue.try_send(Asked { request, answer: None, trace: None }).is_err() {
            self.metrics.upstream_dropped.inc();
        }
    }

    /// How long logic has not said anything.
    pub(crate) fn silent_for(&self) -> Duration {
        self.heard_at.lock().elapsed()
    }
}

/// The stream's side: one session at a time, with one logic after the other.
struct Sessions {
    queued: mpsc::Receiver<Asked>,
    lease_asked: mpsc::Receiver<Asked>,
    next_id: u64,
    unanswered: HashMap<u64, oneshot::Sender<Response>>,
    /// Since when a request waits while nothing at all was heard.
    waiting_since: Option<Instant>,
    heard_at: Arc<Mutex<Instant>>,
    patience: Duration,
    totals: Arc<Totals>,
    metrics: Arc<Metrics>,
}

impl Sessions {
    async fn run(&mut self, logics: &[Channel], first: usize) {
        let mut pause = REPEAT_PAUSE;
        for turn in first.. {
            let began = Instant::now();
            let why = self.session(logics[turn % logics.len()].clone()).await;
            self.metrics.edge_connected.set(0);
            // Dropping the return addresses tells each asker.
            self.unanswered.clear();
            self.waiting_since = None;
            if began.elapsed() > REPEAT_PAUSE_MAX {
                pause = REPEAT_PAUSE;
            }
            tracing::warn!(reason = %why, "the session with logic ended");
            sleep(pause).await;
            pause = (pause * 2).min(REPEAT_PAUSE_MAX);
        }
    }

    /// Runs one session until it breaks.
    async fn session(&mut self, logic: Channel) -> String {
        let (outbound, requests) = mpsc::channel::<EdgeRequests>(EDGE_OUTBOUND);
        let mut client = EdgeClient::new(logic);
        let opening = timeout(self.patience, client.session(ReceiverStream::new(requests)));
        let mut responses = match opening.await {
            Ok(Ok(opened)) => opened.into_inner(),
            Ok(Err(status)) => return status.to_string(),
            Err(_) => return "no answer to its opening".to_owned(),
        };
        tracing::info!("session with logic");
        self.metrics.edge_connected.set(1);
        let mut sweep = interval(Duration::from_secs(1));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut asked = Vec::with_capacity(EDGE_BATCH);
        let mut urgent = Vec::with_capacity(EDGE_LEASE_QUEUE);
        let mut batch = EdgeRequests::default();
        loop {
            let room = self.unanswered.len() < EDGE_UNANSWERED_MAX;
            tokio::select! {
                biased;
                // Rare, and what notices a logic that hangs.
                _ = sweep.tick() => {
                    self.unanswered.retain(|_, answer| !answer.is_closed());
                    if self.waiting_since.is_some_and(|since| since.elapsed() > self.patience) {
                        return "it does not answer".to_owned();
                    }
                }
                // Answers make room for requests.
                response = responses.message() => match response {
                    Ok(Some(responses)) => self.take(responses),
                    Ok(None) => return "it closed the session".to_owned(),
                    Err(status) => return status.to_string(),
                },
                // Writes that a shard leaves unanswered may fill the rest: neither behind them nor in their
                // places, or the comet's life would end with a few of its routes.
                n = self.lease_asked.recv_many(&mut urgent, EDGE_LEASE_QUEUE),
                    if batch.requests.len() <= EDGE_BATCH =>
                {
                    if n == 0 {
                        // Each way in is gone; the owner of this task is about to drop it.
                        std::future::pending::<()>().await;
                    }
                    batch.requests.extend(urgent.drain(..).filter_map(|asked| self.enter(asked)));
                }
                permit = outbound.reserve(), if !batch.requests.is_empty() => match permit {
                    Ok(permit) => permit.send(std::mem::take(&mut batch)),
                    Err(_) => return "it stopped taking requests".to_owned(),
                },
                n = self.queued.recv_many(&mut asked, EDGE_BATCH),
                    if room && batch.requests.is_empty() =>
                {
                    if n == 0 {
                        // As above.
                        std::future::pending::<()>().await;
                    }
                    batch.requests.extend(asked.drain(..).filter_map(|asked| self.enter(asked)));
                }
            }
        }
    }

    /// Numbers a request and remembers whom its answer is for.
    fn enter(&mut self, asked: Asked) -> Option<EdgeRequest> {
        let id = self.next_id;
        if let Some(answer) = asked.answer {
            if answer.is_closed() {
                return None;
            }
            self.unanswered.insert(id, answer);
            self.waiting_since.get_or_insert_with(Instant::now);
        }
        self.next_id += 1;
        let traceparent = asked.trace.map(|trace| trace.to_string()).unwrap_or_default();
        Some(EdgeRequest { id, kind: Some(asked.request), traceparent })
    }

    fn take(&mut self, responses: EdgeResponses) {
        *self.heard_at.lock() = Instant::now();
        self.waiting_since = None;
        for response in responses.responses {
            match response.kind {
                Some(Response::RoomTotals(totals)) => self.totals.update(totals, Instant::now()),
                Some(kind) => {
                    if let Some(answer) = self.unanswered.remove(&response.id) {
                        // An asker that gave up has repeated its request or no longer cares.
                        let _ = answer.send(kind);
                    }
                }
                None => tracing::warn!(id = response.id, "logic sent an answer of an unknown kind"),
            }
        }
    }
}

/// The other end of an edge whose requests a test answers by hand.
#[cfg(test)]
pub(crate) struct ByHand(mpsc::Receiver<Asked>);

#[cfg(test)]
impl ByHand {
    pub(crate) fn new() -> (Edge, Self) {
        let (queue, asked) = mpsc::channel(EDGE_QUEUE);
        let heard_at = Arc::new(Mutex::new(Instant::now()));
        let patience = Duration::from_secs(60);
        let edge =
            Edge { leases: queue.clone(), queue, heard_at, patience, metrics: Arc::default() };
        (edge, Self(asked))
    }

    /// Answers the next request.
    pub(crate) async fn answer(&mut self, response: impl FnOnce(Request) -> Response) {
        let asked = self.0.recv().await.expect("the edge lives");
        let _ = asked.answer.expect("it waits for an answer").send(response(asked.request));
    }
}
