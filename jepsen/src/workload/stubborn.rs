//! Stubborn: a reader that asks one router, whoever leads, and waits for it as long as it takes. It must never be
//! shown an old state. What waits in the sockets of a node that is stopped is answered when it goes on, by one who
//! may lead no more.

use std::io;
use std::time::Duration;

use futures_util::stream;
use hyper_util::rt::TokioIo;
use judge::history::{Locate, Op};
use orrery_model::Route;
use orrery_proto::registry::registry_client::RegistryClient;
use orrery_proto::registry::{self as wire, Request, SessionRequest, request, response};
use rand::rngs::SmallRng;
use tokio::time::timeout;
use tonic::codegen::http::Uri;
use tonic::transport::{Channel, Endpoint};

use super::bed::Bed;
use super::words;
use crate::recorder::{Process, Said};

/// How long the node is waited for: longer than most pauses.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may take. None is kept alive by anything but what is asked.
const CONNECT: Duration = Duration::from_millis(500);

/// How many times the pause of others it makes between two questions: most are refused.
const SLOWER: u32 = 3;

/// A reader that asks one router by its name.
pub struct Stubborn {
    bed: Bed,
    process: Process,
    chance: SmallRng,
    /// Where the router's registry listens.
    node: String,
    connection: Option<RegistryClient<Channel>>,
}

impl Stubborn {
    /// One who asks this node.
    pub fn new(bed: Bed, node: &str) -> Self {
        let (process, chance) = (bed.recorder.process(), bed.chance(&format!("stubborn {node}")));
        let bed = Bed { pace: bed.pace * SLOWER, ..bed };
        Self { bed, process, chance, node: node.to_owned(), connection: None }
    }

    /// Reads until it is told to end.
    pub async fn run(mut self) {
        while self.bed.asks() {
            let key = self.bed.user(&mut self.chance);
            self.locate(&key).await;
            self.bed.pause(&mut self.chance).await;
        }
    }

    async fn locate(&mut self, key: &str) {
        let address = words::address(key);
        let table = self.bed.client.table();
        let Some(slots) = table.as_ref().map(|table| &table.slots) else { return };
        let shard = slots.owner(address.slot()).0;
        let locate = wire::Locate { address: Some((&address).into()), stale_ok: false };
        let asked = Request {
            id: 1,
            shard,
            epoch: slots.epoch,
            kind: Some(request::Kind::Locate(locate)),
            ..Request::default()
        };
        self.process.invoke(Some(key), Op::Locate(Locate { stale: false, routes: None }));
        match timeout(PATIENCE, self.ask(asked)).await {
            Ok(Ok((routes, log_index))) => {
                let op = Op::Locate(Locate { stale: false, routes: Some(routes) });
                let said =
                    Said { shard: Some(shard), log_index: Some(log_index), ..Said::default() };
                self.process.ok(op, said);
            }
            Ok(Err(why)) => self.process.fail(why.as_str(), Said::default()),
            Err(_) => {
                self.connection = None;
                self.process.fail("no answer in time", Said::default());
            }
        }
    }

    async fn ask(&mut self, asked: Request) -> Result<(Vec<judge::history::Route>, u64), String> {
        let said = |error: &dyn std::error::Error| error.to_string();
        let client = match &mut self.connection {
            Some(client) => client,
            none => none.insert(connect(&self.bed, &self.node).map_err(|error| said(&error))?),
        };
        let session = client.session(stream::iter([SessionRequest { requests: vec![asked] }]));
        let mut answers = session.await.map_err(|status| status.to_string())?.into_inner();
        let answer = answers.message().await.map_err(|status| status.to_string())?;
        let answer = answer.and_then(|message| message.responses.into_iter().next());
        let answer = answer.ok_or("the session ended without an answer")?;
        match answer.kind {
            Some(response::Kind::Located(located)) => {
                let routes = located.routes.into_iter().map(Route::try_from);
                let routes: Vec<Route> =
                    routes.collect::<Result<_, _>>().map_err(|error| said(&error))?;
                let route = |route: &Route| words::route(&route.comet, route.conn.0, route.seq.0);
                Ok((routes.iter().map(route).collect(), answer.log_index))
            }
            Some(response::Kind::Failure(failure)) => {
                Err(format!("{:?}: {}", failure.reason(), failure.detail))
            }
            other => Err(format!("an answer to another question: {other:?}")),
        }
    }
}

/// A connection, made when first used, over the network of the world.
fn connect(bed: &Bed, node: &str) -> Result<RegistryClient<Channel>, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{node}"))?;
    let endpoint = endpoint.connect_timeout(CONNECT).tcp_nodelay(true);
    let net = bed.host.net.clone();
    let connect = move |uri: Uri| {
        let net = net.clone();
        async move {
            let authority = uri.authority().ok_or(io::ErrorKind::InvalidInput)?;
            Ok::<_, io::Error>(TokioIo::new(net.connect(authority.as_str()).await?))
        }
    };
    let channel = endpoint.connect_with_connector_lazy(tower::service_fn(connect));
    Ok(RegistryClient::new(channel))
}
