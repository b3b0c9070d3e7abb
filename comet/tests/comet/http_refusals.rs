//! HTTP refusals: how a device over HTTP is told that what it asked for is not done.

use std::sync::Arc;
use std::time::Duration;

use orrery_host::Host;
use orrery_proto::edge::edge_request::Kind as Request;
use orrery_proto::registry::command::Kind as Write;
use serde_json::json;
use tokio::time::Instant;

use crate::support::Stage;
use crate::support::logic::Fate;
use crate::support::memory::{DOOR, MemoryNet};
use crate::support::web::Web;

#[tokio::test]
async fn a_hello_whose_place_another_connection_has_is_answered_with_410_and_why() {
    for fate in [Fate::Outrank, Fate::Gone] {
        let stage = Stage::new().await;
        stage.logic.rule(move |request| match request {
            Request::Write(write) if matches!(write.kind, Some(Write::Bind(_))) => fate,
            _ => Fate::Answer,
        });
        let mut web = Web::connect(&stage.host, stage.comet.websocket_address()).await;
        let refused = web.fetch("POST", "/sub/poll", r#"{"type":"hello","user":"1"}"#).await;
        let close = json!({"type": "close", "code": 4001, "reason": "replaced"});
        assert_eq!((refused.status, refused.json()), (410, json!({"events": [close]})), "{fate:?}");
        assert_eq!((refused.header("connection"), refused.header("retry-after")), ("close", ""));
        web.ended().await;
    }
}

/// Requests that are refused before anybody wants their body.
const REFUSED: [(&str, &str, u16); 5] = [
    ("POST", "/sub/none", 404),
    ("PUT", "/sub/poll", 405),
    ("POST", "/sub/send?session=1", 400),
    ("POST", "/sub/send?session=00000000000000000000000000000001", 410),
    ("POST", "/sub/close?session=00000000000000000000000000000001", 410),
];

#[tokio::test]
async fn a_refusal_is_not_reset_away_by_a_body_that_nobody_wanted() {
    // On a network where whoever writes to a stream that nobody has knows it at once.
    let host = Host { net: Arc::new(MemoryNet::new()), ..Host::system() };
    let _stage = Stage::on(host.clone(), |config| config.websocket_listen = DOOR).await;
    // More than is read with the head, and less than is thrown away.
    let body = "x".repeat(60_000);
    for (method, target, status) in REFUSED.into_iter().chain([("POST", "/sub/poll", 413)]) {
        let mut web = Web::connect(&host, DOOR).await;
        let refused = web.fetch(method, target, &body).await;
        assert_eq!((refused.status, refused.header("connection")), (status, "close"), "{target}");
        web.ended().await;
    }
}

#[tokio::test]
async fn who_waits_to_be_told_to_send_a_body_is_refused_at_once_and_who_sends_none_soon() {
    let stage = Stage::new().await;
    for (method, target, status) in REFUSED {
        let mut web = Web::connect(&stage.host, stage.comet.websocket_address()).await;
        let head = format!("{method} {target} HTTP/1.1\r\nContent-Length: 60000\r\n");
        web.say(&format!("{head}Expect: 100-continue\r\n\r\n")).await;
        assert_eq!(web.reply().await.status, status, "{method} {target}");
        web.ended().await;
    }
    let began = Instant::now();
    let mut web = Web::connect(&stage.host, stage.comet.websocket_address()).await;
    web.say("POST /sub/none HTTP/1.1\r\nContent-Length: 60000\r\n\r\n").await;
    assert_eq!(web.reply().await.status, 404);
    web.ended().await;
    // The time of a handshake is five seconds.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
