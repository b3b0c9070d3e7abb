//! A router node that does what its script says, and remembers what it was asked.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use orrery_host::{Host, Task, grpc};
use orrery_model::cluster::PROTOCOL;
use orrery_model::command::{Bind, Bound, Command, Outcome};
use orrery_model::control::Node;
use orrery_model::limits::SLOTS;
use orrery_model::{
    Address, CometRef, Conn, Details, Id, Incarnation, NodeId, Policy, Seq, ShardId, SlotTable,
};
use orrery_proto::registry as wire;
use orrery_proto::registry::registry_server::{Registry, RegistryServer};
use orrery_proto::registry::{Failure, Request, failure, response};
use orrery_router_client::{Client, Config};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tonic::{Response, Status, Streaming};

/// Longer than anything here takes unless it is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the node does with a request.
pub(crate) enum Act {
    Answer(response::Kind),
    /// Answers after a while.
    Late(Duration, response::Kind),
    /// Never answers this one.
    Silence,
    /// Breaks the stream, with everything that arrived in the same message unanswered.
    Break,
}

type Script = Box<dyn FnMut(&Request) -> Act + Send>;

/// One scripted node.
pub(crate) struct Scripted {
    pub(crate) address: String,
    inner: Arc<Inner>,
    _server: Task,
}

struct Inner {
    script: Mutex<Script>,
    /// Every message that arrived, in order.
    messages: watch::Sender<Vec<Vec<Request>>>,
    table: Mutex<Option<wire::GetTableResponse>>,
    tables_given: AtomicUsize,
    /// Sessions open now.
    sessions: watch::Sender<usize>,
    attach: Mutex<VecDeque<(Duration, Result<wire::AttachCometResponse, Status>)>>,
    silent: AtomicBool,
    keep_alive: Mutex<VecDeque<Result<wire::KeepAliveCometResponse, Status>>>,
    comets: Mutex<Vec<wire::Comet>>,
    attached: Mutex<Vec<wire::Attach>>,
}

impl Scripted {
    /// A node on a free port that has no table yet and answers nothing.
    pub(crate) async fn start() -> Self {
        let host = Host::system();
        let listener = host.net.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let inner = Arc::new(Inner {
            script: Mutex::new(Box::new(|_| Act::Silence)),
            messages: watch::Sender::default(),
            table: Mutex::default(),
            tables_given: AtomicUsize::new(0),
            sessions: watch::Sender::default(),
            attach: Mutex::default(),
            silent: AtomicBool::new(false),
            keep_alive: Mutex::default(),
            comets: Mutex::default(),
            attached: Mutex::default(),
        });
        let service = RegistryServer::new(Service(inner.clone()));
        let server = host.tasks.spawn("scripted node", async move {
            let server = tonic::transport::Server::builder().add_service(service);
            server.serve_with_incoming(grpc::incoming(listener)).await.unwrap();
        });
        Self { address, inner, _server: server }
    }

    /// Says what is done with each request from now on.
    pub(crate) fn on(&self, script: impl FnMut(&Request) -> Act + Send + 'static) {
        *self.inner.script.lock() = Box::new(script);
    }

    pub(crate) fn serve_table(&self, cluster_id: &str, table: &SlotTable, nodes: &[&Scripted]) {
        self.serve_table_at(0, cluster_id, table, nodes);
    }

    /// Tells at which index of the control shard's log the table was so.
    pub(crate) fn serve_table_at(
        &self,
        log_index: u64,
        cluster_id: &str,
        table: &SlotTable,
        nodes: &[&Scripted],
    ) {
        let numbered = nodes.iter().zip(1..).map(|(node, id)| Node {
            id: NodeId(id),
            registry: node.address.clone(),
            peers: String::new(),
            instance: String::new(),
            protocol: PROTOCOL,
        });
        *self.inner.table.lock() = Some(wire::GetTableResponse {
            cluster_id: cluster_id.to_owned(),
            table: Some(table.into()),
            nodes: numbered.map(Into::into).collect(),
            log_index,
        });
    }

    pub(crate) fn tables_given(&self) -> usize {
        self.inner.tables_given.load(Ordering::SeqCst)
    }

