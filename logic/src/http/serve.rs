//! Serve: HTTP/1.1 over the host's listener, with bounds on connections and on slow clients.

use std::pin::pin;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use orrery_host::{Host, Listener, Stream};
use tokio_util::sync::CancellationToken;

use crate::accept::accept;
use crate::limits::{HTTP_CONNECTIONS_MAX, HTTP_HEAD_TIMEOUT};

/// Serves until stopped, then until the requests under way are answered.
pub(crate) async fn serve(
    listener: Box<dyn Listener>,
    router: Router,
    host: Host,
    stopped: CancellationToken,
) {
    let stop = stopped.clone();
    let serve = |stream| connection(stream, router.clone(), stop.clone());
    accept(listener, HTTP_CONNECTIONS_MAX, host, stopped, serve).await;
}

async fn connection(stream: Box<dyn Stream>, router: Router, stopped: CancellationToken) {
    let service = TowerToHyperService::new(router);
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HTTP_HEAD_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        () = stopped.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection broke");
    }
}
