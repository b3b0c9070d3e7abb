//! Server: starts and stops a router node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use orrery_host::grpc::{KEEP_ALIVE, incoming};
use orrery_host::{Host, Listener, Task};
use orrery_model::NodeId;
use orrery_model::control::Node;
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_proto::registry::registry_server::RegistryServer;
use orrery_router_store::Store;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic_health::server::{HealthReporter, health_reporter};

use crate::blocking::blocking;
use crate::config::Config;
use crate::control::ControlPlane;
use crate::error::StartError;
use crate::failure::Failure;
use crate::fences;
use crate::founding::Founding;
use crate::leases::LeaseKeeper;
use crate::limits::{DRAIN_TIMEOUT, RECLAIM_PERIOD, SHUTDOWN_TIMEOUT, STREAMS_PER_CONNECTION_MAX};
use crate::log_writer::{LogWriter, LogWriterTask};
use crate::metrics::Metrics;
use crate::raft::group::Ground;
use crate::raft::network::Alone;
use crate::service::{Lives, RegistryService, Serving};
use crate::shards::Shards;

/// Bytes that a client may send, and we may send, before the other side has taken them, per session
/// and per connection: several full messages, so that a distant peer does not stop and go.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// A running router node. Dropping it ends the node as a crash would; [`Handle::stop`] ends it in order.
#[must_use = "dropping the handle ends the node"]
pub struct Handle {
    registry_address: SocketAddr,
    serving: Arc<Serving>,
    founded: watch::Receiver<bool>,
    stopping: watch::Sender<bool>,
    failure: Failure,
    metrics: Metrics,
    health: HealthReporter,
    server: Task,
    upkeep: Vec<Task>,
    log_writer: LogWriterTask,
}

/// Starts a router node on an opened data directory. It serves as soon as [`Handle::ready`] says so; a
/// cluster is founded where there is none.
///
/// # Errors
/// See [`StartError`].
pub async fn start(
    config: Config,
    host: Host,
    store: Arc<dyn Store>,
) -> Result<Handle, StartError> {
    config.check().map_err(StartError::Config)?;
    let identity = store.identity().clone();
    if identity.node.0 != config.node_id {
        let (configured, stored) = (config.node_id, identity.node.0);
        return Err(StartError::OtherNode { configured, stored });
    }
    if identity.shards != config.shards {
        let (configured, stored) = (config.shards, identity.shards);
        return Err(StartError::OtherShards { configured, stored });
    }
    let (listener, registry_address) = listen(&config, &host).await?;

    let (failure, metrics) = (Failure::new(), Metrics::default());
    let (log_writer, log_writer_task) =
        LogWriter::start(store.clone(), &host.tasks, failure.clone(), metrics.log());
    let ground =
        Ground { store: store.clone(), host: host.clone(), log_writer, peers: Arc::new(Alone) };
    let (shards, mut upkeep) = Shards::open(&config, &ground, &failure, &metrics).await?;
    let shards = Arc::new(shards);

    let advertised = config.registry_advertise.clone();
    let node = Node {
        id: NodeId(config.node_id),
        registry: advertised.unwrap_or_else(|| registry_address.to_string()),
        peers: config.peers_advertise.clone(),
    };
    let founded = watch::Sender::new(false);
    let founding = Founding {
        cluster_id: identity.cluster_id,
        node: node.clone(),
        shards: shards.clone(),
        failure: failure.clone(),
        founded: founded.clone(),
    };
    upkeep.push(host.tasks.spawn("founding", founding.run()));
    let leases = LeaseKeeper::new(shards.control().clone(), config.lease_ms, metrics.expiries());
    let leases = Arc::new(leases);
    upkeep.push(host.tasks.spawn("leases", leases.clone().run()));
    upkeep.extend(start_fences(&host, &shards, &metrics));
    upkeep.push(host.tasks.spawn("reclaim", reclaim(host.clone(), store, failure.clone())));

    let stopping = watch::Sender::new(false);
    let control = ControlPlane::new(shards.control().clone(), leases);
    let serving = Arc::new(Serving { shards, control });
    let service = RegistryService {
        serving: Arc::downgrade(&serving),
        node,
        lives: lives(&config),
        request_timeout: Duration::from_millis(config.request_timeout_ms),
        stopping: stopping.subscribe(),
        sessions: metrics.sessions(),
    };
    let (health, server) = serve(&host, listener, service, &stopping);
    upkeep.push(host.tasks.spawn("health", show_health(health.clone(), founded.subscribe())));
    let end = end_on_failure(failure.clone(), stopping.clone(), health.clone());
    upkeep.push(host.tasks.spawn("failure", end));
    tracing::info!(%registry_address, node = config.node_id, "router node started");
    Ok(Handle {
        registry_address,
        serving,
        founded: founded.subscribe(),
        stopping,
        failure,
        metrics,
        health,
        server,
        upkeep,
        log_writer: log_writer_task,
    })
}

