//! Serve: HTTP/1.1 over the host's listener, with bounds on connections and on slow clients.

use std::pin::pin;

use axum::Router;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use orrery_host::{Host, Listener, Stream};
use tokio_util::sync::CancellationToken;

use crate::limits::{HTTP_CONNECTIONS_MAX, HTTP_HEAD_TIMEOUT};

/// Pause after a failed accept (descriptors ran out), so that the listener does not spin.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(20);

/// Serves until stopped, then until the requests under way are answered.
pub(crate) async fn serve(
    listener: Box<dyn Listener>,
    router: Router,
    host: Host,
    stopped: CancellationToken,
) {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = stopped.cancelled() => break,
            Some(_) = connections.next() => {}
            accepted = listener.accept(), if connections.len() < HTTP_CONNECTIONS_MAX => {
                match accepted {
                    Ok((stream, _)) => {
                        let connection = connection(stream, router.clone(), stopped.clone());
                        connections.push(host.tasks.spawn("http connection", connection).join());
                    }
                    Err(error) => {
                        tracing::debug!(%error, "an HTTP connection could not be accepted");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }
    drop(listener);
    while connections.next().await.is_some() {}
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
