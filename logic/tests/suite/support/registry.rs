//! A registry that answers what it is told to, and remembers what it was asked.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt};
use orrery_host::{Host, Task};
use orrery_model::{Address, Slot};
use orrery_proto::common::{CometRef, Details, Route, SlotTable};
use orrery_proto::registry::registry_server::{Registry as Service, RegistryServer};
use orrery_proto::registry::{self as wire, request, response};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::serve;

/// The only shard there is.
const SHARD: u32 = 1;

pub(crate) struct Registry {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _task: Task,
}

#[derive(Default)]
struct State {
    address: Mutex<Option<SocketAddr>>,
    told: Mutex<Told>,
    changed: Notify,
}

#[derive(Default)]
struct Told {
    routes: HashMap<Address, Vec<Route>>,
    /// Answers for the next look-ups of an address, before `routes` counts.
    next: HashMap<Address, VecDeque<Vec<Route>>>,
    rooms: HashMap<Address, Vec<CometRef>>,
    next_rooms: HashMap<Address, VecDeque<Vec<CometRef>>>,
    members: Vec<wire::Member>,
    comets: Vec<wire::Comet>,
    looked_up: Vec<Address>,
    held: HashSet<Address>,
    /// Of these addresses only this look-up, counted from 1.
    held_once: HashMap<Address, usize>,
    writes: Vec<wire::Command>,
    reply: Option<wire::reply::Reply>,
    write_failure: Option<wire::failure::Reason>,
    comets_unavailable: bool,
    unavailable: bool,
    superseded: bool,
    ended: bool,
    kept_alive: usize,
    detached: usize,
}

/// A route of a connection.
pub(crate) fn route(comet: (&str, u64), conn: u64, seq: u64) -> Route {
    let comet = Some(CometRef { id: comet.0.to_owned(), incarnation: comet.1 });
    Route { seq, comet, conn, details: Some(Details::default()), bound_at_ms: 5 }
}

impl Registry {
    pub(crate) async fn start(host: &Host) -> Self {
        let state = Arc::new(State::default());
        let server = RegistryServer::new(Scripted(state.clone()));
        let router = tonic::transport::Server::builder().add_service(server);
        let (address, task) = serve(host, "127.0.0.1:0".parse().unwrap(), router).await;
        *state.address.lock() = Some(address);
        Self { address, state, _task: task }
    }

    fn tell(&self, tell: impl FnOnce(&mut Told)) {
        tell(&mut self.state.told.lock());
        self.state.changed.notify_waiters();
    }

    pub(crate) fn list_comet(&self, comet: wire::Comet) {
        self.tell(|told| {
            told.comets
                .retain(|c| c.comet.as_ref().unwrap().id != comet.comet.as_ref().unwrap().id);
            told.comets.push(comet);
        });
    }

    pub(crate) fn bind(&self, address: Address, routes: Vec<Route>) {
        self.tell(|told| drop(told.routes.insert(address, routes)));
    }

    /// Answers the next look-up of an address like this, once.
    pub(crate) fn answer_next(&self, address: Address, routes: Vec<Route>) {
        self.tell(|told| told.next.entry(address).or_default().push_back(routes));
    }

    pub(crate) fn list_room(&self, room: Address, comets: &[(&str, u64)]) {
        self.tell(|told| drop(told.rooms.insert(room, refs(comets))));
    }

    pub(crate) fn answer_room_next(&self, room: Address, comets: &[(&str, u64)]) {
        self.tell(|told| told.next_rooms.entry(room).or_default().push_back(refs(comets)));
    }

    pub(crate) fn set_members(&self, members: Vec<wire::Member>) {
        self.tell(|told| told.members = members);
    }

    /// Answers no look-up of an address until [`Registry::release`].
    pub(crate) fn hold(&self, address: Address) {
        self.tell(|told| {
            told.held.insert(address);
        });
    }

    /// Does not answer one look-up of an address, counted from 1, until [`Registry::release`].
    pub(crate) fn hold_once(&self, address: Address, number: usize) {
        self.tell(|told| {
            told.held_once.insert(address, number);
        });
    }

    pub(crate) fn release(&self, address: &Address) {
        self.tell(|told| {
            told.held.remove(address);
            told.held_once.remove(address);
        });
    }

    pub(crate) fn set_unavailable(&self, unavailable: bool) {
        self.tell(|told| told.unavailable = unavailable);
    }

    pub(crate) fn set_comets_unavailable(&self, unavailable: bool) {
        self.tell(|told| told.comets_unavailable = unavailable);
    }

