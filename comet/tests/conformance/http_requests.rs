//! HTTP requests: those that are refused, badly made, too many, or of other origins.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::device::{Device, Who};
use crate::soon;
use crate::stack::{Plan, Stack, id, shared};
use crate::web::{POLLS, Reply, bodies, device, hello, poll};
use crate::wire::{HTTP, Wire};

#[tokio::test]
async fn a_refused_hello_and_one_without_a_logic_have_their_status() {
    let change = |plan: &mut Plan| {
        plan.logic.auth = orrery_logic::config::AuthMode::Closed;
        plan.comet.handshake_ms = 600;
    };
    let mut stack = Plan::new().with(change).start().await;
    let link = crate::link::Link::to(stack.logic.edge_address).await;
    stack.start_comet("behind-a-link", Some(link.address)).await;
    link.hold(true);
    for way in HTTP {
        let mut wire = Wire::silent(&stack.comets[0], way).await;
        let reply = wire.fetch("POST", "/sub/poll", &hello("key")).await;
        let body = reply.json();
        assert_eq!((reply.status, &body["events"][0]["code"]), (401, &json!("UNAUTHORIZED")));
        assert_eq!(body["events"][1], json!({"type":"close","code":4006,"reason":"unauthorized"}));
        assert_eq!((&body["session"], reply.header("connection")), (&Value::Null, "close"));
        let mut wire = Wire::silent(&stack.comets[1], way).await;
        let reply = wire.fetch("POST", "/sub/poll", &hello("key")).await;
        assert_eq!((reply.status, &reply.json()["events"][0]["code"]), (503, &json!(4005)));
        let seconds: u64 = reply.header("retry-after").parse().unwrap();
        assert!((5..=15).contains(&seconds), "{seconds}");
    }
}

#[tokio::test]
async fn requests_that_cannot_be_carried_out_are_refused() {
    for way in POLLS {
        let session = device(way, &id("key")).await.visit.session;
        let long = format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(60_000)).into_bytes();
        let send = format!("/sub/send?session={session}");
        for (method, target, body, status, code) in [
            ("GET", "/sub/none", &b""[..], 404, "BAD_REQUEST"),
            ("POST", "/sub/", b"", 404, "BAD_REQUEST"),
            ("PUT", "/sub/poll", b"", 405, "BAD_REQUEST"),
            ("GET", &send, b"", 405, "BAD_REQUEST"),
            ("POST", "/sub/poll", b"", 400, "BAD_MESSAGE"),
            ("POST", "/sub/poll", b"{}", 400, "BAD_MESSAGE"),
            ("POST", "/sub/poll", br#"{"type":"ping"}"#, 400, "NOT_READY"),
            ("POST", "/sub/poll", &long, 413, "BAD_MESSAGE"),
            ("POST", &send, b"\xff", 400, "BAD_MESSAGE"),
            ("POST", &send, b"", 400, "BAD_MESSAGE"),
            ("POST", &send, &long, 413, "BAD_MESSAGE"),
            ("POST", "/sub/send?session=1", b"{}", 400, "BAD_REQUEST"),
        ] {
            let mut wire = Wire::silent(&shared().comets[0], way).await;
            let reply = wire.fetch(method, target, body).await;
            assert_eq!((reply.status, &reply.json()["code"]), (status, &json!(code)), "{target}");
            assert_eq!(reply.header("cache-control"), "no-store");
        }
        let mut wire = Wire::silent(&shared().comets[0], way).await;
        let line = format!("X-Filler: {}\r\n", "x".repeat(8000));
        wire.ask_with(&line.repeat(3), "GET", "/sub/poll", b"").await;
        assert_eq!(soon("an answer", wire.reply()).await.unwrap().status, 431);
    }
}

#[tokio::test]
async fn whoever_takes_a_wrong_path_is_told_that_there_is_http_too() {
    for way in POLLS {
        let mut wire = Wire::silent(&shared().comets[0], way).await;
        let reply = wire.fetch("GET", "/poll", b"").await;
        assert_eq!(reply.status, 404);
        assert!(reply.body.contains("below it over HTTP"), "{reply:?}");
    }
}

