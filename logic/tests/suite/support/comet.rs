//! A comet that remembers what it was sent and answers as it is told to.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt, stream};
use orrery_host::{Host, Task};
use orrery_proto::common;
use orrery_proto::delivery::delivery_server::{Delivery, DeliveryServer};
use orrery_proto::delivery::{
    CensusPage, CensusRequest, Deliver, Deliveries, Outcome, Receipt, Receipts, RoomCount, Tally,
    Target, deliver,
};
use orrery_proto::registry::{Advertise, Comet as Listed};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::serve;

pub(crate) struct Comet {
    pub(crate) id: String,
    pub(crate) incarnation: u64,
    pub(crate) address: SocketAddr,
    state: Arc<State>,
    _task: Task,
}

#[derive(Default)]
struct State(Mutex<Told>);

#[derive(Default)]
struct Told {
    received: Vec<Deliver>,
    /// How many messages the deliveries came in.
    batches: usize,
    /// Outcomes of the next deliveries to a conn; afterwards it is queued.
    next: HashMap<u64, VecDeque<Outcome>>,
    tally: Option<Tally>,
    silent: bool,
    /// Answers every delivery as one for another life.
    wrong_incarnation: bool,
    census: (u64, u64, Vec<(String, u32)>),
    /// Said first on each session, and with each receipt.
    draining: Option<bool>,
}