    pub(crate) fn set_reply(&self, reply: wire::reply::Reply) {
        self.tell(|told| told.reply = Some(reply));
    }

    pub(crate) fn fail_writes(&self, reason: wire::failure::Reason) {
        self.tell(|told| told.write_failure = Some(reason));
    }

    pub(crate) fn set_superseded(&self) {
        self.tell(|told| told.superseded = true);
    }

    pub(crate) fn set_ended(&self) {
        self.tell(|told| told.ended = true);
    }

    pub(crate) fn writes(&self) -> Vec<wire::Command> {
        self.state.told.lock().writes.clone()
    }

    pub(crate) fn kept_alive(&self) -> usize {
        self.state.told.lock().kept_alive
    }

    pub(crate) fn detached(&self) -> usize {
        self.state.told.lock().detached
    }

    /// How many look-ups of an address have begun.
    pub(crate) fn look_ups(&self, address: &Address) -> usize {
        self.state.told.lock().looked_up.iter().filter(|a| *a == address).count()
    }
}

fn refs(comets: &[(&str, u64)]) -> Vec<CometRef> {
    let one = |(id, incarnation): &(&str, u64)| CometRef {
        id: (*id).to_owned(),
        incarnation: *incarnation,
    };
    comets.iter().map(one).collect()
}

struct Scripted(Arc<State>);

impl State {
    async fn answer(&self, request: wire::Request) -> wire::Response {
        let kind = match request.kind.expect("a request has a kind") {
            request::Kind::Locate(locate) => self.locate(locate).await,
            request::Kind::Members(members) => self.members(&members),
            request::Kind::Count(_) => {
                let count = self.told.lock().members.len() as u64;
                response::Kind::Counted(wire::Counted { count })
            }
            request::Kind::CometRoutes(asked) => self.comet_routes(&asked),
            request::Kind::Write(command) => self.write(command),
        };
        wire::Response { id: request.id, kind: Some(kind), log_index: 1 }
    }

    async fn locate(&self, locate: wire::Locate) -> response::Kind {
        let address = Address::try_from(locate.address.unwrap()).unwrap();
        // What is true when the look-up begins is what it tells, however long it is held.
        let (number, located) = {
            let mut told = self.told.lock();
            told.looked_up.push(address.clone());
            let number = told.looked_up.iter().filter(|a| **a == address).count();
            let next = told.next.get_mut(&address).and_then(VecDeque::pop_front);
            let routes = next.or_else(|| told.routes.get(&address).cloned()).unwrap_or_default();
            let next = told.next_rooms.get_mut(&address).and_then(VecDeque::pop_front);
            let comets = next.or_else(|| told.rooms.get(&address).cloned()).unwrap_or_default();
            (number, wire::Located { routes, comets })
        };
        loop {
            let changed = self.changed.notified();
            let (held, unavailable) = {
                let told = self.told.lock();
                let held_once = told.held_once.get(&address) == Some(&number);
                (told.held.contains(&address) || held_once, told.unavailable)
            };
            if unavailable {
                let reason = wire::failure::Reason::Unavailable.into();
                return response::Kind::Failure(wire::Failure {
                    reason,
                    ..wire::Failure::default()
                });
            }
            if !held {
                return response::Kind::Located(located);
            }
            changed.await;
        }
    }

    fn members(&self, asked: &wire::Members) -> response::Kind {
        let told = self.told.lock();
        let key = |m: &wire::Member| {
            let address = Address::try_from(m.address.clone().unwrap()).unwrap();
            (address, m.seq)
        };
        let after = asked.after.as_ref().map(key);
        let mut members: Vec<_> =
            told.members.iter().filter(|m| after.as_ref().is_none_or(|a| key(m) > *a)).collect();
        members.sort_by_key(|m| key(m));
        let more = members.len() > asked.limit as usize;
        members.truncate(asked.limit as usize);
        let members = members.into_iter().cloned().collect();
        response::Kind::Members(wire::MembersPage { members, more, next: None })
    }

