//! Stubborn: a reader that asks one router after the other, whoever leads, and waits for it as long as it takes.
//! What waits in the sockets of a node that is stopped is answered when it goes on, by one who may lead no more.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::stream;
use judge::history::{Locate, Op};
use orrery_model::Route;
use orrery_proto::registry::registry_client::RegistryClient;
use orrery_proto::registry::{self as wire, Request, SessionRequest, request, response};
use rand::Rng as _;
use rand::rngs::SmallRng;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};

use crate::recorder::{Process, Said};
use crate::workload::bed::Bed;
use crate::workload::words;

/// How long a node is waited for: longer than most pauses.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a connection may take. None is kept alive by anything but what is asked.
const CONNECT: Duration = Duration::from_millis(500);

/// A reader that asks routers by name.
pub(crate) struct Stubborn {
    bed: Bed,
    process: Process,
    chance: SmallRng,
    /// Where registries listen.
    routers: Vec<String>,
    connections: BTreeMap<usize, RegistryClient<Channel>>,
}

impl Stubborn {
    /// A reader by its name.
    pub(crate) fn new(bed: Bed, name: &str, routers: Vec<String>) -> Self {
        let (process, chance) = (bed.recorder.process(), bed.chance(name));
        Self { bed, process, chance, routers, connections: BTreeMap::new() }
    }

    /// Reads until it is told to end.
    pub(crate) async fn run(mut self) {
        while self.bed.works() {
            let key = self.bed.user(&mut self.chance);
            let at = self.chance.random_range(0..self.routers.len());
            self.locate(&key, at).await;
            self.bed.pause(&mut self.chance).await;
        }
    }

    async fn locate(&mut self, key: &str, at: usize) {
        let address = words::address(key);
        let Some((shard, epoch)) = self
            .bed
            .client
            .table()
            .map(|table| (table.slots.owner(address.slot()).0, table.slots.epoch))
        else {
            return;
        };
        let locate = wire::Locate { address: Some((&address).into()), stale_ok: false };
        let asked = Request {
            id: 1,
            shard,
            epoch,
            kind: Some(request::Kind::Locate(locate)),
            ..Request::default()
        };
        self.process.invoke(Some(key), Op::Locate(Locate { stale: false, routes: None }));
        match timeout(PATIENCE, self.ask(at, asked)).await {
            Ok(Ok((routes, log_index))) => {
                let op = Op::Locate(Locate { stale: false, routes: Some(routes) });
                self.process.ok(
                    op,
                    Said { shard: Some(shard), log_index: Some(log_index), ..Said::default() },
                );
            }
            Ok(Err(why)) => self.process.fail(why.as_str(), Said::default()),
            Err(_) => {
                self.connections.remove(&at);
                self.process.fail("no answer in time", Said::default());
            }
        }
    }

    async fn ask(
        &mut self,
        at: usize,
        asked: Request,
    ) -> Result<(Vec<judge::history::Route>, u64), String> {
        let said = |error: &dyn std::error::Error| error.to_string();
        if !self.connections.contains_key(&at) {
            let endpoint = Endpoint::from_shared(format!("http://{}", self.routers[at]))
                .map_err(|error| said(&error))?;
            let channel = endpoint.connect_timeout(CONNECT).tcp_nodelay(true).connect_lazy();
            self.connections.insert(at, RegistryClient::new(channel));
        }
        let client = self.connections.get_mut(&at).expect("it was put there");
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
