//! Serve: gRPC over the host's listener. Tonic's own server first looks at a call in a task of the call,
//! when the order of the calls is already lost; here each takes its place as it is received.

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use orrery_host::{Peer, grpc};
use orrery_proto::push::push_service_server::SERVICE_NAME;
use tonic::service::Routes;

use crate::limits::STREAMS_PER_CONNECTION_MAX;
use crate::line::Line;
use crate::port::Port;

/// Serves until stopped, then until the calls under way are answered.
pub(crate) async fn serve(port: Port, routes: Routes) {
    let routes = routes.prepare();
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .keep_alive_interval(grpc::KEEP_ALIVE)
        .keep_alive_timeout(grpc::KEEP_ALIVE);
    let open = |stream, peer: Peer| {
        let line = Line::default();
        let routes = TowerToHyperService::new(routes.clone());
        // Hyper calls this in the order of the requests; only what it returns runs side by side.
        let service = service_fn(move |mut request: Request<Incoming>| {
            if enters_queues(request.uri().path()) {
                request.extensions_mut().insert(line.join());
            }
            request.extensions_mut().insert(peer.clone());
            routes.call(request)
        });
        builder.serve_connection(TokioIo::new(stream), service)
    };
    port.serve(open, http2::Connection::graceful_shutdown).await;
}

/// Whether a call has to keep its place among the others of its connection.
fn enters_queues(path: &str) -> bool {
    let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE_NAME));
    matches!(method, Some("/Push" | "/PushMany" | "/Disconnect"))
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use axum::{Extension, Router};
    use http_body_util::{BodyExt, Empty};
    use hyper::body::Bytes;
    use hyper::client::conn::http2::handshake;
    use orrery_host::Host;

    use super::*;

    #[tokio::test]
    async fn a_call_knows_who_sent_it() {
        let host = Host::system();
        let port = Port::any(&host).await;
        let (address, stopped) = (port.address(), port.stopped.clone());
        let who = |Extension(peer): Extension<Peer>| async move { format!("{peer:?}") };
        let routes = Routes::from(Router::new().route("/", get(who)));
        let serving = host.tasks.spawn(port.name, serve(port, routes));

        let stream = TokioIo::new(host.net.connect(&address).await.unwrap());
        let (mut calls, connection) = handshake(TokioExecutor::new(), stream).await.unwrap();
        let connection = host.tasks.spawn("client", async { drop(connection.await) });
        let request = Request::get("http://logic/").body(Empty::<Bytes>::new()).unwrap();
        let answer = calls.send_request(request).await.unwrap().into_body();
        let answer = answer.collect().await.unwrap().to_bytes();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.contains("role: None, node: None, address: Some(127.0.0.1:"), "{answer}");
        drop((calls, connection));
        stopped.cancel();
        assert!(serving.join().await);
    }
}
