//! Serves HTTP/1 on a listener of the host. All connections are driven by one task, which owns them.

use axum::Router;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use orrery_host::{Listener, Stream};
use tokio::sync::watch;

use crate::limits::{ADMIN_ACCEPT_PAUSE, ADMIN_CONNECTIONS_MAX, ADMIN_HEADER_TIMEOUT};

/// Serves until told to stop and the requests under way are answered.
pub(super) async fn serve(
    listener: Box<dyn Listener>,
    routes: Router,
    mut stop: watch::Receiver<bool>,
) {
    let theirs = stop.clone();
    let mut connections = FuturesUnordered::new();
    loop {
        let room = connections.len() < ADMIN_CONNECTIONS_MAX;
        tokio::select! {
            biased;
            // The end goes first, however busy the port is.
            () = told(&mut stop) => break,
            // Then who is here already, then who comes.
            Some(()) = connections.next() => {}
            accepted = listener.accept(), if room => match accepted {
                Ok((stream, _)) => connections.push(connection(stream, routes.clone(), theirs.clone())),
                Err(error) => {
                    tracing::warn!(%error, "the admin port cannot accept");
                    tokio::time::sleep(ADMIN_ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    while connections.next().await.is_some() {}
}

async fn connection(stream: Box<dyn Stream>, routes: Router, mut stop: watch::Receiver<bool>) {
    let service = TowerToHyperService::new(routes);
    let mut serving = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(ADMIN_HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), service)
    );
    let ended = tokio::select! {
        ended = &mut serving => ended,
        () = told(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the admin port broke");
    }
}

/// Waits for the word to stop; a sender that is gone says it too.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