#[tokio::test]
async fn whoever_asks_too_often_without_getting_on_is_closed_as_a_flood() {
    let change = |plan: &mut Plan| {
        plan.comet.frames_burst = 50;
        plan.comet.frames_per_second = 1;
    };
    let stack = Plan::new().with(change).start().await;
    for way in POLLS {
        let key = id("key");
        let mut wire = stack.device(way, &Who::key(&key)).await.wire;
        // Who gets on may ask as often as there is something.
        let mut http = stack.http().await;
        for number in 0..100 {
            http.push(&format!("keys?operation=1000&keys={key}"), number.to_string()).await;
            let reply = poll(&mut wire).await;
            assert_eq!(bodies(&mut wire, &reply), [number.to_string()]);
        }
        let target = format!("{}&wait_ms=0", wire.target());
        let mut last = String::new();
        for _ in 0..1000 {
            last = wire.fetch("GET", &target, b"").await.body;
            if last.contains("close") {
                break;
            }
        }
        assert!(last.contains(r#"{"type":"close","code":1002,"reason":"bad_protocol"}"#), "{last}");
    }
}

#[tokio::test]
async fn http_1_0_and_a_body_without_length_are_understood() {
    for way in POLLS {
        let mut wire = Wire::silent(&shared().comets[0], way).await;
        let body = String::from_utf8(hello(&id("key"))).unwrap();
        let len = body.len();
        let request = format!("POST /sub/poll HTTP/1.0\r\nContent-Length: {len}\r\n\r\n{body}");
        wire.send_bytes(request.as_bytes()).await;
        let reply = soon("an answer", wire.reply()).await.unwrap();
        assert_eq!((reply.status, &reply.json()["events"][0]["type"]), (200, &json!("welcome")));
        wire.expect_end().await;
        // In chunks, and without any length: then there is no body.
        let mut wire = Wire::silent(&shared().comets[0], way).await;
        let chunked = "POST /sub/poll HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        wire.send_bytes(format!("{chunked}{len:x}\r\n{body}\r\n0\r\n\r\n").as_bytes()).await;
        assert_eq!(soon("an answer", wire.reply()).await.unwrap().status, 200);
        wire.send_bytes(b"POST /sub/poll HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(soon("an answer", wire.reply()).await.unwrap().status, 400);
    }
}

/// Sends a request, and gives its answer and the connection.
async fn answer(device: &Device, request: &[u8]) -> (Wire, Reply) {
    let mut wire = device.wire.another().await;
    wire.send_bytes(request).await;
    let reply = soon("an answer", wire.reply()).await.expect("an answer, not the end");
    (wire, reply)
}

#[tokio::test]
async fn a_length_that_makes_no_sense_is_refused() {
    for way in HTTP {
        let mut device = shared().device(way, &Who::key(&id("key"))).await;
        let send = format!("POST /sub/send?session={}", device.wire.visit.session);
        let events = format!("GET {}", device.wire.target());
        for line in ["POST /sub/poll", &send, &events] {
            for (version, headers, status) in [
                ("1.1", "Content-Length: -1", 400),
                ("1.1", "Content-Length: +15", 400),
                ("1.1", "Content-Length: fifteen", 400),
                ("1.1", "Content-Length: ", 400),
                ("1.1", "Content-Length: 15, 16", 400),
                ("1.1", "Content-Length: 99999999999999999999", 400),
                ("1.1", "Content-Length: 18446744073709551615", 431),
                ("1.1", "Content-Length: 15\r\nContent-Length: 16", 400),
                ("1.1", "Transfer-Encoding: gzip", 400),
                ("1.1", "Transfer-Encoding: chunked, gzip", 400),
                ("1.0", "Transfer-Encoding: chunked", 400),
            ] {
                let head = format!("{line} HTTP/{version}\r\nHost: localhost\r\n{headers}\r\n\r\n");
                let request = [head.as_bytes(), br#"{"type":"ping"}"#].concat();
                let (mut wire, reply) = answer(&device, &request).await;
                assert_eq!((reply.status, reply.body.as_str()), (status, ""), "{way:?}: {head}");
                wire.expect_end().await;
            }
        }
        for line in ["POST /sub/poll", &send] {
            for chunks in [
                "10000000000000000\r\n{}",
                "-1\r\n{}\r\n0\r\n\r\n",
                "two\r\n{}\r\n0\r\n\r\n",
                "1\r\n{}\r\n0\r\n\r\n",
            ] {
                let head = "HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked";
                let request = format!("{line} {head}\r\n\r\n{chunks}");
                let (mut wire, reply) = answer(&device, request.as_bytes()).await;
                let found = (reply.status, &reply.json()["code"]);
                assert_eq!(found, (400, &json!("BAD_REQUEST")), "{way:?}: {request}");
                wire.expect_end().await;
            }
        }
        // Nothing of it was carried out: its pong comes first.
        device.beat().await;
    }
}

#[tokio::test]
async fn where_there_are_chunks_a_length_counts_for_nothing_and_no_request_follows() {
    let chunked = "Transfer-Encoding: chunked";
    for way in HTTP {
        let mut device = shared().device(way, &Who::key(&id("key"))).await;
        let session = device.wire.visit.session.clone();
        for (number, length) in ["Content-Length: 4", "Content-Length: 40000"].iter().enumerate() {
            for headers in [format!("{length}\r\n{chunked}"), format!("{chunked}\r\n{length}")] {
                let text = json!({"type": "ping", "id": number}).to_string();
                let head = format!("POST /sub/send?session={session} HTTP/1.1\r\n{headers}");
                let whole = format!("{head}\r\n\r\n{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
                // What a proxy that goes by the length takes for something else.
                let next = format!("POST /sub/close?session={session} HTTP/1.1\r\n\r\n");
                let (mut wire, reply) = answer(&device, (whole + &next).as_bytes()).await;
                assert_eq!((reply.status, reply.header("connection")), (204, "close"), "{head}");
                wire.expect_end().await;
                assert_eq!(device.json().await, json!({"type": "pong", "id": number}), "{way:?}");
            }
        }
        device.beat().await;
    }
}

/// A stack that does not wait long for requests.
async fn brisk() -> Stack {
    Plan::new().with(|plan| plan.comet.handshake_ms = 600).start().await
}

#[tokio::test]
async fn half_a_request_is_cut_off_at_the_deadline_of_the_handshake() {
    let stack = brisk().await;
    for way in POLLS {
        let began = Instant::now();
        let mut wires = Vec::new();
        for half in [
            &b"GET /su"[..],
            b"GET /sub/poll?session=1 HTTP/1.1\r\nHost: localhost\r\n",
            b"POST /sub/poll HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
        ] {
            let mut wire = Wire::silent(&stack.comets[0], way).await;
            wire.send_bytes(half).await;
            wires.push(wire);
        }
        // One that has had an answer, and goes on with half a request.
        let mut wire = stack.device(way, &Who::key(&id("key"))).await.wire;
        wire.send_bytes(b"GET /sub/poll").await;
        wires.push(wire);
        for mut wire in wires {
            wire.visit = Default::default();
            while let Some(reply) = soon("an answer or the end", wire.reply()).await {
                assert_eq!(reply.status, 408, "{reply:?}");
            }
        }
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(600) && took < Duration::from_secs(6), "{took:?}");
    }
}

#[tokio::test]
async fn pages_of_other_origins_are_let_in_where_the_comet_is_told_so() {
    let page = "Origin: https://app.example\r\n";
    let mut wire = Wire::silent(&shared().comets[0], HTTP[0]).await;
    wire.ask_with(page, "POST", "/sub/poll", &hello(&id("key"))).await;
    let reply = soon("an answer", wire.reply()).await.unwrap();
    assert_eq!(reply.header("access-control-allow-origin"), "", "none unless configured");
    for (allowed, other) in [("https://app.example", ""), ("*", "https://other.example")] {
        let allow_origins = vec!["https://more.example".to_owned(), allowed.to_owned()];
        let plan = Plan::new().with(|plan| plan.comet.allow_origins = allow_origins);
        let stack = plan.start().await;
        let mut wire = Wire::silent(&stack.comets[0], HTTP[0]).await;
        wire.ask_with(page, "OPTIONS", "/sub/send", b"").await;
        let reply = soon("an answer", wire.reply()).await.unwrap();
        assert_eq!(reply.status, 204);
        assert_eq!(reply.header("access-control-allow-origin"), "https://app.example");
        assert_eq!(reply.header("access-control-allow-methods"), "GET, POST");
        assert_eq!(reply.header("access-control-allow-headers"), "content-type, last-event-id");
        assert_eq!(reply.header("vary"), "origin");
        assert_eq!(reply.header("access-control-expose-headers"), "retry-after");
        let mut wire = Wire::silent(&stack.comets[0], HTTP[0]).await;
        wire.ask_with("Origin: https://other.example\r\n", "GET", "/sub/poll", b"").await;
        let reply = soon("an answer", wire.reply()).await.unwrap();
        assert_eq!(reply.header("access-control-allow-origin"), other, "a refusal too");
    }
}

#[tokio::test]
async fn a_preflight_keeps_no_place() {
    for way in POLLS {
        for headers in ["", "Connection: keep-alive\r\n"] {
            let mut wire = Wire::silent(&shared().comets[0], way).await;
            wire.ask_with(headers, "OPTIONS", "/sub/poll", b"").await;
            let reply = soon("an answer", wire.reply()).await.unwrap();
            assert_eq!((reply.status, reply.header("connection")), (204, "close"));
            wire.expect_end().await;
        }
    }
}
