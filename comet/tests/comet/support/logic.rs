//! Logic: a scripted edge service in front of a scripted registry.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use orrery_host::{Host, Task};
use orrery_model::Address;
use orrery_model::command::{Command, Refusal, Reply};
use orrery_proto::common::Policy;
use orrery_proto::common::policy::{Keep, Scope};
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::edge::edge_response::Kind as Response;
use orrery_proto::edge::edge_server::{Edge, EdgeServer};
use orrery_proto::edge::{
    Attached, Audited, Authenticate, Detached, EdgeFailure, EdgeRequest, EdgeRequests,
    EdgeResponse, EdgeResponses, Identity, KeptAlive, Refused,
};
use orrery_proto::registry::command::Kind as Write;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Status, Streaming};

use super::registry::{Registry, Route};
use super::soon;

/// What the script does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Answer,
    /// Carried out and answered only by [`Logic::release`].
    Hold,
    /// Every life of the comet so far ends first.
    Fence,
    /// The same, and keep-alives are told so too.
    Expire,
    /// Not carried out: whoever could is not there.
    Fail,
    /// Refused: the policy keeps who is there already.
    Outrank,
    /// Refused: the connection was removed before.
    Gone,
    /// Refused for now: too many removals of the comet are not settled.
    Unsettled,
    /// Carried out, and the answer lost with the whole session.
    Break,
}

type Rule = Box<dyn FnMut(&Request) -> Fate + Send>;
type Answers = mpsc::UnboundedSender<Result<EdgeResponses, Status>>;

struct Script {
    rule: Rule,
    held: Vec<(EdgeRequest, Answers)>,
    /// Everything that was asked, keep-alives aside.
    log: Vec<Request>,
    registry: Registry,
    superseded: bool,
    alive: bool,
    sessions: Vec<Answers>,
    heartbeat_max_ms: u32,
    lease_ms: u32,
    rebind_per_second: u32,
}

/// The scripted logic.
#[derive(Clone)]
pub(crate) struct Logic {
    pub(crate) address: SocketAddr,
    script: Arc<Mutex<Script>>,
    changed: Arc<Notify>,
    _server: Arc<Task>,
}

