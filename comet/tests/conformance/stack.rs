//! Stack: router, logic and comets in this process, over real sockets.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, LazyLock, mpsc};

use orrery_host::Host;
use orrery_model::NodeId;
use orrery_router_client::Client;
use orrery_router_store::Disk;
use orrery_router_store::model::ModelDisk;
use tempfile::TempDir;

use crate::certificates;
use crate::device::{Device, Who};
use crate::http::Http;
use crate::until;
use crate::wire::{Way, Wire};

/// Where a comet is reached by devices.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CometDoors {
    pub(crate) tcp: SocketAddr,
    pub(crate) websocket: SocketAddr,
    pub(crate) tls_tcp: SocketAddr,
    pub(crate) tls_websocket: SocketAddr,
}

/// Where a stack is reached.
#[derive(Debug, Clone)]
pub(crate) struct Doors {
    pub(crate) comets: Vec<CometDoors>,
    pub(crate) http: SocketAddr,
}

impl Doors {
    /// A device that has said nothing yet.
    pub(crate) async fn wire(&self, way: impl Into<Way>) -> Wire {
        Wire::open(&self.comets[0], way).await
    }

    /// A device that was let in by the first comet.
    pub(crate) async fn device(&self, way: impl Into<Way>, who: &Who) -> Device {
        Device::connect(&self.comets[0], way, who).await
    }

    pub(crate) async fn http(&self) -> Http {
        Http::open(self.http).await
    }
}

/// What a stack is made of.
pub(crate) struct Plan {
    pub(crate) host: Host,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) router: orrery_router::Config,
    pub(crate) logic: orrery_logic::Config,
    /// What all comets have in common.
    pub(crate) comet: orrery_comet::Config,
    pub(crate) comets: usize,
}

impl Plan {
    /// One comet, counts that are a fifth of a second old at most, nothing on disk.
    pub(crate) fn new() -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            host: Host::system(),
            disk: Arc::new(ModelDisk::blank(NODE, "first")),
            router: orrery_router::Config {
                node_id: NODE.0,
                found_alone: true,
                registry_listen: any,
                peers_listen: any,
                ..Default::default()
            },
            logic: orrery_logic::Config {
                http_listen: any,
                grpc_listen: any,
                edge_listen: any,
                auth: orrery_logic::config::AuthMode::Open,
                census_ms: 200,
                comets_ms: 100,
                ..Default::default()
            },
            comet: orrery_comet::Config {
                tcp_listen: any,
                websocket_listen: any,
                delivery_listen: any,
                logic: Vec::new(),
                workers: 2,
                ..Default::default()
            },
            comets: 1,
        }
    }

    /// The same with other settings.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Starts everything and waits until devices and pushes are served.
    pub(crate) async fn start(self) -> Stack {
        let Self { host, disk, router, mut logic, mut comet, comets } = self;
        let (folder, tls) = certificates::files();
        comet.tls = tls;
        let router = orrery_router::start(router, host.clone(), disk).await.unwrap();
        logic.routers = vec![router.registry_address().to_string()];
        let logic = orrery_logic::start(logic, host.clone()).await.unwrap();
        let doors = Doors { comets: Vec::new(), http: logic.http_address };
        let certificates = Some(folder);
        let running = Vec::new();
        let mut stack = Stack { doors, host, router, logic, comet, running, certificates };
        for number in 0..comets {
            stack.start_comet(&format!("comet-{number}"), None).await;
        }
        until("the stack is ready", async || {
            stack.router.ready().is_ok() && stack.logic.ready().is_ok() && stack.lists_all().await
        })
        .await;
        stack
    }
}

/// The only router node.
pub(crate) const NODE: NodeId = NodeId(1);

/// A running stack. Its drop ends it at once.
pub(crate) struct Stack {
    doors: Doors,
    host: Host,
    router: orrery_router::Handle,
    pub(crate) logic: orrery_logic::Handle,
    comet: orrery_comet::Config,
    running: Vec<orrery_comet::Handle>,
    /// Where those of the comets are.
    certificates: Option<TempDir>,
}

impl Deref for Stack {
    type Target = Doors;

    fn deref(&self) -> &Doors {
        &self.doors
    }
}

impl Stack {
    /// Starts one more comet under an id, talking to logic through a link where one is given.
    pub(crate) async fn start_comet(&mut self, id: &str, link: Option<SocketAddr>) {
        let logic = link.unwrap_or(self.logic.edge_address);
        let mut config = orrery_comet::Config {
            id: id.to_owned(),
            logic: vec![logic.to_string()],
            ..self.comet.clone()
        };
        config.advertise.hostname = format!("{id}.example");
        config.advertise.addresses = vec![format!("{id}.public.example")];
        let comet = orrery_comet::start(config, self.host.clone()).await.unwrap();
        until("the comet is attached", async || comet.ready().is_ok()).await;
        self.doors.comets.push(CometDoors {
            tcp: comet.tcp_address(),
            websocket: comet.websocket_address(),
            tls_tcp: comet.tls_tcp_address().unwrap(),
            tls_websocket: comet.tls_websocket_address().unwrap(),
        });
        self.running.push(comet);
    }

    /// What the registry itself can be asked and told, past logic and comets.
    pub(crate) fn registry(&self) -> Client {
        let nodes = vec![self.router.registry_address().to_string()];
        let config = orrery_router_client::Config { nodes, ..Default::default() };
        Client::new(config, self.host.clone())
    }

    /// The value of a counter of the comet that was started last.
    pub(crate) fn counted(&self, name: &str) -> u64 {
        let mut registry = prometheus_client::registry::Registry::default();
        self.running.last().expect("a comet runs").register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let prefix = format!("orrery_comet_{name}_total ");
        let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
        value.expect("there is such a counter").parse().unwrap()
    }

    /// Stops the comet that was started last, in order.
    pub(crate) async fn stop_comet(&mut self) {
        self.doors.comets.pop();
        self.running.pop().expect("a comet runs").stop().await;
    }

    /// Ends the comet that was started last as a crash would.
    pub(crate) fn kill_comet(&mut self) {
        self.doors.comets.pop();
        drop(self.running.pop().expect("a comet runs"));
    }

    /// Whether logic lists all comets.
    async fn lists_all(&self) -> bool {
        let instances = self.http().await.get("/goim/nodes/instances").await.json();
        instances["data"].as_array().map_or(0, Vec::len) == self.running.len()
    }

    /// Stops everything in order.
    pub(crate) async fn stop(mut self) {
        while !self.running.is_empty() {
            self.stop_comet().await;
        }
        self.logic.stop().await;
        self.router.stop().await;
    }
}

/// A stack with two comets that all tests share which do not change it. Nobody broadcasts here.
pub(crate) fn shared() -> &'static Doors {
    static SHARED: LazyLock<Doors> = LazyLock::new(|| {
        let (doors_tx, doors) = mpsc::channel();
        // A runtime of its own, since it outlives the tests' runtimes; it ends with the process.
        std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(async {
                let mut stack = Plan::new().with(|plan| plan.comets = 2).start().await;
                // Nobody would remove it later.
                stack.certificates = None;
                doors_tx.send(stack.doors.clone()).unwrap();
                std::future::pending::<()>().await;
            });
        });
        doors.recv().expect("the shared stack starts")
    });
    &SHARED
}

/// A number that no other test has.
pub(crate) fn mid() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(1_000_000);
    LAST.fetch_add(1, Ordering::Relaxed)
}

/// An id that no other test has.
pub(crate) fn id(prefix: &str) -> String {
    format!("{prefix}-{}", mid())
}
