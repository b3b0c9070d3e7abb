//! Hands a push of the demo page on to logic.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HOST, HeaderMap, ORIGIN};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;

use super::Demo;
use crate::error::one_line;

/// How long logic may take to answer the page: longer than any push it would make.
const PUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest receipt that is handed back, in bytes: a thousand targets with a few connections each.
const RECEIPT_BYTES_MAX: usize = 4 << 20;

pub(super) async fn push(State(demo): State<Demo>, headers: HeaderMap, body: Bytes) -> Response {
    if let Err(reason) = from_our_page(&headers) {
        return refusal(StatusCode::FORBIDDEN, "NOT_THE_DEMO_PAGE", reason);
    }
    match tokio::time::timeout(PUSH_TIMEOUT, hand_on(&demo, body)).await {
        Ok(Ok((status, receipt))) => {
            (status, [(CONTENT_TYPE, "application/json")], receipt).into_response()
        }
        Ok(Err(error)) => refusal(StatusCode::BAD_GATEWAY, "LOGIC_UNREACHABLE", &one_line(&error)),
        Err(_) => refusal(StatusCode::GATEWAY_TIMEOUT, "LOGIC_SILENT", "logic gave no answer"),
    }
}

/// Any page in the same browser can post to this machine, but none other than ours can both send JSON
/// and name our own origin.
fn from_our_page(headers: &HeaderMap) -> Result<(), &'static str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text(CONTENT_TYPE).split(';').next() != Some("application/json") {
        return Err("the content type must be application/json");
    }
    let host = text(HOST);
    let origin = text(ORIGIN);
    // Without an origin it is no browser. A name other than localhost may have been made to point here.
    let ours = origin.is_empty() || origin == format!("http://{host}");
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let known = name == "localhost" || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
    match ours && known {
        true => Ok(()),
        false => Err("the request must come from the demo page, by address or localhost"),
    }
}

async fn hand_on(demo: &Demo, body: Bytes) -> anyhow::Result<(StatusCode, Bytes)> {
    let mut address = demo.http;
    if address.ip().is_unspecified() {
        address = SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()));
    }
    let address = address.to_string();
    let stream = demo.host.net.connect(&address).await.context("connecting to logic")?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::post("/v1/push")
        .header(HOST, &address)
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body))?;
    let answer = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), RECEIPT_BYTES_MAX).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("reading the receipt: {error}"))?;
        Ok((status, body.to_bytes()))
    };
    tokio::select! {
        biased;
        // The connection is what moves the answer; it ends only when there is none to come.
        answer = answer => answer,
        ended = connection => Err(match ended {
            Ok(()) => anyhow::anyhow!("logic closed the connection"),
            Err(error) => error.into(),
        }),
    }
}

fn refusal(status: StatusCode, reason: &str, message: &str) -> Response {
    let text = json!({ "error": { "reason": reason, "message": message } }).to_string();
    (status, [(CONTENT_TYPE, "application/json")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(kind: &str, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, kind.parse().unwrap());
        headers.insert(HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(ORIGIN, origin.parse().unwrap());
        }
        from_our_page(&headers).is_ok()
    }

    #[test]
    fn only_our_own_page_and_no_browser_at_all_may_push() {
        let json = "application/json";
        assert!(verdict(json, "127.0.0.1:3131", Some("http://127.0.0.1:3131")));
        assert!(verdict("application/json; charset=utf-8", "localhost:3131", None));
        assert!(verdict(json, "[::1]:3131", Some("http://[::1]:3131")));
        assert!(!verdict("text/plain", "127.0.0.1:3131", Some("http://127.0.0.1:3131")));
        assert!(!verdict(json, "127.0.0.1:3131", Some("http://evil.example")));
        assert!(!verdict(json, "evil.example:3131", Some("http://evil.example:3131")));
    }
}