    /// Waits until so many tables more were given. All but the last one have been looked at by whoever asked
    /// for them, where that is one client.
    pub(crate) async fn gives_tables(&self, more: usize) {
        let enough = self.tables_given() + more;
        let given = async {
            while self.tables_given() < enough {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, given).await.expect("somebody asks for the table");
    }

    /// All requests that arrived, in order.
    pub(crate) fn seen(&self) -> Vec<Request> {
        self.inner.messages.borrow().concat()
    }

    pub(crate) fn message_sizes(&self) -> Vec<usize> {
        self.inner.messages.borrow().iter().map(Vec::len).collect()
    }

    /// Waits until this many requests have arrived.
    pub(crate) async fn seen_at_least(&self, requests: usize) {
        let mut messages = self.inner.messages.subscribe();
        let arrived = messages.wait_for(|messages| messages.concat().len() >= requests);
        timeout(PATIENCE, arrived).await.expect("the requests arrive").unwrap();
    }

    /// Waits until this many sessions are open.
    pub(crate) async fn sessions(&self, open: usize) {
        let mut sessions = self.inner.sessions.subscribe();
        let reached = sessions.wait_for(|sessions| *sessions == open);
        timeout(PATIENCE, reached).await.expect("the sessions open or end").unwrap();
    }

    pub(crate) fn will_attach(&self, result: Result<wire::AttachCometResponse, Status>) {
        self.will_attach_late(Duration::ZERO, result);
    }

    /// Answers an attach after a while.
    pub(crate) fn will_attach_late(
        &self,
        after: Duration,
        result: Result<wire::AttachCometResponse, Status>,
    ) {
        self.inner.attach.lock().push_back((after, result));
    }

    pub(crate) fn will_keep_alive(&self, result: Result<wire::KeepAliveCometResponse, Status>) {
        self.inner.keep_alive.lock().push_back(result);
    }

    pub(crate) fn attached(&self) -> Vec<wire::Attach> {
        self.inner.attached.lock().clone()
    }

    /// Answers no keep-alive any more.
    pub(crate) fn falls_silent(&self) {
        self.inner.silent.store(true, Ordering::SeqCst);
    }

    pub(crate) fn has_comets(&self, comets: Vec<wire::Comet>) {
        *self.inner.comets.lock() = comets;
    }
}

/// Counts a session as long as it lives.
struct Open(Arc<Inner>);

impl Open {
    fn new(inner: Arc<Inner>) -> Self {
        inner.sessions.send_modify(|open| *open += 1);
        Self(inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.sessions.send_modify(|open| *open -= 1);
    }
}

struct Service(Arc<Inner>);

impl Inner {
    /// Plays the script for a message; answers come in the reverse order of their requests, late ones
    /// after the others.
    fn play(&self, requests: Vec<Request>) -> BoxStream<'static, Result<Answers, Status>> {
        let mut script = self.script.lock();
        let acts: Vec<_> = requests.iter().map(|request| (request.id, script(request))).collect();
        drop(script);
        self.messages.send_modify(|messages| messages.push(requests));
        let (mut responses, mut late) = (Vec::new(), Vec::new());
        for (id, act) in acts.into_iter().rev() {
            let response = |kind| wire::Response { id, kind: Some(kind), log_index: id * 10 };
            match act {
                Act::Answer(kind) => responses.push(response(kind)),
                Act::Late(after, kind) => late.push((after, response(kind))),
                Act::Silence => {}
                Act::Break => {
                    let broken = Err(Status::internal("broken by the script"));
                    return stream::iter([broken]).boxed();
                }
            }
        }
        let late = stream::iter(late).then(|(after, response)| async move {
            tokio::time::sleep(after).await;
            Ok(Answers { responses: vec![response] })
        });
        stream::iter([Ok(Answers { responses })]).chain(late).boxed()
    }
}

type Answers = wire::SessionResponse;

#[tonic::async_trait]
impl Registry for Service {
    type SessionStream = BoxStream<'static, Result<wire::SessionResponse, Status>>;

    async fn session(
        &self,
        request: tonic::Request<Streaming<wire::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let open = Open::new(self.0.clone());
        let responses =
            request.into_inner().flat_map_unordered(None, move |message| match message {
                Ok(message) => open.0.play(message.requests),
                Err(status) => stream::iter([Err(status)]).boxed(),
            });
        Ok(Response::new(responses.boxed()))
    }

    async fn get_table(
        &self,
        _: tonic::Request<wire::GetTableRequest>,
    ) -> Result<Response<wire::GetTableResponse>, Status> {
        let table = self.0.table.lock().clone();
        let table = table.ok_or_else(|| Status::unavailable("starting"))?;
        self.0.tables_given.fetch_add(1, Ordering::SeqCst);
        Ok(Response::new(table))
    }

