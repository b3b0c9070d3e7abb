//! The world around the logic under test: a bed with a registry and comets that do as they are told.

pub(crate) mod comet;
pub(crate) mod http;
pub(crate) mod registry;

use std::net::SocketAddr;
use std::time::Duration;

use orrery_host::{Host, Task, grpc};
use orrery_logic::config::AuthMode;
use orrery_logic::{Config, Handle};
use orrery_proto::push::push_service_client::PushServiceClient;
use orrery_proto::push::target::Target as PushTarget;
use orrery_proto::push::{self as wire};
use tokio::time::{Instant, sleep};
use tonic::transport::Channel;

pub(crate) use comet::Comet;
pub(crate) use registry::{Registry, route};

/// How long anything may take before a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A logic and its world.
pub(crate) struct Bed {
    pub(crate) host: Host,
    pub(crate) registry: Registry,
    pub(crate) logic: Handle,
    pub(crate) push: PushServiceClient<Channel>,
}

impl Bed {
    /// A logic in open mode whose registry lists these comets.
    pub(crate) async fn new(comets: &[&Comet]) -> Self {
        Self::with(comets, |_| {}).await
    }

    pub(crate) async fn with(comets: &[&Comet], change: impl FnOnce(&mut Config)) -> Self {
        let host = Host::system();
        let registry = Registry::start(&host).await;
        for comet in comets {
            registry.list_comet(comet.listed());
        }
        let any = "127.0.0.1:0".parse().unwrap();
        let mut config = Config {
            http_listen: any,
            grpc_listen: any,
            edge_listen: any,
            routers: vec![registry.address.to_string()],
            auth: AuthMode::Open,
            ..Config::default()
        };
        change(&mut config);
        let logic = orrery_logic::start(config, host.clone()).await.expect("the logic starts");
        eventually("the logic is ready", || logic.ready().is_ok()).await;
        let channel = grpc::channel(host.net.clone(), &logic.grpc_address.to_string()).unwrap();
        let push = PushServiceClient::new(channel);
        Self { host, registry, logic, push }
    }

    /// Pushes op 7 "hello".
    pub(crate) async fn push(&self, target: PushTarget) -> wire::PushResponse {
        let response = self.push.clone().push(request(target)).await.expect("the push is answered");
        response.into_inner()
    }

    /// The number of a metric.
    pub(crate) fn metric(&self, name: &str) -> i64 {
        let mut registry = prometheus_client::registry::Registry::default();
        self.logic.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Sends one HTTP request to the logic.
    pub(crate) async fn http(
        &self,
        method: &str,
        path: &str,
        body: impl Into<bytes::Bytes>,
    ) -> http::Answer {
        http::send(&self.host, self.logic.http_address, method, path, body.into()).await
    }
}

/// Waits for a condition.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn request(target: PushTarget) -> wire::PushRequest {
    let target = Some(wire::Target { target: Some(target) });
    wire::PushRequest { target, op: 7, body: "hello".into(), ..wire::PushRequest::default() }
}

pub(crate) fn users(ids: &[&str]) -> PushTarget {
    PushTarget::Users(wire::Users { ids: ids.iter().map(ToString::to_string).collect() })
}

pub(crate) fn keys(ids: &[&str]) -> PushTarget {
    PushTarget::Keys(wire::Keys { ids: ids.iter().map(ToString::to_string).collect() })
}

pub(crate) fn room(id: &str) -> PushTarget {
    PushTarget::Room(id.to_owned())
}

pub(crate) fn broadcast(rate: u32) -> PushTarget {
    PushTarget::Broadcast(wire::Broadcast { rate })
}

/// What became of each connection: address, seq, outcome, reason.
pub(crate) fn outcomes(response: &wire::PushResponse) -> Vec<(&str, u64, wire::Outcome, &str)> {
    let of_address = |address: &'_ wire::AddressReceipt| {
        let connection = |c: &wire::ConnectionReceipt| (c.seq, c.outcome(), c.reason.clone());
        address.connections.iter().map(connection).collect::<Vec<_>>()
    };
    let mut all = Vec::new();
    for address in &response.addresses {
        assert_eq!(of_address(address).is_empty(), address.offline);
        for connection in &address.connections {
            let outcome = connection.outcome();
            all.push((&*address.id, connection.seq, outcome, &*connection.reason));
        }
    }
    all
}

/// Serves a tonic router on a free port.
pub(crate) async fn serve(
    host: &Host,
    address: SocketAddr,
    router: tonic::transport::server::Router,
) -> (SocketAddr, Task) {
    let listener = host.net.listen(address).await.expect("a free port");
    let address = listener.local_addr().unwrap();
    let task = host.tasks.spawn("test server", async move {
        let _ = router.serve_with_incoming(grpc::incoming(listener)).await;
    });
    (address, task)
}
