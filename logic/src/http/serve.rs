//! Serve: HTTP/1.1 over the host's listener, with a bound on slow clients.

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use orrery_host::Peer;

use crate::limits::HTTP_HEAD_TIMEOUT;
use crate::port::Port;

/// Serves until stopped, then until the requests under way are answered.
pub(crate) async fn serve(port: Port, router: Router) {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HTTP_HEAD_TIMEOUT);
    let open = |stream, peer: Peer| {
        let router = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            router.call(request)
        });
        builder.serve_connection(TokioIo::new(stream), service)
    };
    port.serve(open, http1::Connection::graceful_shutdown).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use axum::Extension;
    use axum::routing::get;
    use orrery_host::Host;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_request_knows_who_sent_it() {
        let host = Host::system();
        let port = Port::any(&host).await;
        let (address, stopped) = (port.address(), port.stopped.clone());
        let who = |Extension(peer): Extension<Peer>| async move { format!("{peer:?}") };
        let router = Router::new().route("/", get(who));
        let serving = host.tasks.spawn(port.name, serve(port, router));

        let mut stream = host.net.connect(&address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("role: None, node: None, address: Some(127.0.0.1:"), "{answer}");
        stopped.cancel();
        assert!(serving.join().await);
    }
    #[tokio::test]
    async fn a_request_under_way_is_answered_after_the_stop_and_nobody_new_is() {
        let host = Host::system();
        let port = Port::any(&host).await;
        let (address, stopped) = (port.address(), port.stopped.clone());
        let (arrived, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let slow = {
            let (arrived, go) = (arrived.clone(), go.clone());
            async move || {
                arrived.notify_one();
                go.notified().await;
                "answered"
            }
        };
        let router = Router::new().route("/", get(slow));
        let serving = host.tasks.spawn(port.name, serve(port, router));

        let mut stream = host.net.connect(&address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        arrived.notified().await;
        stopped.cancel();
        let ended = async {
            while host.net.connect(&address).await.is_ok() {}
            go.notify_one();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("answered"), "{answer}");
            assert!(serving.join().await);
        };
        timeout(Duration::from_secs(10), ended).await.expect("the port ends in time");
    }
}
