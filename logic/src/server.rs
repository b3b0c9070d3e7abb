//! Server: starts the parts, opens the ports, and stops everything in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use orrery_host::grpc::{KEEP_ALIVE, incoming};
use orrery_host::{Host, Listener, Task};
use orrery_proto::edge::edge_server::{self, EdgeServer};
use orrery_proto::push::push_service_server::{self, PushServiceServer};
use tokio::time::{Instant, interval, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use crate::api::Api;
use crate::auth::Auth;
use crate::comets::Comets;
use crate::config::Config;
use crate::directory::Directory;
use crate::edge::EdgeService;
use crate::edge::desk::Desk;
use crate::error::StartError;
use crate::goim::Goim;
use crate::grpc::{self, Grpc};
use crate::http::{self, router};
use crate::limits::{
    GRPC_CONNECTIONS_MAX, HTTP_CONNECTIONS_MAX, REQUEST_BYTES_MAX, STOP_MAX,
    STREAMS_PER_CONNECTION_MAX,
};
use crate::losers::Losers;
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::online::Online;
use crate::port::Port;
use crate::push::{Engine, Pushes};
use crate::registry::Registry;

use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;

/// How often the health service looks whether this node is ready.
const HEALTH_EVERY: Duration = Duration::from_millis(250);

/// What health checks are told of: the whole, and each service.
const SERVICES: [&str; 3] = ["", push_service_server::SERVICE_NAME, edge_server::SERVICE_NAME];

/// A running logic. Dropping it ends it at once; [`Handle::stop`] ends it in order.
pub struct Handle {
    /// Where backends speak HTTP.
    pub http_address: SocketAddr,
    /// Where backends speak gRPC.
    pub grpc_address: SocketAddr,
    /// Where comets speak gRPC.
    pub edge_address: SocketAddr,
    readiness: Readiness,
    metrics: Metrics,
    engine: Arc<Engine>,
    health: HealthReporter,
    stopping: CancellationToken,
    health_task: Task,
    _census: Task,
    servers: Vec<Task>,
}

/// Starts a logic. Neither the registry nor any comet has to be there yet; see [`Handle::ready`].
///
/// # Errors
/// [`StartError`] when a port cannot be opened or the configuration cannot work.
pub async fn start(config: Config, host: Host) -> Result<Handle, StartError> {
    check(&config)?;
    let http = listen(&host, config.http_listen, "HTTP").await?;
    let grpc = listen(&host, config.grpc_listen, "gRPC").await?;
    let edge = listen(&host, config.edge_listen, "the edge").await?;
    let config = Arc::new(config);
    let metrics = Metrics::new();
    let registry = Registry::new(&config.routers, metrics.clone(), host.clone());
    let every = Duration::from_millis(config.comets_ms);
    let comets = Comets::start(every, registry.clone(), metrics.clone(), &host);
    let online = Online::new();
    let census = online.clone().run(
        Duration::from_millis(config.census_ms),
        comets.clone(),
        metrics.clone(),
    );
    let engine = Engine::new(
        registry.clone(),
        comets.clone(),
        online.clone(),
        metrics.clone(),
        host.clone(),
    );
    let pushes = Arc::new(Pushes::new(&config, engine.clone(), metrics.clone()));
    let directory = Directory::new(registry.clone());
    let api = Arc::new(Api::new(config.clone(), pushes.clone(), directory));
    let goim = Goim {
        config: config.clone(),
        pushes,
        comets: comets.clone(),
        online: online.clone(),
        nodes: Nodes::default(),
    };
    let desk = Desk {
        auth: Auth::new(&config, &host),
        registry: registry.clone(),
        losers: Losers::start(comets.clone(), metrics.clone(), &host),
        metrics: metrics.clone(),
    };
    let stopping = CancellationToken::new();
    let service = EdgeService::new(Arc::new(desk), online, host.clone(), stopping.clone());
    let readiness = Readiness { registry, comets };
    let health = HealthReporter::new();
    let health_task = host.tasks.spawn("health", tell_health(health.clone(), readiness.clone()));
    let router = router(api.clone(), Arc::new(goim), metrics.clone());
    let ports = Ports { host: &host, stopping: &stopping };
    Ok(Handle {
        http_address: http.1,
        grpc_address: grpc.1,
        edge_address: edge.1,
        readiness,
        metrics,
        engine,
        health_task,
        _census: host.tasks.spawn("census", census),
        servers: vec![
            ports.http(http.0, router),
            ports.grpc(grpc.0, api, health.clone()),
            ports.edge(edge.0, service, health.clone()),
        ],
        health,
        stopping,
    })
}

impl Handle {
    /// Whether pushes and binds can be carried out, or why not yet.
    ///
    /// # Errors
    /// With what is missing, for people.
    pub fn ready(&self) -> Result<(), String> {
        self.readiness.ready()
    }

    /// Adds this service's metrics.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        self.metrics.register(registry);
        self.readiness.registry.register(registry);
    }

    /// Stops: tells that it no longer serves, takes no more, lets what is under way end for a bounded
    /// time, and ends.
    pub async fn stop(mut self) {
        let deadline = Instant::now() + STOP_MAX;
        self.health_task.cancel();
        for service in SERVICES {
            self.health.set_service_status(service, ServingStatus::NotServing).await;
        }
        self.stopping.cancel();
        for server in std::mem::take(&mut self.servers) {
            // A client that keeps its connection open does not keep us.
            if timeout_at(deadline, server.join()).await.is_err() {
                tracing::debug!("a port was closed before its last client left");
            }
        }
        self.engine.stop();
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stopping.cancel();
        self.engine.stop();
    }
}