impl Logic {
    pub(crate) async fn start(host: &Host) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = host.net.listen(any).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Script {
            rule: Box::new(|_| Fate::Answer),
            held: Vec::new(),
            log: Vec::new(),
            registry: Registry::default(),
            superseded: false,
            alive: true,
            sessions: Vec::new(),
            heartbeat_max_ms: 60_000,
            lease_ms: 1000,
            rebind_per_second: 1000,
        }));
        let changed = Arc::new(Notify::new());
        let service =
            Service { script: script.clone(), changed: changed.clone(), host: host.clone() };
        let server = host.tasks.spawn("logic", async move {
            tonic::transport::Server::builder()
                .add_service(EdgeServer::new(service))
                .serve_with_incoming(orrery_host::grpc::incoming(listener))
                .await
                .unwrap();
        });
        Self { address, script, changed, _server: Arc::new(server) }
    }

    /// Says what becomes of requests from now on.
    pub(crate) fn rule(&self, rule: impl FnMut(&Request) -> Fate + Send + 'static) {
        self.script.lock().rule = Box::new(rule);
    }

    /// Says what becomes of binds on secondary addresses from now on. Everything else is answered.
    pub(crate) fn rule_second_binds(&self, fate: Fate) {
        self.rule(move |request| match request {
            Request::Write(write) => match &write.kind {
                Some(Write::Bind(bind)) if bind.details.as_ref().unwrap().primary.is_some() => fate,
                _ => Fate::Answer,
            },
            _ => Fate::Answer,
        });
    }

    /// Answers what was held, and everything from now on.
    pub(crate) fn release(&self) {
        let mut script = self.script.lock();
        script.rule = Box::new(|_| Fate::Answer);
        for (request, answers) in std::mem::take(&mut script.held) {
            let response = script.answer(request);
            send(&answers, response);
        }
        drop(script);
        self.changed.notify_waiters();
    }

    pub(crate) fn heartbeat_max_ms(&self, ms: u32) {
        self.script.lock().heartbeat_max_ms = ms;
    }

    /// The pace of the next attach reply.
    pub(crate) fn rebind_per_second(&self, n: u32) {
        self.script.lock().rebind_per_second = n;
    }

    /// The lease of the next attach reply.
    pub(crate) fn lease_ms(&self, ms: u32) {
        self.script.lock().lease_ms = ms;
    }

    /// Loses the routes of an address, behind the comet's back.
    pub(crate) fn forget(&self, address: &Address) {
        self.script.lock().registry.routes.retain(|route| route.address != *address);
    }

    /// Comes by a route, behind the comet's back.
    pub(crate) fn plant(&self, route: Route) {
        self.script.lock().registry.routes.push(route);
    }

    /// From now on a user has one connection.
    pub(crate) fn one_per_user(&self) {
        self.script.lock().registry.one_per_user = true;
    }

    /// Ends every life of the comet so far, as a lease that ran out does.
    pub(crate) fn fence(&self) {
        self.script.lock().registry.end_lives();
    }

    /// From now on keep-alives are answered so.
    pub(crate) fn alive(&self, alive: bool) {
        self.script.lock().alive = alive;
    }

    pub(crate) fn supersede(&self) {
        self.script.lock().superseded = true;
    }

    /// Breaks all sessions.
    pub(crate) fn hang_up(&self) {
        self.script.lock().sessions.clear();
    }

    pub(crate) fn send_totals(&self, room: &str, count: u32) {
        let total = orrery_proto::edge::RoomTotal { room: room.to_owned(), count };
        let totals = orrery_proto::edge::RoomTotals { totals: vec![total] };
        for answers in &self.script.lock().sessions {
            let kind = Some(Response::RoomTotals(totals.clone()));
            send(answers, Some(EdgeResponse { id: 0, kind }));
        }
    }

    pub(crate) fn incarnation(&self) -> u64 {
        self.script.lock().registry.incarnation
    }

    pub(crate) fn log(&self) -> Vec<Request> {
        self.script.lock().log.clone()
    }

    pub(crate) fn routes(&self) -> Vec<Route> {
        self.script.lock().registry.routes.clone()
    }

    /// The routes of an address.
    pub(crate) fn routes_of(&self, address: &Address) -> Vec<Route> {
        let of = |route: &Route| route.address == *address;
        self.script.lock().registry.routes.iter().filter(|route| of(route)).cloned().collect()
    }

    /// The only route of an address.
    pub(crate) fn route(&self, address: &Address) -> Route {
        let mut routes = self.routes_of(address);
        assert_eq!(routes.len(), 1, "{address} has {routes:?}");
        routes.remove(0)
    }

    /// Whether the comet is listed for a room.
    pub(crate) fn is_listed(&self, room: &Address) -> bool {
        self.script.lock().registry.is_listed(room)
    }

    /// How many requests are held.
    pub(crate) fn held(&self) -> usize {
        self.script.lock().held.len()
    }

    /// Waits until something holds of this logic.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        soon(what, async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if holds(self) {
                    return;
                }
                // The script changes also by the test's own hand.
                let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
            }
        })
        .await;
    }
}

fn send(answers: &Answers, response: Option<EdgeResponse>) {
    if let Some(response) = response {
        let _ = answers.send(Ok(EdgeResponses { responses: vec![response] }));
    }
}

impl Script {
    fn answer(&mut self, request: EdgeRequest) -> Option<EdgeResponse> {
        let kind = match request.kind? {
            Request::Attach(_) if self.superseded => {
                Response::Failure(EdgeFailure { superseded: true, ..Default::default() })
            }
            Request::Attach(_) => {
                self.alive = true;
                Response::Attached(Attached {
                    incarnation: self.registry.attach(),
                    lease_ms: self.lease_ms,
                    keep_alive_ms: 50,
                    rebind_per_second: self.rebind_per_second,
                })
            }
            Request::KeepAlive(comet) => Response::KeptAlive(KeptAlive {
                // A life that another one followed is over, however well that one is.
                alive: self.alive
                    && !self.superseded
                    && comet.incarnation == self.registry.incarnation,
                superseded: self.superseded,
            }),
            Request::Detach(_) => Response::Detached(Detached {}),
            Request::Authenticate(asked) => self.identify(&asked),
            Request::Write(command) => {
                let reply = self.registry.apply(Command::try_from(command).unwrap());
                Response::Reply((&reply).into())
            }
            Request::Received(_) => return None,
            Request::Audit(asked) => {
                let missing = asked.routes.into_iter().filter(|route| !self.registry.has(route));
                Response::Audited(Audited { missing: missing.collect() })
            }
            Request::AuditRoutes(asked) => Response::AuditedRoutes(self.registry.page(&asked)),
        };
        Some(EdgeResponse { id: request.id, kind: Some(kind) })
    }

