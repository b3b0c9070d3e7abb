//! Server: starts and stops a router node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use orrery_host::grpc::{KEEP_ALIVE, incoming};
use orrery_host::{Host, Listener, Task};
use orrery_model::NodeId;
use orrery_model::control::Node;
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_proto::cluster::cluster_server::{self, ClusterServer};
use orrery_proto::registry::registry_server::{self, RegistryServer};
use orrery_router_store::Disk;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use crate::cluster::ClusterPlane;
use crate::cluster_service::ClusterService;
use crate::config::Config;
use crate::error::StartError;
use crate::failure::Failure;
use crate::life::{self, Found, Life};
use crate::limits::{DRAIN_TIMEOUT, END_TIMEOUT, HEALTH_LOOK, STREAMS_PER_CONNECTION_MAX};
use crate::lobby::{Lobby, Phase};
use crate::metrics::Metrics;
use crate::service::{Lives, RegistryService};

/// Bytes that a client may send, and we may send, before the other side has taken them, per session
/// and per connection: several full messages, so that a distant peer does not stop and go.
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// A running router node. Dropping it ends the node as a crash would; [`Handle::stop`] ends it in order.
#[must_use = "dropping the handle ends the node"]
pub struct Handle {
    registry_address: SocketAddr,
    peers_address: SocketAddr,
    lobby: Arc<Lobby>,
    /// Tells sessions to end. Where it is gone, so is the node.
    stopping: watch::Sender<bool>,
    /// Tells the node's life to end.
    end: watch::Sender<bool>,
    failure: Failure,
    metrics: Metrics,
    health: HealthReporter,
    server: Task,
    upkeep: Vec<Task>,
    life: Task,
}

/// Starts a router node on a data directory. It is reachable when this returns, and serves as soon as
/// [`Handle::ready`] says so: a directory that belongs to no cluster waits to be taken into one, or with
/// [`Config::found_alone`] founds its own.
///
/// # Errors
/// See [`StartError`]. What fails later ends the node: [`Handle::failed`].
pub async fn start(config: Config, host: Host, disk: Arc<dyn Disk>) -> Result<Handle, StartError> {
    config.check().map_err(StartError::Config)?;
    let found = life::open(disk.clone(), &host.tasks).await?;
    check(&config, &found)?;
    let (registry_listener, registry_address) = listen(config.registry_listen, &host).await?;
    let (peers_listener, peers_address) = listen(config.peers_listen, &host).await?;

    let (config, failure, metrics) = (Arc::new(config), Failure::new(), Metrics::default());
    let node = Node {
        id: NodeId(config.node_id),
        registry: advertised(config.registry_advertise.as_ref(), registry_address),
        peers: advertised(config.peers_advertise.as_ref(), peers_address),
        instance: String::new(),
        protocol: config.protocol,
    };
    let (lobby, offers) = Lobby::new(node, failure.clone());
    let (stopping, end) = (watch::Sender::new(false), watch::Sender::new(false));
    let life = Life {
        config: config.clone(),
        host: host.clone(),
        disk,
        lobby: lobby.clone(),
        offers,
        peers_listener,
        failure: failure.clone(),
        metrics: metrics.clone(),
        end: end.subscribe(),
    };
    if let Found::Blank(blank) = &found {
        // Before anybody can ask who this is.
        lobby.enter(Phase::Blank(blank.clone()));
    }
    let life = host.tasks.spawn("life", life.run(found));
    let registry = RegistryService {
        lobby: lobby.clone(),
        lives: lives(&config),
        request_timeout: Duration::from_millis(config.request_timeout_ms),
        stopping: stopping.subscribe(),
        sessions: metrics.sessions(),
    };
    let plane = ClusterPlane::new(lobby.clone());
    let cluster = ClusterService::new(plane, Duration::from_millis(config.request_timeout_ms));
    let (health, server) = serve(&host, registry_listener, registry, cluster, &stopping);
    let upkeep = vec![
        host.tasks.spawn("health", show_health(health.clone(), lobby.clone())),
        host.tasks.spawn("failure", end_on_failure(failure.clone(), stopping.clone())),
    ];
    tracing::info!(%registry_address, %peers_address, node = config.node_id, "router node started");
    Ok(Handle {
        registry_address,
        peers_address,
        lobby,
        stopping,
        end,
        failure,
        metrics,
        health,
        server,
        upkeep,
        life,
    })
}

impl Handle {
    /// The member, where the node is one.
    #[cfg(test)]
    pub(crate) fn member(&self) -> Arc<crate::member::Member> {
        self.lobby.member().expect("the node is a member")
    }

    /// Where the registry service and the cluster service listen.
    pub fn registry_address(&self) -> SocketAddr {
        self.registry_address
    }

    /// Where other router nodes reach this one.
    pub fn peers_address(&self) -> SocketAddr {
        self.peers_address
    }

