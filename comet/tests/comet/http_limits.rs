//! HTTP limits: how much of a comet a device over HTTP can hold, and for how long.

use std::sync::Arc;
use std::time::Duration;

use orrery_comet_core::limits::HTTP_ANSWERS_MAX;
use orrery_host::Host;
use orrery_proto::comet::DrainRequest;
use orrery_proto::delivery::Outcome;
use orrery_proto::edge::edge_request::Kind as Request;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::connect::user;
use crate::support::logic::Fate;
use crate::support::memory::{DOOR, MemoryNet};
use crate::support::web::{Reply, Web};
use crate::support::{Stage, soon};

const HELLO: &str = r#"{"type":"hello","user":"1"}"#;

/// The session of an answer to a hello, and where it begins.
fn session_of(welcome: &Reply) -> String {
    assert_eq!(welcome.status, 200, "{welcome:?}");
    let body = welcome.json();
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    format!("session={}&cursor={}", text("session"), text("cursor"))
}

#[tokio::test]
async fn a_device_that_asks_again_and_reads_nothing_has_a_few_answers_in_memory_and_no_more() {
    let host = Host { net: Arc::new(MemoryNet::new()), ..Host::system() };
    let stage = Stage::on(host.clone(), |config| config.websocket_listen = DOOR).await;
    let mut device = Web::connect(&host, DOOR).await;
    let session = session_of(&device.fetch("POST", "/sub/poll", HELLO).await);
    // More than fits between a device and the comet.
    let body = "x".repeat(60_000);
    let route = stage.logic.route(&user("1"));
    let outcome = stage.session().await.push(1, body.as_bytes(), &[&route]).await;
    assert_eq!(outcome, [Outcome::Queued]);

    let mut unread = Vec::new();
    for number in 0..HTTP_ANSWERS_MAX {
        let mut web = Web::connect(&host, DOOR).await;
        let path = ["poll", "events"][number % 2];
        web.ask("", "GET", &format!("/sub/{path}?{session}"), "").await;
        web.begun().await;
        if path == "events" {
            web.text_to("id: ").await;
        }
        unread.push(web);
    }
    for path in ["poll", "events"] {
        let mut web = Web::connect(&host, DOOR).await;
        let refused = web.fetch("GET", &format!("/sub/{path}?{session}"), "").await;
        assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("UNAVAILABLE")));
        assert!(!refused.header("retry-after").is_empty(), "{refused:?}");
    }
    // One is read, and there is room for one.
    let read = unread[0].reply().await.json();
    assert_eq!(read["events"][0]["data"], body);
    let again = soon("an answer", async {
        loop {
            let mut web = Web::connect(&host, DOOR).await;
            let reply = web.fetch("GET", &format!("/sub/poll?{session}"), "").await;
            if reply.status != 429 {
                return reply;
            }
        }
    });
    assert_eq!(again.await.json(), read, "nothing is lost meanwhile");
}

#[tokio::test]
async fn a_first_hello_its_body_and_its_authentication_have_together_the_time_of_a_handshake() {
    const HANDSHAKE: Duration = Duration::from_millis(2000);
    const PART: Duration = Duration::from_millis(600);
    let stage = Stage::with(|config| config.handshake_ms = HANDSHAKE.as_millis() as u64).await;
    stage.logic.rule(|request| match request {
        Request::Authenticate(it) if it.credentials.windows(4).any(|word| word == b"held") => {
            Fate::Hold
        }
        _ => Fate::Answer,
    });
    let body = r#"{"type":"hello","user":"held"}"#;
    let head = format!("POST /sub/poll HTTP/1.1\r\nContent-Length: {}\r\n\r\n", body.len());
    // What is said after each part of the time, and what is answered.
    let said = async |words: [&str; 2], status: u16| {
        let began = Instant::now();
        let mut web = Web::connect(&stage.host, stage.comet.websocket_address()).await;
        for word in words {
            sleep(PART).await;
            web.say(word).await;
        }
        let reply = web.reply().await;
        let took = began.elapsed();
        assert_eq!(reply.status, status, "{reply:?}");
        // With a time of its own the last part would have ended at the later moment.
        assert!(took >= HANDSHAKE && took < HANDSHAKE + 2 * PART, "{words:?}: {took:?}");
        reply
    };
    let later = async {
        let mut web = Web::connect(&stage.host, stage.comet.websocket_address()).await;
        let session = session_of(&web.fetch("POST", "/sub/poll", HELLO).await);
        for _ in 0..2 {
            let target = format!("/sub/poll?{session}&wait_ms=1500");
            assert_eq!(web.fetch("GET", &target, "").await.status, 200);
        }
        let welcome = web.fetch("POST", "/sub/poll", HELLO).await;
        assert_eq!(welcome.status, 200, "this one's time begins with it: {welcome:?}");
    };
    let authenticating = said([&head, body], 503);
    let (refused, _, ()) = tokio::join!(authenticating, said(["", &head], 408), later);
    assert_eq!(refused.json()["events"][0]["code"], 4005);
}

#[tokio::test]
async fn all_of_many_devices_have_their_last_words_though_none_asked_when_its_session_ended() {
    let host = Host { net: Arc::new(MemoryNet::new()), ..Host::system() };
    let stage = Stage::on(host.clone(), |config| config.websocket_listen = DOOR).await;
    let mut web = Web::connect(&host, DOOR).await;
    let mut sessions = Vec::new();
    // More than are remembered with all that was said in them.
    for _ in 0..1100 {
        let welcome = web.fetch("POST", "/sub/poll", r#"{"type":"hello"}"#).await;
        sessions.push(session_of(&welcome));
    }
    let mut operator = stage.operator();
    let drain = DrainRequest {
        comet: "comet-1".to_owned(),
        per_second: 100_000,
        ..DrainRequest::default()
    };
    operator.drain(drain).await.unwrap();
    stage.logic.until("all goodbyes", |logic| logic.routes().is_empty()).await;
    for session in sessions {
        let mut web = Web::connect(&host, DOOR).await;
        let polled = web.fetch("GET", &format!("/sub/poll?{session}"), "").await;
        assert_eq!(polled.status, 200, "{polled:?}");
        let events = polled.json()["events"].clone();
        assert_eq!((&events[0]["type"], &events[1]["code"]), (&json!("drain"), &json!(1012)));
    }
}
