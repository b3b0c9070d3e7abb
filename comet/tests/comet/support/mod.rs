//! Support: what the tests put around a comet.

pub(crate) mod device;
pub(crate) mod json;
pub(crate) mod logic;
pub(crate) mod memory;
#[path = "../../support/patience.rs"]
pub(crate) mod patience;
pub(crate) mod registry;
#[path = "../../support/reply.rs"]
mod reply;
pub(crate) mod secured;
pub(crate) mod session;
pub(crate) mod tls;
pub(crate) mod web;

use std::net::SocketAddr;
use std::time::Duration;

use orrery_comet::{Config, Handle};
use orrery_host::Host;
use orrery_proto::comet::comet_client::CometClient;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tonic::transport::Channel;

use self::device::{Device, Transport};
use self::json::JsonDevice;
use self::logic::Logic;
pub(crate) use self::patience::soon;
use self::session::Session;

/// A comet and its logic.
pub(crate) struct Stage {
    pub(crate) host: Host,
    pub(crate) logic: Logic,
    pub(crate) comet: Handle,
}

impl Stage {
    /// Starts a logic and a comet that is attached to it.
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with another configuration.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::on(Host::system(), change).await
    }

    /// The same on another network.
    pub(crate) async fn on(host: Host, change: impl FnOnce(&mut Config)) -> Self {
        let logic = Logic::start(&host).await;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut config = Config {
            id: "comet-1".to_owned(),
            tcp_listen: any,
            websocket_listen: any,
            delivery_listen: any,
            logic: vec![logic.address.to_string()],
            workers: 2,
            edge_request_ms: 500,
            ..Config::default()
        };
        change(&mut config);
        let comet = orrery_comet::start(config, host.clone()).await.expect("the comet starts");
        soon("the attach", async {
            while comet.ready().is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        Self { host, logic, comet }
    }

    /// A device that is connected but has said nothing yet.
    pub(crate) async fn stranger(&self, transport: Transport) -> Device {
        let address = match transport {
            Transport::Tcp => self.comet.tcp_address(),
            Transport::WebSocket => self.comet.websocket_address(),
        };
        Device::connect(&self.host, address, transport).await
    }

    /// A device that was authenticated with a token.
    pub(crate) async fn device(&self, transport: Transport, token: &str) -> Device {
        let mut device = self.stranger(transport).await;
        device.authenticate(token).await;
        device
    }

    /// A device of the JSON protocol that has said nothing yet.
    pub(crate) async fn json(&self) -> JsonDevice {
        JsonDevice::connect(&self.host, self.comet.websocket_address()).await
    }

    /// The value of one of the comet's counters.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        self.measured(&format!("{name}_total")).expect("there is such a counter")
    }

    /// The same of a counter with a label; 0 while nothing was counted.
    pub(crate) fn counted_for(&self, name: &str, label: &str, value: &str) -> u64 {
        self.measured(&format!("{name}_total{{{label}=\"{value}\"}}")).unwrap_or(0)
    }

    /// The value of one of the comet's metrics, by its name as it is exported.
    pub(crate) fn measured(&self, name: &str) -> Option<u64> {
        self.exported(name).map(|value| value.parse().unwrap())
    }

    /// How long waits what comes for who is busy, in seconds, on one of the comet's workers once it runs.
    pub(crate) fn window(&self, worker: usize) -> Option<f64> {
        let name = format!("coalesce_window_seconds{{worker=\"{worker}\"}}");
        self.exported(&name).map(|value| value.parse().unwrap())
    }

    fn exported(&self, name: &str) -> Option<String> {
        let mut registry = Registry::default();
        self.comet.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let prefix = format!("orrery_comet_{name} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
        line.map(str::to_owned)
    }

    /// What people operate the comet by.
    pub(crate) fn operator(&self) -> CometClient<Channel> {
        let address = self.comet.delivery_address().to_string();
        CometClient::new(orrery_host::grpc::channel(self.host.net.clone(), &address).unwrap())
    }

    /// A session of deliveries.
    pub(crate) async fn session(&self) -> Session {
        Session::open(&self.host, self.comet.delivery_address()).await
    }
}