    /// Whether the node can serve: it is a member of a cluster, and every shard of it has a leader and is
    /// close to it.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn ready(&self) -> Result<(), String> {
        not_ready(&self.lobby).map_or(Ok(()), Err)
    }

    /// What each part of the node is ready for, by its name: the cluster, each shard, the disk. A full
    /// disk is told, but keeps the node's reads from nobody.
    pub fn ready_report(&self) -> Vec<(String, Result<(), String>)> {
        if let Some(reason) = self.lobby.not_serving() {
            return vec![("node".to_owned(), Err(reason))];
        }
        self.lobby.member().map(|member| member.report()).unwrap_or_default()
    }

    /// Waits until the node has stopped itself, and says why. Its disk failed, a shard's core ended, or
    /// it was removed from its cluster; the process should end.
    pub async fn failed(&self) -> String {
        self.failure.wait().await.to_string()
    }

    /// Adds the node's metrics, all prefixed `orrery_router_`.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry, self.lobby.clone());
    }

    /// Ends the node in order: leaderships go to others, no new requests, answers to those under way,
    /// shards, log. Takes a few seconds at most, whatever its clients do.
    pub async fn stop(self) {
        drop(self.upkeep);
        for service in ["", registry_server::SERVICE_NAME, cluster_server::SERVICE_NAME] {
            self.health.set_service_status(service, ServingStatus::NotServing).await;
        }
        if self.failure.reason().is_none()
            && let Ok(member) = self.lobby.member()
        {
            member.hand_over().await;
        }
        self.stopping.send_replace(true);
        if timeout(DRAIN_TIMEOUT, self.server.join()).await.is_err() {
            tracing::warn!("calls were still under way when the node stopped");
        }
        self.end.send_replace(true);
        if timeout(END_TIMEOUT, self.life.join()).await.is_err() {
            tracing::warn!("the node did not end in time");
        }
        tracing::info!("router node stopped");
    }
}

fn check(config: &Config, found: &Found) -> Result<(), StartError> {
    let (node, shards) = match found {
        Found::Blank(blank) => (blank.node, None),
        Found::Member(store) => (store.identity().node, Some(store.identity().shards)),
    };
    if node.0 != config.node_id {
        return Err(StartError::OtherNode { configured: config.node_id, stored: node.0 });
    }
    match (config.shards, shards) {
        (Some(configured), Some(stored)) if configured != stored => {
            Err(StartError::OtherShards { configured, stored })
        }
        _ => Ok(()),
    }
}

async fn listen(
    address: SocketAddr,
    host: &Host,
) -> Result<(Box<dyn Listener>, SocketAddr), StartError> {
    let error = |source| StartError::Listen { address, source };
    let listener = host.net.listen(address).await.map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    Ok((listener, bound))
}

fn advertised(configured: Option<&String>, bound: SocketAddr) -> String {
    configured.cloned().unwrap_or_else(|| bound.to_string())
}

fn lives(config: &Config) -> Lives {
    let ms = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
    Lives {
        lease_ms: ms(config.lease_ms),
        keep_alive_ms: ms(config.keep_alive_ms),
        rebind_per_second: config.rebind_per_second,
    }
}

fn serve(
    host: &Host,
    listener: Box<dyn Listener>,
    registry: RegistryService,
    cluster: ClusterService,
    stopping: &watch::Sender<bool>,
) -> (HealthReporter, Task) {
    let (health, health_service) = health_reporter();
    let registry = RegistryServer::new(registry)
        .max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(INTERNAL_MESSAGE_BYTES_MAX);
    let cluster = ClusterServer::new(cluster)
        .max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(INTERNAL_MESSAGE_BYTES_MAX);
    let router = tonic::transport::Server::builder()
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_service(health_service)
        .add_service(registry)
        .add_service(cluster);
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

/// Why the node cannot serve, where it cannot.
pub(crate) fn not_ready(lobby: &Lobby) -> Option<String> {
    if let Some(reason) = lobby.not_serving() {
        return Some(reason);
    }
    let report = lobby.member().map(|member| member.report()).unwrap_or_default();
    // Its reads and its replicas are of use all the same.
    let parts = report.into_iter().filter(|(part, _)| part != "disk");
    parts.filter_map(|(part, ready)| Some(format!("{part} {}", ready.err()?))).next()
}

/// Tells health checks what the node serves: who it is, always; the registry, and so the whole, once it is
/// ready.
async fn show_health(health: HealthReporter, lobby: Arc<Lobby>) {
    let mut shown = None;
    health.set_serving::<ClusterServer<ClusterService>>().await;
    loop {
        let ready = not_ready(&lobby).is_none();
        if shown.replace(ready) != Some(ready) {
            let status = match ready {
                true => ServingStatus::Serving,
                false => ServingStatus::NotServing,
            };
            for service in ["", registry_server::SERVICE_NAME] {
                health.set_service_status(service, status).await;
            }
        }
        sleep(HEALTH_LOOK).await;
    }
}

/// Ends the services when the node has stopped itself, so that clients go elsewhere.
async fn end_on_failure(failure: Failure, stopping: watch::Sender<bool>) {
    failure.wait().await;
    stopping.send_replace(true);
}