    async fn attach_comet(
        &self,
        request: tonic::Request<wire::AttachCometRequest>,
    ) -> Result<Response<wire::AttachCometResponse>, Status> {
        self.0.attached.lock().push(request.into_inner().attach.unwrap());
        let result = self.0.attach.lock().pop_front();
        let Some((after, result)) = result else { return Err(Status::unavailable("no leader")) };
        tokio::time::sleep(after).await;
        result.map(Response::new)
    }

    async fn keep_alive_comet(
        &self,
        _: tonic::Request<wire::KeepAliveCometRequest>,
    ) -> Result<Response<wire::KeepAliveCometResponse>, Status> {
        if self.0.silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        let result = self.0.keep_alive.lock().pop_front();
        result.unwrap_or_else(|| Err(Status::unavailable("no leader"))).map(Response::new)
    }

    async fn detach_comet(
        &self,
        _: tonic::Request<wire::DetachCometRequest>,
    ) -> Result<Response<wire::DetachCometResponse>, Status> {
        // Did it, or did not: its answer is lost.
        Err(Status::unknown("the connection broke"))
    }

    async fn list_comets(
        &self,
        _: tonic::Request<wire::ListCometsRequest>,
    ) -> Result<Response<wire::ListCometsResponse>, Status> {
        Ok(Response::new(wire::ListCometsResponse { comets: self.0.comets.lock().clone() }))
    }
}

/// An address where nobody listens: it was free a moment ago.
pub(crate) async fn nobody() -> String {
    let listener = Host::system().net.listen(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    listener.local_addr().unwrap().to_string()
}

/// A table of one epoch whose slots are dealt to the shards in turn.
pub(crate) fn table(epoch: u64, shards: &[u32]) -> SlotTable {
    let owners = shards.iter().cycle().take(SLOTS).copied().map(ShardId).collect();
    SlotTable::new(epoch, owners).unwrap()
}

/// Nodes that know each other and one table of one shard, and a client told of all of them.
pub(crate) async fn cluster(nodes: usize) -> (Vec<Scripted>, Client) {
    cluster_with(nodes, &table(1, &[1]), 2_000).await
}

pub(crate) async fn cluster_with(
    count: usize,
    table: &SlotTable,
    attempt_timeout_ms: u64,
) -> (Vec<Scripted>, Client) {
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(Scripted::start().await);
    }
    let all: Vec<_> = nodes.iter().collect();
    for node in &nodes {
        node.serve_table("c", table, &all);
    }
    let seeds = nodes.iter().map(|node| node.address.clone()).collect();
    (nodes, client(seeds, attempt_timeout_ms))
}

pub(crate) fn client(nodes: Vec<String>, attempt_timeout_ms: u64) -> Client {
    let config = Config { nodes, attempt_timeout_ms, ..Config::default() };
    Client::new(config, Host::system())
}

pub(crate) fn soon() -> Instant {
    Instant::now() + PATIENCE
}

pub(crate) fn within(ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(ms)
}

pub(crate) fn id(text: &str) -> Id {
    Id::new(text).unwrap()
}

pub(crate) fn user(text: &str) -> Address {
    Address::user(id(text))
}

pub(crate) fn comet() -> CometRef {
    CometRef { id: id("comet-1"), incarnation: Incarnation(3) }
}

pub(crate) fn bind(user_id: &str, conn: u64) -> Command {
    Command::Bind(Bind {
        address: user(user_id),
        comet: comet(),
        conn: Conn(conn),
        details: Details::default(),
        policy: Policy::default(),
        settled: Conn(1),
        rank: None,
    })
}

/// The answer to a bind.
pub(crate) fn bound(seq: u64) -> Act {
    let bound = Bound { seq: Seq(seq), losers: Vec::new() };
    Act::Answer(response::Kind::Reply(Ok(Outcome::Bound(bound)).into()))
}

/// The answer to a locate that finds nothing.
pub(crate) fn offline() -> Act {
    Act::Answer(response::Kind::Located(wire::Located::default()))
}

/// The answer that suits a bind or a locate.
pub(crate) fn fitting(request: &Request) -> Act {
    match request.kind {
        Some(wire::request::Kind::Write(_)) => bound(1),
        _ => offline(),
    }
}

pub(crate) fn failed(reason: failure::Reason) -> Act {
    failed_with(Failure { reason: reason.into(), ..Failure::default() })
}

pub(crate) fn failed_with(failure: Failure) -> Act {
    Act::Answer(response::Kind::Failure(failure))
}

pub(crate) fn led_by(leader: u64) -> Act {
    let reason = failure::Reason::NotLeader.into();
    failed_with(Failure { reason, leader, ..Failure::default() })
}
