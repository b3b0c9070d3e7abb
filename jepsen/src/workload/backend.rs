//! Backend: pushes messages to users, keys, rooms and everybody through the push API, writes down what the
//! receipts say, and asks who is online.

use std::collections::BTreeMap;
use std::time::Duration;

use judge::history::{EVERYBODY, Online, Op, Push, Seen};
use orrery_host::grpc;
use orrery_model::{Address, Id};
use orrery_proto::push::push_service_client::PushServiceClient;
use orrery_proto::push::target::Target as Kind;
use orrery_proto::push::{
    Broadcast, ConnectionInfo, Keys, ListConnectionsRequest, PushRequest, PushResponse, Target,
    Users, WaitFor,
};
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::READ_TIMEOUT;
use super::bed::Bed;
use super::device::OP;
use super::edge::Edge;
use super::receipt::receipt;
use crate::recorder::{Process, Said};

/// An operation that only devices which accept everything want.
const RARE_OP: i32 = 1001;

/// Of so many pushes one is of that operation.
const RARE_ONE_IN: u32 = 10;

/// Of so many pushes one may go where its address was a moment ago.
const STALE_ONE_IN: u32 = 16;

/// Of so many questions one is who of a user is online.
const ONLINE_ONE_IN: u32 = 4;

/// Pause between two looks of who only watches, about.
const WATCH: Duration = Duration::from_millis(150);

/// How much longer than it allows the other side a backend waits for the answer.
const GRACE: Duration = Duration::from_millis(300);

/// One backend.
pub struct Backend {
    bed: Bed,
    edge: Edge,
    process: Process,
    chance: SmallRng,
    name: String,
    /// Connections to logics, by their place; one that failed is made anew.
    channels: BTreeMap<usize, PushServiceClient<Channel>>,
    pushes: u64,
}

/// Why a call has no answer.
enum Unanswered {
    /// It was refused before anything was done.
    Refused(String),
    /// Nobody knows.
    Unknown(String),
}

impl Backend {
    /// A backend by its number.
    pub fn new(bed: Bed, edge: Edge, number: usize) -> Self {
        let name = format!("backend-{number}");
        let (process, chance) = (bed.recorder.process(), bed.chance(&name));
        let bed = Bed { pace: Duration::from_millis(edge.plan.push_every_ms), ..bed };
        Self { bed, edge, process, chance, name, channels: BTreeMap::new(), pushes: 0 }
    }

    /// Pushes and asks until it is told to end.
    pub async fn run(mut self) {
        while self.bed.asks() {
            if self.chance.random_ratio(1, ONLINE_ONE_IN) {
                let device = self.edge.device(&mut self.chance);
                let user = self.edge.user_of(device);
                self.online(&user).await;
            } else {
                self.push().await;
            }
            self.bed.pause(&mut self.chance).await;
        }
    }

    /// Asks about one user after the other until it is told to end, so that nobody comes or goes unseen for long.
    pub async fn watch(mut self, users: Vec<String>) {
        self.bed.pace = WATCH;
        for user in users.iter().cycle() {
            if !self.bed.asks() {
                return;
            }
            self.online(user).await;
            self.bed.pause(&mut self.chance).await;
        }
    }

    async fn push(&mut self) {
        self.pushes += 1;
        let message = format!("{}-{}", self.name, self.pushes);
        let (to, target) = self.target();
        let waits_written = self.chance.random_bool(0.5);
        let request = PushRequest {
            target: Some(Target { target: Some(target) }),
            op: if self.chance.random_ratio(1, RARE_ONE_IN) { RARE_OP } else { OP },
            body: message.clone().into_bytes().into(),
            wait_for: if waits_written { WaitFor::Written } else { WaitFor::Queued }.into(),
            stale_ok: self.chance.random_ratio(1, STALE_ONE_IN),
            ..PushRequest::default()
        };
        let allowed = Duration::from_millis(self.chance.random_range(300..3_000));
        let op = |receipt| Op::Push(Push { message: message.clone(), to: to.clone(), receipt });
        self.process.invoke(None, op(None));
        let answer = self
            .call(allowed, request, |mut client, request| async move { client.push(request).await })
            .await;
        match answer {
            Ok(response) => {
                let response: PushResponse = response;
                let conn_of = |seq| self.edge.conn_of(&to, seq);
                let receipt = receipt(&response, conn_of);
                self.process.ok(op(Some(receipt)), Said::default());
            }
            Err(Unanswered::Refused(why)) => {
                self.process.fail(why.as_str(), Said::default());
            }
            Err(Unanswered::Unknown(why)) => self.process.info(why.as_str()),
        }
    }

