//! Server: the port on which other nodes reach this one.

use orrery_host::grpc::{KEEP_ALIVE, incoming};
use orrery_host::{Host, Listener, Task};
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_proto::peers::duties_server::{Duties, DutiesServer};
use orrery_proto::peers::peers_server::PeersServer;
use tokio::sync::watch;

use super::service::PeersService;
use crate::limits::{
    PEER_CALLS_PER_CONNECTION_MAX, PEER_CONNECTION_WINDOW_BYTES, PEER_STREAM_WINDOW_BYTES,
};

/// Serves a node's groups and duties to its peers until `stopping` says so.
pub(crate) fn serve<D: Duties>(
    host: &Host,
    listener: Box<dyn Listener>,
    service: PeersService,
    duties: DutiesServer<D>,
    mut stopping: watch::Receiver<bool>,
) -> Task {
    let peers = PeersServer::new(service)
        .max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(INTERNAL_MESSAGE_BYTES_MAX);
    let router = tonic::transport::Server::builder()
        .max_concurrent_streams(PEER_CALLS_PER_CONNECTION_MAX)
        .initial_stream_window_size(PEER_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(PEER_CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEP_ALIVE))
        .http2_keepalive_timeout(Some(KEEP_ALIVE))
        .add_service(peers)
        .add_service(duties);
    let end = async move {
        // An error says that the node was dropped, which ends the service as well.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let served = router.serve_with_incoming_shutdown(incoming(listener), end);
    host.tasks.spawn("peers-server", async move {
        if let Err(error) = served.await {
            tracing::error!(%error, "the peers service ended");
        }
    })
}
