//! HTTP sessions: how long they live, what they keep meanwhile, and how they end.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::json;
use tokio::time::sleep;

use crate::device::{Device, Who};
use crate::stack::{Plan, id, mid, shared};
use crate::web::{connections, device, hello};
use crate::wire::{HTTP, Transport, Wire};
use crate::{soon, until};

/// Ends the session of a device.
async fn close(wire: &mut Wire) {
    let target = format!("/sub/close?session={}", wire.visit.session);
    assert_eq!(wire.fetch("POST", &target, b"").await.status, 204);
}

#[tokio::test]
async fn whoever_never_polls_again_is_unbound_and_told_so_if_it_comes_back() {
    let change = |plan: &mut Plan| {
        plan.logic.heartbeat_ms = 400;
        plan.logic.heartbeats_max = 3;
    };
    let stack = Plan::new().with(change).start().await;
    for way in HTTP {
        let key = id("key");
        let mut device = stack.device(way, &Who::user(mid(), &key)).await;
        assert_eq!(connections(&stack, &key).await, 1);
        assert_eq!(device.wire.visit.wait_ms, 600, "half of the silence that is allowed");
        until("the goodbye", async || connections(&stack, &key).await == 0).await;
        device.expect_closed(4004).await;
        let mut wire = device.wire.another().await;
        let reply = wire.fetch("GET", &device.wire.target(), b"").await;
        let close = json!({"type": "close", "code": 4004, "reason": "silent"});
        assert_eq!((reply.status, reply.json()), (410, close));
        let mut wire = device.wire.another().await;
        let target = format!("/sub/send?session={}", device.wire.visit.session);
        assert_eq!(wire.fetch("POST", &target, br#"{"type":"ping"}"#).await.status, 410);
    }
}

#[tokio::test]
async fn whoever_polls_on_is_not_silent() {
    let change = |plan: &mut Plan| {
        plan.logic.heartbeat_ms = 400;
        plan.logic.heartbeats_max = 3;
        plan.comet.poll_wait_ms = 300;
    };
    let stack = Plan::new().with(change).start().await;
    let mut watched = Vec::new();
    for way in HTTP {
        let key = id("key");
        let mut device = stack.device(way, &Who::key(&key)).await;
        let doors = (*stack).clone();
        watched.push(async move {
            // Nothing is said by the device for four times as long as it may be silent.
            let quiet = tokio::time::timeout(Duration::from_millis(4800), device.wire.unit()).await;
            assert!(quiet.is_err(), "{way:?}: {quiet:?}");
            let mut http = doors.http().await;
            http.push(&format!("keys?operation=1000&keys={key}"), "still here").await;
            device.expect(1000, b"still here").await;
        });
    }
    futures_util::future::join_all(watched).await;
}

#[tokio::test]
async fn a_session_that_nobody_was_given_is_gone() {
    for way in HTTP {
        for session in ["0".repeat(32), "f".repeat(32)] {
            for (method, path) in
                [("GET", "poll"), ("GET", "events"), ("POST", "send"), ("POST", "close")]
            {
                let mut wire = shared().wire(way).await;
                let target = format!("/sub/{path}?session={session}&cursor=0");
                let reply = wire.fetch(method, &target, br#"{"type":"ping"}"#).await;
                assert_eq!(reply.status, 410, "{target}: {reply:?}");
                assert_eq!(reply.json()["code"], "NO_SUCH_SESSION");
                assert_eq!(reply.header("connection"), "close");
                wire.expect_end().await;
            }
        }
    }
}

#[tokio::test]
async fn a_session_that_only_another_comet_knows_is_gone() {
    let stack = Plan::new().with(|plan| plan.comets = 2).start().await;
    for way in HTTP {
        let wire = stack.device(way, &Who::key(&id("key"))).await.wire;
        let mut answers = Vec::new();
        for comet in &stack.comets {
            let target = format!("/sub/send?session={}", wire.visit.session);
            let mut other = Wire::silent(comet, way).await;
            answers.push(other.fetch("POST", &target, br#"{"type":"ping"}"#).await.status);
        }
        answers.sort_unstable();
        assert_eq!(answers, [204, 410]);
    }
}

#[tokio::test]
async fn a_device_that_says_goodbye_is_unbound_at_once() {
    for way in HTTP {
        let key = id("key");
        let mut wire = device(way, &key).await;
        // A request that waits ends with the session.
        wire.ask("GET", &wire.target(), b"").await;
        let mut other = wire.another().await;
        let target = format!("/sub/close?session={}", wire.visit.session);
        let reply = other.fetch("POST", &target, b"").await;
        assert_eq!((reply.status, reply.header("connection")), (204, "close"));
        other.expect_end().await;
        let reply = soon("an answer", wire.reply()).await.unwrap();
        if way == Transport::Poll {
            assert_eq!((reply.status, &reply.json()["code"]), (410, &json!("NO_SUCH_SESSION")));
        } else {
            while !soon("the end of a stream", wire.chunk()).await.unwrap().is_empty() {}
        }
        until("the goodbye", async || connections(shared(), &key).await == 0).await;
        // It is over, which may be said again, once for each connection.
        let mut other = wire.another().await;
        let reply = other.fetch("POST", &target, b"").await;
        assert_eq!((reply.status, reply.header("connection")), (204, "close"));
        other.expect_end().await;
    }
}

#[tokio::test]
async fn a_device_that_takes_no_answers_and_says_goodbye_is_unbound_soon() {
    for way in HTTP {
        let key = id("key");
        let mut wire = device(way, &key).await;
        for _ in 0..300 {
            wire.send(br#"{"type":"ping"}"#).await;
        }
        assert_eq!(connections(shared(), &key).await, 1);
        let mut other = wire.another().await;
        other.visit.session.clone_from(&wire.visit.session);
        close(&mut other).await;
        until("the goodbye", async || connections(shared(), &key).await == 0).await;
    }
}

#[tokio::test]
async fn a_kicked_device_is_told_why_whether_it_waits_or_comes_back_later() {
    for way in HTTP {
        for waits in [true, false] {
            let key = id("key");
            let mut wire = device(way, &key).await;
            if waits {
                wire.ask("GET", &wire.target(), b"").await;
            }
            let request = json!({"target": {"keys": {"ids": [key]}}}).to_string();
            shared().http().await.post("/v1/disconnect", request).await;
            until("the goodbye", async || connections(shared(), &key).await == 0).await;
            let mut device = Device::over(wire);
            if waits {
                let reply = soon("an answer", device.wire.reply()).await.unwrap();
                let mut text = reply.body;
                while way == Transport::Events && !text.contains("kicked") {
                    text += &soon("the last word", device.wire.chunk()).await.unwrap();
                }
                assert!(
                    text.contains(r#"{"type":"close","code":4002,"reason":"kicked"}"#),
                    "{text}"
                );
            } else {
                device.expect_closed(4002).await;
            }
        }
    }
}

#[tokio::test]
async fn what_a_session_that_is_over_keeps_is_given_once_a_connection() {
    for way in HTTP {
        let key = id("key");
        let wire = device(way, &key).await;
        let request = json!({"target": {"keys": {"ids": [key]}}}).to_string();
        shared().http().await.post("/v1/disconnect", request).await;
        until("the goodbye", async || connections(shared(), &key).await == 0).await;
        for _ in 0..2 {
            let mut again = wire.another().await;
            let reply = again.fetch("GET", &wire.target(), b"").await;
            assert_eq!((reply.status, reply.header("connection")), (200, "close"));
            let mut text = reply.body;
            if way == Transport::Events {
                while !text.contains("kicked") {
                    text += &soon("the last word", again.chunk()).await.unwrap();
                }
                assert_eq!(soon("the end of a stream", again.chunk()).await.unwrap(), "");
            }
            assert!(text.contains("kicked"), "{text}");
            again.expect_end().await;
        }
    }
}

#[tokio::test]
async fn a_session_that_its_device_never_learns_of_ends_at_once() {
    let mut stack = Plan::new().with(|plan| plan.comets = 0).start().await;
    let link = crate::link::Link::to(stack.logic.edge_address).await;
    stack.start_comet("behind-a-link", Some(link.address)).await;
    for (number, way) in (1..).zip(HTTP) {
        link.hold(true);
        let mut wire = Wire::silent(&stack.comets[0], way).await;
        wire.ask("POST", "/sub/poll", &hello(&id("key"))).await;
        assert!(wire.reply().now_or_never().is_none());
        sleep(Duration::from_millis(100)).await;
        wire.hang_up(true);
        sleep(Duration::from_millis(100)).await;
        link.hold(false);
        // It is welcome, to nobody, and would be silent for minutes.
        until("the goodbye", async || stack.counted("goodbyes") == number).await;
    }
}

#[tokio::test]
async fn a_session_that_its_device_never_names_ends_soon_and_one_that_it_did_stays() {
    let change = |plan: &mut Plan| {
        plan.comet.poll_wait_ms = 300;
        plan.comet.handshake_ms = 1000;
    };
    let stack = Plan::new().with(change).start().await;
    for way in HTTP {
        let [never, polled, posted] = [(); 3].map(|()| id("key"));
        let began = Instant::now();
        let wire = stack.device(way, &Who::key(&never)).await.wire;
        let mut polling = stack.device(way, &Who::key(&polled)).await.wire;
        // At once, when a sign of life says nothing new.
        let target = polling.target();
        polling.ask("GET", &target, b"").await;
        let mut posting = stack.device(way, &Who::key(&posted)).await.wire;
        posting.send(br#"{"type":"ping"}"#).await;
        assert_eq!(connections(&stack, &never).await, 1);
        until("the goodbye", async || connections(&stack, &never).await == 0).await;
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(1300), "{took:?}");
        let target = wire.target();
        let mut wire = wire.another().await;
        let reply = wire.fetch("GET", &target, b"").await;
        assert_eq!((reply.status, &reply.json()["code"]), (410, &json!("NO_SUCH_SESSION")));
        sleep(Duration::from_millis(1500)).await;
        for key in [&polled, &posted] {
            assert_eq!(connections(&stack, key).await, 1, "it may be silent for minutes");
        }
    }
}

#[tokio::test]
async fn a_session_has_a_place_of_its_own_and_keeps_it_to_its_end() {
    let change = |plan: &mut Plan| {
        plan.comet.connections_max = 3;
        plan.comet.handshake_ms = 1000;
    };
    for way in [HTTP[0], HTTP[1]] {
        // One of its own: places of the way before may not be free yet.
        let stack = Plan::new().with(change).start().await;
        // A place for the connection and one for the session: then one is left, for no other session.
        let mut wire = stack.device(way, &Who::key(&id("key"))).await.wire;
        let mut other = wire.another().await;
        let reply = other.fetch("POST", "/sub/poll", &hello("other")).await;
        assert_eq!((reply.status, &reply.json()["code"]), (503, &json!(1013)), "{way:?}");
        assert!(!reply.header("retry-after").is_empty());
        other.expect_end().await;
        close(&mut wire).await;
        until("its place is free", async || {
            let mut other = wire.another().await;
            let reply = other.fetch("POST", "/sub/poll", &hello("other")).await;
            if reply.status == 200 {
                let session = reply.json()["session"].as_str().unwrap().to_owned();
                other.visit.session = session;
                close(&mut other).await;
            }
            reply.status == 200
        })
        .await;
        drop(wire);
        until("all places are free", async || {
            let mut wires = Vec::new();
            for _ in 0..3 {
                let mut wire = Wire::silent(&stack.comets[0], way).await;
                wire.send_bytes(b"GET /sub/poll").await;
                wires.push(wire);
            }
            sleep(Duration::from_millis(100)).await;
            let mut held = 0;
            for mut wire in wires {
                let refused = wire.reply().now_or_never().flatten();
                held += usize::from(refused.is_none_or(|reply| reply.status != 503));
            }
            held == 3
        })
        .await;
    }
}

#[tokio::test]
async fn a_comet_that_stops_tells_those_who_wait() {
    let mut stack = Plan::new().start().await;
    let mut wires = Vec::new();
    for way in HTTP {
        let mut wire = stack.device(way, &Who::key(&id("key"))).await.wire;
        wire.ask("GET", &wire.target(), b"").await;
        wires.push(wire);
    }
    let reading = async {
        for wire in &mut wires {
            let reply = soon("an answer", wire.reply()).await.unwrap();
            let mut text = reply.body;
            while wire.transport == Transport::Events && !text.contains("close") {
                text += &soon("the last word", wire.chunk()).await.unwrap();
            }
            assert!(text.contains(r#"{"type":"close","code":1012,"reason":"drain"}"#), "{text}");
        }
    };
    let began = Instant::now();
    tokio::join!(reading, stack.stop_comet());
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}
