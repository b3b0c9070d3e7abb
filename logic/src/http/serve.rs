//! Serve: HTTP/1.1 over the host's listener, with bounds on connections and on slow clients.

use std::pin::pin;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use orrery_host::{Host, Listener, Peer, Stream};
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
    let serve = |stream, peer| connection(stream, peer, router.clone(), stop.clone());
    accept(listener, HTTP_CONNECTIONS_MAX, host, stopped, serve).await;
}

async fn connection(
    stream: Box<dyn Stream>,
    peer: Peer,
    router: Router,
    stopped: CancellationToken,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        router.call(request)
    });
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

#[cfg(test)]
mod tests {
    use axum::Extension;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn a_request_knows_who_sent_it() {
        let host = Host::system();
        let listener = host.net.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let who = |Extension(peer): Extension<Peer>| async move { format!("{peer:?}") };
        let router = Router::new().route("/", get(who));
        let stopped = CancellationToken::new();
        let serving = serve(listener, router, host.clone(), stopped.clone());
        let serving = host.tasks.spawn("serve", serving);

        let mut stream = host.net.connect(&address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("role: None, node: None, address: Some(127.0.0.1:"), "{answer}");
        stopped.cancel();
        assert!(serving.join().await);
    }
}
