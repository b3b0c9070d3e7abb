//! A plain HTTP client.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use orrery_host::Host;
use serde_json::Value;

/// What the logic answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn content_type(&self) -> &str {
        self.header("content-type")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The reason of a refusal.
    pub(crate) fn reason(&self) -> (u16, String) {
        let json = self.json();
        let error = &json["error"];
        assert_eq!(error["code"], self.status);
        assert_eq!(error["details"][0]["domain"], "orrery", "{}", self.body);
        let reason = error["details"][0]["reason"].as_str().unwrap();
        is_documented(reason);
        (self.status, reason.to_owned())
    }
}

/// Each reason stands in the OpenAPI document.
pub(crate) fn is_documented(reason: &str) {
    let document = include_str!("../../../openapi.json");
    assert!(document.contains(&format!("\"const\": \"{reason}\"")), "{reason}");
}

/// Sends one request over a connection of its own.
pub(crate) async fn send(
    host: &Host,
    address: SocketAddr,
    method: &str,
    path: &str,
    body: Bytes,
) -> Answer {
    let stream = host.net.connect(&address.to_string()).await.expect("the port is open");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    let _driver = host.tasks.spawn("http client", async move {
        let _ = connection.await;
    });
    let request = http::Request::builder().method(method).uri(path).header("host", "test");
    let request = request.body(Full::new(body)).unwrap();
    let (head, body) = sender.send_request(request).await.expect("an answer").into_parts();
    let body = body.collect().await.expect("a whole answer").to_bytes();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}