impl Handle {
    #[cfg(test)]
    pub(crate) fn serving(&self) -> &Serving {
        &self.serving
    }

    /// Where the registry service listens.
    pub fn registry_address(&self) -> SocketAddr {
        self.registry_address
    }

    /// Whether the node can serve: it was founded, and every shard has a leader and has caught up.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn ready(&self) -> Result<(), String> {
        if let Some(reason) = self.failure.reason() {
            return Err(reason.to_string());
        }
        for group in self.serving.shards.groups() {
            if group.progress().leader.is_none() {
                return Err(format!("shard {} has no leader", group.shard()));
            }
            if !group.has_recovered() {
                return Err(format!("shard {} is catching up with its log", group.shard()));
            }
        }
        match *self.founded.borrow() {
            true => Ok(()),
            false => Err("the cluster is not founded yet".to_owned()),
        }
    }

    /// Waits until the node has stopped itself, and says why. Its disk failed, or a shard's core ended;
    /// the process should end, and another one start on what is on the disk.
    pub async fn failed(&self) -> String {
        self.failure.wait().await.to_string()
    }

    /// Adds the node's metrics, all prefixed `orrery_router_`.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry, Arc::downgrade(&self.serving.shards));
    }

    /// Ends the node in order: no new requests, answers to those under way, shards, log. Takes a few
    /// seconds at most, whatever its clients do.
    pub async fn stop(self) {
        self.health.set_not_serving::<RegistryServer<RegistryService>>().await;
        self.stopping.send_replace(true);
        if timeout(DRAIN_TIMEOUT, self.server.join()).await.is_err() {
            tracing::warn!("calls were still under way when the node stopped");
        }
        drop(self.upkeep);
        self.serving.shards.shutdown().await;
        if timeout(SHUTDOWN_TIMEOUT, self.log_writer.stop()).await.is_err() {
            tracing::warn!("the log's writer did not end in time");
        }
        tracing::info!("router node stopped");
    }
}

async fn listen(
    config: &Config,
    host: &Host,
) -> Result<(Box<dyn Listener>, SocketAddr), StartError> {
    let address = config.registry_listen;
    let error = |source| StartError::Listen { address, source };
    let listener = host.net.listen(address).await.map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    Ok((listener, bound))
}

fn lives(config: &Config) -> Lives {
    let ms = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
    Lives {
        lease_ms: ms(config.lease_ms),
        keep_alive_ms: ms(config.keep_alive_ms),
        rebind_per_second: config.rebind_per_second,
    }
}

fn start_fences(host: &Host, shards: &Arc<Shards>, metrics: &Metrics) -> Vec<Task> {
    let distribute = |shard: &Arc<_>| {
        let metrics = metrics.shard(crate::shard::Shard::id(shard));
        let task = fences::distribute(shard.clone(), shards.control().clone(), metrics);
        host.tasks.spawn("fences", task)
    };
    let mut tasks: Vec<Task> = shards.data().map(distribute).collect();
    tasks.push(host.tasks.spawn("trim", fences::trim(shards.clone())));
    tasks
}

fn serve(
    host: &Host,
    listener: Box<dyn Listener>,
    service: RegistryService,
    stopping: &watch::Sender<bool>,
) -> (HealthReporter, Task) {
    let (health, health_service) = health_reporter();
    let registry = RegistryServer::new(service)
        .max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(INTERNAL_MESSAGE_BYTES_MAX);
    let router = tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_service(health_service)
        .add_service(registry);
    let mut stopping = stopping.subscribe();
    let end = async move {
        // An error says that the handle was dropped, which ends the node as well.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let served = router.serve_with_incoming_shutdown(incoming(listener), end);
    let server = host.tasks.spawn("registry-server", async move {
        if let Err(error) = served.await {
            tracing::error!(%error, "the registry service ended");
        }
    });
    (health, server)
}

/// Tells health checks when the node can serve.
async fn show_health(health: HealthReporter, mut founded: watch::Receiver<bool>) {
    health.set_not_serving::<RegistryServer<RegistryService>>().await;
    if founded.wait_for(|founded| *founded).await.is_ok() {
        health.set_serving::<RegistryServer<RegistryService>>().await;
    }
}

/// Ends the service when the node has stopped itself, so that clients go elsewhere.
async fn end_on_failure(failure: Failure, stopping: watch::Sender<bool>, health: HealthReporter) {
    failure.wait().await;
    health.set_not_serving::<RegistryServer<RegistryService>>().await;
    stopping.send_replace(true);
}

/// Lets the store give back the space of purged entries, every now and then.
async fn reclaim(host: Host, store: Arc<dyn Store>, failure: Failure) {
    loop {
        sleep(RECLAIM_PERIOD).await;
        let store = store.clone();
        let reclaim = move || store.reclaim().map_err(std::io::Error::other);
        if let Err(error) = blocking(&host.tasks, "reclaim", reclaim).await {
            failure.report(format!("the log's space cannot be reclaimed: {error}"));
            return;
        }
    }
}