    /// Whom a push is for, in the words of the history and of the API.
    fn target(&mut self) -> (String, Kind) {
        let device = self.edge.device(&mut self.chance);
        match self.chance.random_range(0..20) {
            0..9 => {
                let user = self.edge.user_of(device);
                (user.clone(), Kind::Users(Users { ids: vec![user] }))
            }
            9..13 => {
                let key = self.edge.key_of(device);
                (key.clone(), Kind::Keys(Keys { ids: vec![key] }))
            }
            13..19 => {
                let room = self.edge.hall(&mut self.chance);
                (room.clone(), Kind::Room(room))
            }
            _ => (EVERYBODY.to_owned(), Kind::Broadcast(Broadcast::default())),
        }
    }

    /// Asks which connections a user has. How many, if there was an answer.
    pub(super) async fn online(&mut self, user: &str) -> Option<usize> {
        self.process.invoke(Some(user), Op::Online(Online::default()));
        let request =
            ListConnectionsRequest { user: user.to_owned(), ..ListConnectionsRequest::default() };
        let answer = self
            .call(READ_TIMEOUT, request, |mut client, request| async move {
                client.list_connections(request).await
            })
            .await;
        match answer {
            Ok(response) => {
                let seen = |one: ConnectionInfo| Seen {
                    comet: one.comet,
                    incarnation: one.incarnation,
                    seq: one.seq,
                };
                let connections: Vec<Seen> = response.connections.into_iter().map(seen).collect();
                let count = connections.len();
                let online = Online { connections: Some(connections) };
                let address = Id::new(user).ok().map(Address::user);
                let shard = address.and_then(|address| self.bed.shard(&address));
                self.process.ok(Op::Online(online), Said { shard, ..Said::default() });
                Some(count)
            }
            Err(Unanswered::Refused(why) | Unanswered::Unknown(why)) => {
                self.process.fail(why.as_str(), Said::default());
                None
            }
        }
    }

    /// Calls any logic.
    async fn call<Asked, Answer, Called>(
        &mut self,
        allowed: Duration,
        asked: Asked,
        call: impl FnOnce(PushServiceClient<Channel>, Request<Asked>) -> Called,
    ) -> Result<Answer, Unanswered>
    where
        Called: Future<Output = Result<Response<Answer>, Status>>,
    {
        let at = self.chance.random_range(0..self.edge.logics.len());
        let client = self.client(at)?;
        let mut request = Request::new(asked);
        request.set_timeout(allowed);
        let error = match timeout(allowed + GRACE, call(client, request)).await {
            Ok(Ok(answer)) => return Ok(answer.into_inner()),
            Ok(Err(status)) => status,
            Err(_) => Status::deadline_exceeded("no answer in time"),
        };
        let why = format!("{:?}: {}", error.code(), error.message());
        match error.code() {
            // Logic says so, with details always, before anything is sent.
            Code::ResourceExhausted if !error.details().is_empty() => Err(Unanswered::Refused(why)),
            Code::InvalidArgument | Code::Unimplemented | Code::NotFound => {
                self.bed.recorder.harness_failure(format!("{}: {why}", self.name));
                Err(Unanswered::Refused(why))
            }
            _ => {
                // A connection that died without a word is noticed late.
                self.channels.remove(&at);
                Err(Unanswered::Unknown(why))
            }
        }
    }

    fn client(&mut self, at: usize) -> Result<PushServiceClient<Channel>, Unanswered> {
        if let Some(client) = self.channels.get(&at) {
            return Ok(client.clone());
        }
        let channel = grpc::channel(self.bed.host.net.clone(), &self.edge.logics[at])
            .map_err(|error| Unanswered::Refused(error.to_string()))?;
        let client = PushServiceClient::new(channel);
        self.channels.insert(at, client.clone());
        Ok(client)
    }
}