impl Comet {
    pub(crate) async fn start(id: &str, incarnation: u64) -> Self {
        Self::start_at(id, incarnation, "127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(id: &str, incarnation: u64, address: SocketAddr) -> Self {
        let state = Arc::new(State::default());
        let server = DeliveryServer::new(Scripted(state.clone()));
        let router = tonic::transport::Server::builder().add_service(server);
        let (address, task) = serve(&Host::system(), address, router).await;
        Self { id: id.to_owned(), incarnation, address, state, _task: task }
    }

    /// As the control shard lists it.
    pub(crate) fn listed(&self) -> Listed {
        let comet = common::CometRef { id: self.id.clone(), incarnation: self.incarnation };
        let advertise = Advertise {
            delivery: self.address.to_string(),
            hostname: format!("{}.host", self.id),
            addresses: vec![format!("10.0.0.{}", self.incarnation)],
            region: "sh".into(),
            zone: "sh001".into(),
            env: "dev".into(),
            weight: 10,
        };
        Listed {
            comet: Some(comet),
            instance: "i".into(),
            attempt: 1,
            advertise: Some(advertise),
            attached_at_ms: 1_700_000_000_000,
        }
    }

    /// Its name and life, for routes.
    pub(crate) fn life(&self) -> (&str, u64) {
        (&self.id, self.incarnation)
    }

    pub(crate) fn set_silent(&self, silent: bool) {
        self.state.0.lock().silent = silent;
    }

    /// What it says of that from now on.
    pub(crate) fn set_draining(&self, draining: bool) {
        self.state.0.lock().draining = Some(draining);
    }

    pub(crate) fn set_wrong_incarnation(&self, wrong: bool) {
        self.state.0.lock().wrong_incarnation = wrong;
    }

    pub(crate) fn set_tally(&self, tally: Tally) {
        self.state.0.lock().tally = Some(tally);
    }

    pub(crate) fn set_census(&self, connections: u64, ips: u64, rooms: &[(&str, u32)]) {
        let rooms = rooms.iter().map(|(room, count)| ((*room).to_owned(), *count)).collect();
        self.state.0.lock().census = (connections, ips, rooms);
    }

    /// The next delivery to a conn ends like this.
    pub(crate) fn answer_next(&self, conn: u64, outcome: Outcome) {
        self.state.0.lock().next.entry(conn).or_default().push_back(outcome);
    }

    pub(crate) fn received(&self) -> Vec<Deliver> {
        self.state.0.lock().received.clone()
    }

    pub(crate) fn batches(&self) -> usize {
        self.state.0.lock().batches
    }

    /// The targets of all deliveries of messages to connections, in order of arrival: body and conn.
    pub(crate) fn bodies(&self) -> Vec<(String, u64)> {
        let of = |deliver: &Deliver| match &deliver.kind {
            Some(deliver::Kind::ToConnections(to)) => {
                let body = text(to.message.as_ref());
                to.targets.iter().map(|target| (body.clone(), target.conn)).collect()
            }
            _ => Vec::new(),
        };
        self.received().iter().flat_map(of).collect()
    }

    /// Closes it was told: conns and reason.
    pub(crate) fn closes(&self) -> Vec<(Vec<u64>, i32)> {
        let of = |deliver: &Deliver| match &deliver.kind {
            Some(deliver::Kind::Close(close)) => {
                Some((close.targets.iter().map(|t| t.conn).collect(), close.reason))
            }
            _ => None,
        };
        self.received().iter().filter_map(of).collect()
    }
}

fn text(message: Option<&common::Message>) -> String {
    String::from_utf8(message.expect("a delivery has a message").body.to_vec()).unwrap()
}

struct Scripted(Arc<State>);

impl Told {
    fn answer(&mut self, deliver: &Deliver) -> Receipt {
        let id = deliver.id;
        if self.wrong_incarnation {
            return Receipt { id, wrong_incarnation: true, ..Receipt::default() };
        }
        let mut outcomes = |targets: &[Target]| {
            let outcome = |target: &Target| {
                let next = self.next.get_mut(&target.conn).and_then(VecDeque::pop_front);
                let usual = if deliver.wait_written { Outcome::Written } else { Outcome::Queued };
                i32::from(next.unwrap_or(usual))
            };
            targets.iter().map(outcome).collect()
        };
        match deliver.kind.as_ref().expect("a delivery has a kind") {
            deliver::Kind::ToConnections(to) => {
                Receipt { id, outcomes: outcomes(&to.targets), ..Receipt::default() }
            }
            deliver::Kind::Close(close) => {
                Receipt { id, outcomes: outcomes(&close.targets), ..Receipt::default() }
            }
            deliver::Kind::ToRoom(_) | deliver::Kind::ToAll(_) => {
                let tally = Some(self.tally.unwrap_or_default());
                Receipt { id, tally, ..Receipt::default() }
            }
        }
    }
}

#[tonic::async_trait]
impl Delivery for Scripted {
    type SessionStream = ReceiverStream<Result<Receipts, Status>>;
    type CensusStream = Pin<Box<dyn Stream<Item = Result<CensusPage, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<Deliveries>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let mut deliveries = request.into_inner();
        let state = self.0.clone();
        let (answers, stream) = mpsc::channel(1024);
        let draining = state.0.lock().draining;
        if draining.is_some() {
            let word = Receipts { receipts: Vec::new(), draining };
            answers.try_send(Ok(word)).expect("there is room");
        }
        let task = Host::system().tasks.spawn("scripted comet", async move {
            while let Ok(Some(batch)) = deliveries.message().await {
                let (receipts, draining) = {
                    let mut told = state.0.lock();
                    told.batches += 1;
                    told.received.extend(batch.deliveries.iter().cloned());
                    let receipts = match told.silent {
                        true => Vec::new(),
                        false => batch.deliveries.iter().map(|d| told.answer(d)).collect(),
                    };
                    (receipts, told.draining)
                };
                if answers.send(Ok(Receipts { receipts, draining })).await.is_err() {
                    return;
                }
            }
        });
        // The task ends with the stream of deliveries.
        task.detach();
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn census(
        &self,
        _: Request<CensusRequest>,
    ) -> Result<Response<Self::CensusStream>, Status> {
        let (connections, ips, rooms) = self.0.0.lock().census.clone();
        let count = |(room, count): &(String, u32)| RoomCount { room: room.clone(), count: *count };
        let first = CensusPage { incarnation: 1, connections, ips, rooms: Vec::new() };
        let page = |rooms: &[(String, u32)]| CensusPage {
            incarnation: 1,
            connections: 0,
            ips: 0,
            rooms: rooms.iter().map(count).collect(),
        };
        let pages: Vec<_> =
            std::iter::once(first).chain(rooms.chunks(2).map(page)).map(Ok).collect();
        Ok(Response::new(stream::iter(pages).boxed()))
    }
}
