//! The demo page of `orrery dev`, and the one call it makes to a backend's port.
//!
//! A browser on this page's origin may not call logic's port, so the page posts here and the body is
//! handed on as it is.

mod forward;

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use orrery_host::Host;
use serde_json::json;

/// Nothing from elsewhere runs in the page; it speaks to this machine's sockets only.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; connect-src 'self' ws:";

#[derive(Clone)]
struct Demo {
    host: Host,
    websocket: SocketAddr,
    http: SocketAddr,
}

/// The routes of the page, for the admin port.
pub(crate) fn routes(host: Host, websocket: SocketAddr, http: SocketAddr) -> Router {
    Router::new()
        .route("/", get(async || file("text/html", include_str!("index.html"))))
        .route("/demo/style.css", get(async || file("text/css", include_str!("style.css"))))
        .route("/demo/page.js", get(async || file("text/javascript", include_str!("page.js"))))
        .route("/demo/config.json", get(config))
        .route("/demo/push", post(forward::push))
        .with_state(Demo { host, websocket, http })
}

fn file(kind: &str, text: &'static str) -> Response {
    let kind = format!("{kind}; charset=utf-8");
    let headers = [
        (CONTENT_TYPE, kind.as_str()),
        (CONTENT_SECURITY_POLICY, POLICY),
        // A page of another version must not speak to this one.
        (CACHE_CONTROL, "no-store"),
    ];
    (headers, text).into_response()
}

/// Where the page finds the other ports. A browser elsewhere reaches them under the name by which it
/// reached this one, so an address that is any of this machine's is told as its port only.
async fn config(State(demo): State<Demo>) -> Response {
    let reachable = |address: SocketAddr| (!address.ip().is_unspecified()).then_some(address.ip());
    axum::Json(json!({
        "websocket": { "host": reachable(demo.websocket), "port": demo.websocket.port() },
        "http": { "host": reachable(demo.http), "port": demo.http.port() },
    }))
    .into_response()
}