    /// The routes of a comet's life in order of (address, seq). Each answer looks at one route of whomever,
    /// so many are empty.
    fn comet_routes(&self, asked: &wire::CometRoutes) -> response::Kind {
        let told = self.told.lock();
        let mut all = Vec::new();
        for (address, routes) in &told.routes {
            all.extend(routes.iter().map(|route| (address.clone(), route.seq, route.clone())));
        }
        all.sort_by_key(|(address, seq, _)| (address.clone(), *seq));
        let after = asked
            .after
            .as_ref()
            .map(|after| (Address::try_from(after.address.clone().unwrap()).unwrap(), after.seq));
        let place = |(address, seq, _): &(Address, u64, Route)| (address.clone(), *seq);
        let mut behind = all.iter().filter(|it| after.as_ref().is_none_or(|a| place(it) > *a));
        let looked_at = behind.next();
        let more = behind.next().is_some();
        let member = |(address, seq, route): &(Address, u64, Route)| wire::Member {
            address: Some(address.into()),
            seq: *seq,
            route: Some(route.clone()),
        };
        let of = |it: &&(Address, u64, Route)| it.2.comet == asked.comet;
        let members = looked_at.filter(of).map(member).into_iter().collect();
        let next = looked_at.filter(|_| more).map(|it| wire::Member { route: None, ..member(it) });
        response::Kind::Members(wire::MembersPage { members, more, next })
    }

    fn write(&self, command: wire::Command) -> response::Kind {
        let mut told = self.told.lock();
        told.writes.push(command);
        if let Some(reason) = told.write_failure {
            let reason = reason.into();
            return response::Kind::Failure(wire::Failure { reason, ..wire::Failure::default() });
        }
        let bound = wire::Bound { seq: told.writes.len() as u64, losers: Vec::new() };
        let reply = told.reply.clone().unwrap_or(wire::reply::Reply::Bound(bound));
        response::Kind::Reply(wire::Reply { reply: Some(reply) })
    }
}

#[tonic::async_trait]
impl Service for Scripted {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<wire::SessionResponse, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<wire::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut requests = request.into_inner();
        let state = self.0.clone();
        let (answers, stream) = mpsc::channel(1024);
        let task = Host::system().tasks.spawn("scripted registry", async move {
            let mut under_way = futures_util::stream::FuturesUnordered::new();
            loop {
                tokio::select! {
                    Some(response) = under_way.next() => {
                        let responses = vec![response];
                        let sent = answers.send(Ok(wire::SessionResponse { responses })).await;
                        if sent.is_err() { return }
                    }
                    batch = requests.message() => {
                        let Ok(Some(batch)) = batch else { return };
                        for request in batch.requests {
                            let state = state.clone();
                            under_way.push(async move { state.answer(request).await });
                        }
                    }
                }
            }
        });
        // The task ends with the stream of requests.
        task.detach();
        Ok(Response::new(ReceiverStream::new(stream).boxed()))
    }

    async fn get_table(
        &self,
        _: Request<wire::GetTableRequest>,
    ) -> Result<Response<wire::GetTableResponse>, Status> {
        let owners = Slot::all().map(|_| SHARD).collect();
        let registry = self.0.address.lock().expect("it is listening").to_string();
        let node = wire::Node { id: 1, registry, ..wire::Node::default() };
        Ok(Response::new(wire::GetTableResponse {
            cluster_id: "test".into(),
            table: Some(SlotTable { epoch: 1, owners }),
            nodes: vec![node],
            ..wire::GetTableResponse::default()
        }))
    }

    async fn attach_comet(
        &self,
        _: Request<wire::AttachCometRequest>,
    ) -> Result<Response<wire::AttachCometResponse>, Status> {
        if self.0.told.lock().superseded {
            return Err(Status::failed_precondition("superseded by incarnation 9"));
        }
        Ok(Response::new(wire::AttachCometResponse {
            incarnation: 4,
            lease_ms: 10_000,
            keep_alive_ms: 2_000,
            rebind_per_second: 500,
        }))
    }

    async fn keep_alive_comet(
        &self,
        _: Request<wire::KeepAliveCometRequest>,
    ) -> Result<Response<wire::KeepAliveCometResponse>, Status> {
        let mut told = self.0.told.lock();
        told.kept_alive += 1;
        let (alive, superseded) = (!told.ended, told.superseded);
        Ok(Response::new(wire::KeepAliveCometResponse { alive, superseded }))
    }

    async fn detach_comet(
        &self,
        _: Request<wire::DetachCometRequest>,
    ) -> Result<Response<wire::DetachCometResponse>, Status> {
        self.0.told.lock().detached += 1;
        Ok(Response::new(wire::DetachCometResponse {}))
    }

    async fn list_comets(
        &self,
        _: Request<wire::ListCometsRequest>,
    ) -> Result<Response<wire::ListCometsResponse>, Status> {
        let told = self.0.told.lock();
        if told.comets_unavailable {
            return Err(Status::unavailable("the control shard has no leader"));
        }
        Ok(Response::new(wire::ListCometsResponse { comets: told.comets.clone() }))
    }
}