    /// Believes what the device says; refuses the user `nobody` and what is not JSON.
    fn identify(&self, asked: &Authenticate) -> Response {
        let refused = |reason: &str| {
            Response::Refused(Refused { reason: reason.to_owned(), detail: String::new() })
        };
        let Ok(token) = serde_json::from_slice::<Value>(&asked.credentials) else {
            return refused("bad_token");
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut rooms: Vec<String> =
            token["rooms"].as_array().into_iter().flatten().map(text).collect();
        rooms.extend(token["room_id"].as_str().map(str::to_owned));
        let user = match token["mid"].as_i64() {
            Some(mid) => mid.to_string(),
            None => text(&token["user"]),
        };
        if user == "nobody" {
            return refused("unknown_user");
        }
        let accepts = token["accepts"].as_array();
        Response::Identity(Identity {
            user,
            key: match text(&token["key"]) {
                key if key.is_empty() => format!("drawn-{}", asked.conn),
                key => key,
            },
            rooms,
            platform: text(&token["platform"]),
            accepts: accepts.into_iter().flatten().map(|op| op.as_i64().unwrap() as i32).collect(),
            accepts_all: accepts.is_none() && asked.protocol == 2,
            heartbeat_ms: 1000,
            heartbeat_max_ms: self.heartbeat_max_ms,
            user_policy: token["policy"].as_str().map(one_per_user),
            ..Identity::default()
        })
    }
}

/// A user has one connection: the `oldest` or the `newest`.
fn one_per_user(keep: &str) -> Policy {
    let keep = if keep == "oldest" { Keep::Oldest } else { Keep::Unspecified };
    Policy { scope: Scope::PerAddress.into(), n: 1, keep: keep.into() }
}

struct Service {
    script: Arc<Mutex<Script>>,
    changed: Arc<Notify>,
    host: Host,
}

/// The answers of a session, which own the task that makes them.
struct Owned(UnboundedReceiverStream<Result<EdgeResponses, Status>>, #[allow(dead_code)] Task);

impl Stream for Owned {
    type Item = Result<EdgeResponses, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

#[tonic::async_trait]
impl Edge for Service {
    type SessionStream = Owned;

    async fn session(
        &self,
        request: tonic::Request<Streaming<EdgeRequests>>,
    ) -> Result<tonic::Response<Owned>, Status> {
        let (answers, outbound) = mpsc::unbounded_channel();
        self.script.lock().sessions.push(answers.clone());
        let answers = answers.downgrade();
        let (script, changed) = (self.script.clone(), self.changed.clone());
        let mut requests = request.into_inner();
        let task = self.host.tasks.spawn("logic session", async move {
            while let Ok(Some(batch)) = requests.message().await {
                let mut batch = VecDeque::from(batch.requests);
                while let Some(request) = batch.pop_front() {
                    // Once the sessions were hung up there is nobody to answer.
                    let Some(answers) = answers.upgrade() else { return };
                    take(&script, request, &answers);
                    changed.notify_waiters();
                }
            }
        });
        Ok(tonic::Response::new(Owned(UnboundedReceiverStream::new(outbound), task)))
    }
}

fn take(script: &Mutex<Script>, request: EdgeRequest, answers: &Answers) {
    let mut script = script.lock();
    let kind = request.kind.clone().expect("a request of a kind");
    let fate = (script.rule)(&kind);
    if !matches!(kind, Request::KeepAlive(_)) {
        script.log.push(kind);
    }
    match fate {
        Fate::Answer => {
            let response = script.answer(request);
            send(answers, response);
        }
        Fate::Fence | Fate::Expire => {
            script.registry.end_lives();
            script.alive &= fate == Fate::Fence;
            let response = script.answer(request);
            send(answers, response);
        }
        Fate::Fail => {
            let kind = Some(Response::Failure(EdgeFailure::default()));
            send(answers, Some(EdgeResponse { id: request.id, kind }));
        }
        Fate::Outrank => refuse(request.id, Refusal::Outranked, answers),
        Fate::Gone => refuse(request.id, Refusal::Gone, answers),
        Fate::Unsettled => refuse(request.id, Refusal::Unsettled, answers),
        Fate::Hold => script.held.push((request, answers.clone())),
        Fate::Break => {
            script.answer(request);
            script.sessions.clear();
        }
    }
}

fn refuse(id: u64, refusal: Refusal, answers: &Answers) {
    let reply: Reply = Err(refusal);
    let kind = Some(Response::Reply((&reply).into()));
    send(answers, Some(EdgeResponse { id, kind }));
}