/// What has to be there before pushes and binds can be carried out.
#[derive(Clone)]
struct Readiness {
    registry: Registry,
    comets: Arc<Comets>,
}

impl Readiness {
    fn ready(&self) -> Result<(), String> {
        if !self.registry.has_table() {
            return Err("no router has told the slot table yet".to_owned());
        }
        if !self.comets.is_known() {
            return Err("the control shard has not listed the comets yet".to_owned());
        }
        Ok(())
    }
}

/// Tells the health service, again and again, whether this node serves.
async fn tell_health(health: HealthReporter, readiness: Readiness) {
    let mut ticks = interval(HEALTH_EVERY);
    let mut told = None;
    loop {
        ticks.tick().await;
        let status = match readiness.ready() {
            Ok(()) => ServingStatus::Serving,
            Err(_) => ServingStatus::NotServing,
        };
        if told.replace(status as u8) != Some(status as u8) {
            for service in SERVICES {
                health.set_service_status(service, status).await;
            }
        }
    }
}

/// Opens the three ports.
struct Ports<'a> {
    host: &'a Host,
    stopping: &'a CancellationToken,
}

impl Ports<'_> {
    fn http(&self, listener: Box<dyn Listener>, router: axum::Router) -> Task {
        let port = self.port("http port", listener, HTTP_CONNECTIONS_MAX);
        self.host.tasks.spawn(port.name, http::serve::serve(port, router))
    }

    fn grpc(&self, listener: Box<dyn Listener>, api: Arc<Api>, health: HealthReporter) -> Task {
        let push = PushServiceServer::new(Grpc(api)).max_decoding_message_size(REQUEST_BYTES_MAX);
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(orrery_proto::DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .expect("the descriptors were made together with this build");
        let routes = Routes::new(push)
            .add_service(HealthServer::new(HealthService::from_health_reporter(health)))
            .add_service(reflection);
        let port = self.port("push port", listener, GRPC_CONNECTIONS_MAX);
        self.host.tasks.spawn(port.name, grpc::serve::serve(port, routes))
    }

    fn edge(
        &self,
        listener: Box<dyn Listener>,
        service: EdgeService,
        health: HealthReporter,
    ) -> Task {
        let service =
            EdgeServer::new(service).max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX);
        let stopped = self.stopping.clone().cancelled_owned();
        let server = server()
            .add_service(HealthServer::new(HealthService::from_health_reporter(health)))
            .add_service(service)
            .serve_with_incoming_shutdown(incoming(listener), stopped);
        self.spawn("edge port", server)
    }

    fn port(
        &self,
        name: &'static str,
        listener: Box<dyn Listener>,
        connections_max: usize,
    ) -> Port {
        let (host, stopped) = (self.host.clone(), self.stopping.clone());
        Port { name, listener, connections_max, host, stopped }
    }

    fn spawn(
        &self,
        name: &'static str,
        server: impl Future<Output = Result<(), tonic::transport::Error>> + Send + 'static,
    ) -> Task {
        self.host.tasks.spawn(name, async move {
            if let Err(error) = server.await {
                tracing::error!(%error, name, "a port broke");
            }
        })
    }
}

fn server() -> Server {
    Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
}

pub(crate) fn check(config: &Config) -> Result<(), StartError> {
    let refuse = |key, what: &str| Err(StartError::Config { key, what: what.to_owned() });
    if config.routers.is_empty() {
        return refuse("routers", "at least one router node has to be named");
    }
    if config.push_timeout_ms == 0 || config.push_timeout_ms > config.push_timeout_ms_max {
        return refuse("push_timeout_ms", "must be above 0 and not above push_timeout_ms_max");
    }
    if config.census_ms == 0 || config.comets_ms == 0 {
        return refuse("census_ms, comets_ms", "must be above 0");
    }
    Ok(())
}

async fn listen(
    host: &Host,
    address: SocketAddr,
    purpose: &'static str,
) -> Result<(Box<dyn Listener>, SocketAddr), StartError> {
    let listen = async {
        let listener = host.net.listen(address).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    listen.await.map_err(|source| StartError::Listen { address, purpose, source })
}
