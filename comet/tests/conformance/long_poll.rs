//! Long-poll: a session over requests that break off, overlap, repeat and lie.

use std::time::{Duration, Instant};

use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::device::{Device, Who};
use crate::stack::{Plan, Stack, id, mid, shared};
use crate::web::{Reply, hello};
use crate::wire::{HTTP, Transport, Way, Wire};
use crate::{soon, until};

const POLLS: [Way; 2] = [HTTP[0], HTTP[2]];

/// A device that was let in, and has asked for nothing more.
async fn device(way: Way, key: &str) -> Wire {
    shared().device(way, &Who::key(key)).await.wire
}

/// Asks for events, and gives the answer.
async fn poll(wire: &mut Wire) -> Reply {
    let target = wire.target();
    wire.fetch("GET", &target, b"").await
}

/// The bodies of pushes in an answer; its cursor is taken as a device takes it.
fn bodies(wire: &mut Wire, reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let body = reply.json();
    wire.visit.cursor = body["cursor"].as_str().unwrap().to_owned();
    let events = body["events"].as_array().unwrap().iter();
    events.map(|event| event["data"].as_str().unwrap_or_default().to_owned()).collect()
}

async fn push(key: &str, body: &str) {
    let mut http = shared().http().await;
    http.push(&format!("keys?operation=1000&keys={key}"), body).await;
}

/// Pushes and waits until the kernel of a connection has it, or not for any longer.
async fn push_written(key: &str, body: &str) -> Value {
    let request = json!({
        "target": {"keys": {"ids": [key]}}, "op": 1000, "body": body, "wait_for": "written",
    });
    shared().http().await.push_v1(request).await["summary"].clone()
}

async fn connections(stack: &crate::stack::Doors, key: &str) -> usize {
    let path = format!("/v1/keys/{key}/connections");
    let list = stack.http().await.get(&path).await.json();
    list["connections"].as_array().unwrap().len()
}

#[tokio::test]
async fn nothing_is_lost_between_polls() {
    for way in POLLS {
        let key = id("key");
        let mut wire = device(way, &key).await;
        let mut got = Vec::new();
        for number in 0..20 {
            push(&key, &format!("{number} between")).await;
            push(&key, &format!("{number} as well")).await;
            while got.len() < 2 * number + 2 {
                let reply = poll(&mut wire).await;
                got.extend(bodies(&mut wire, &reply));
            }
        }
        let all = (0..20).flat_map(|n| [format!("{n} between"), format!("{n} as well")]);
        assert_eq!(got, all.collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_poll_whose_answer_was_lost_is_repeated_and_gets_the_same_events() {
    for way in POLLS {
        let key = id("key");
        let mut wire = device(way, &key).await;
        push(&key, "one").await;
        let before = wire.visit.cursor.clone();
        let lost = poll(&mut wire).await;
        assert_eq!(bodies(&mut wire, &lost), ["one"]);
        let after = std::mem::replace(&mut wire.visit.cursor, before.clone());
        assert_eq!(poll(&mut wire).await.body, lost.body);
        // One whose connection breaks off before the answer.
        let mut broken = wire.another().await;
        broken.ask("GET", &wire.target(), b"").await;
        broken.hang_up(true);
        assert_eq!(poll(&mut wire).await.body, lost.body);
        push(&key, "two").await;
        until("both", async || {
            wire.visit.cursor.clone_from(&before);
            let reply = poll(&mut wire).await;
            bodies(&mut wire, &reply) == ["one", "two"]
        })
        .await;
        // What is acknowledged is forgotten.
        wire.visit.cursor.clone_from(&after);
        let reply = poll(&mut wire).await;
        assert_eq!(bodies(&mut wire, &reply), ["two"]);
        wire.visit.cursor = before;
        let reply = poll(&mut wire).await;
        assert_eq!((reply.status, &reply.json()["code"]), (410, &json!("BAD_CURSOR")));
        // The session goes on for whoever knows where it is.
        let mut wire = Wire { visit: wire.visit, ..shared().wire(way).await };
        wire.visit.cursor = after;
        let reply = poll(&mut wire).await;
        assert_eq!(bodies(&mut wire, &reply), ["two"]);
    }
}

#[tokio::test]
async fn a_cursor_that_was_never_given_out_is_refused() {
    for way in HTTP {
        let key = id("key");
        let wire = device(way, &key).await;
        push(&key, "not shown yet").await;
        let given: u64 = wire.visit.cursor.parse().unwrap();
        for (cursor, code) in [
            ((given + 1).to_string(), "BAD_CURSOR"),
            ((given + 2).to_string(), "BAD_CURSOR"),
            (u64::MAX.to_string(), "BAD_CURSOR"),
            ("18446744073709551616".to_owned(), "BAD_REQUEST"),
            (format!("0{given}"), "BAD_REQUEST"),
            ("-1".to_owned(), "BAD_REQUEST"),
            (String::new(), "BAD_REQUEST"),
            ("%31".to_owned(), "BAD_REQUEST"),
        ] {
            let mut other = wire.another().await;
            let mut forged = Wire { visit: Default::default(), ..wire.another().await };
            forged.visit.session.clone_from(&wire.visit.session);
            forged.visit.cursor.clone_from(&cursor);
            let reply = other.fetch("GET", &forged.target(), b"").await;
            assert_eq!((reply.status, &reply.json()["code"]), (400, &json!(code)), "{cursor}");
        }
        // Nobody else noticed.
        let mut device = Device::over(wire);
        device.expect(1000, b"not shown yet").await;
    }
}

#[tokio::test]
async fn of_two_polls_the_newer_gets_the_events_and_the_older_ends_empty() {
    for way in HTTP {
        let key = id("key");
        let mut old = device(way, &key).await;
        let mut new = Wire { visit: Default::default(), ..old.another().await };
        new.visit.session.clone_from(&old.visit.session);
        new.visit.cursor.clone_from(&old.visit.cursor);
        old.ask("GET", &old.target(), b"").await;
        if way == Transport::Events {
            // The older one's answer has begun before the newer is asked for.
            let begun = soon("the head of a stream", old.reply()).await.unwrap();
            assert_eq!(begun.status, 200);
            assert!(soon("the first line", old.chunk()).await.unwrap().starts_with("retry: "));
        } else {
            sleep(Duration::from_millis(50)).await;
        }
        new.ask("GET", &new.target(), b"").await;
        if way == Transport::Events {
            assert_eq!(soon("the end of a stream", old.chunk()).await.unwrap(), "");
        } else {
            let ended = soon("an empty answer", old.reply()).await.unwrap();
            assert!(bodies(&mut old, &ended).is_empty());
        }
        assert_eq!(old.visit.cursor, new.visit.cursor);
        push(&key, "to the newer").await;
        if way == Transport::Events {
            new.reply().await.unwrap();
            let mut text = String::new();
            while !text.contains("to the newer") {
                text += &soon("the push", new.chunk()).await.unwrap();
            }
        } else {
            let reply = soon("an answer", new.reply()).await.unwrap();
            assert_eq!(bodies(&mut new, &reply), ["to the newer"]);
        }
    }
}

#[tokio::test]
async fn a_poll_waits_as_long_as_it_wants_and_no_longer_than_it_may() {
    // Each so much longer than the one before that no machine takes one for the other.
    const WAITS_MS: [u64; 2] = [500, 2000];
    let stack = Plan::new().with(|plan| plan.comet.poll_wait_ms = WAITS_MS[1]).start().await;
    for way in POLLS {
        let mut wire = stack.device(way, &Who::key(&id("key"))).await.wire;
        assert_eq!(wire.visit.wait_ms, WAITS_MS[1]);
        for (wait_ms, least, most) in
            [("", 2000, 10_000), ("&wait_ms=100000", 2000, 10_000), ("&wait_ms=500", 500, 2000)]
        {
            let target = format!("{}{wait_ms}", wire.target());
            let began = Instant::now();
            let reply = wire.fetch("GET", &target, b"").await;
            assert!(bodies(&mut wire, &reply).is_empty());
            let took = began.elapsed();
            let range = Duration::from_millis(least)..Duration::from_millis(most);
            assert!(range.contains(&took), "{wait_ms}: {took:?}");
        }
        let target = format!("{}&wait_ms=0", wire.target());
        let began = Instant::now();
        let reply = wire.fetch("GET", &target, b"").await;
        assert!(bodies(&mut wire, &reply).is_empty());
        assert!(began.elapsed() < Duration::from_millis(WAITS_MS[0]), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn only_what_a_socket_took_is_written() {
    for way in HTTP {
        let key = id("key");
        let wire = device(way, &key).await;
        let summary = push_written(&key, "nobody asks").await;
        assert_eq!(summary["written"], 0, "{way:?}: {summary}");
        let mut device = Device::over(wire);
        device.expect(1000, b"nobody asks").await;
        let pushing = push_written(&key, "somebody asks");
        let (summary, ()) = tokio::join!(pushing, device.expect(1000, b"somebody asks"));
        assert_eq!(summary["written"], 1, "{way:?}: {summary}");
    }
}

#[tokio::test]
async fn a_flood_while_nobody_polls_is_bounded_and_what_was_promised_arrives() {
    let change = |plan: &mut Plan| {
        plan.comet.outbox_frames = 50;
        plan.comet.coalesce_ms = 0;
    };
    let stack = Plan::new().with(change).start().await;
    for way in HTTP {
        let key = id("key");
        let mut device = stack.device(way, &Who::key(&key)).await;
        let mut http = stack.http().await;
        let mut queued = Vec::new();
        for number in 0..300 {
            let body = format!("{number} {}", "x".repeat(1000));
            let request = json!({"target": {"keys": {"ids": [key]}}, "op": 1000, "body": body});
            let summary = http.push_v1(request).await["summary"].clone();
            if summary["queued"] == 1 {
                queued.push(body);
            } else {
                assert_eq!(summary["dropped"], 1, "{summary}");
            }
        }
        // What waits to be asked for, and as much again as is about to.
        assert!((50..=100).contains(&queued.len()), "{}", queued.len());
        for body in queued {
            device.expect(1000, body.as_bytes()).await;
        }
        device.beat().await;
    }
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
async fn a_device_that_says_goodbye_is_unbound_at_once() {
    for way in HTTP {
        let key = id("key");
        let mut wire = device(way, &key).await;
        // A request that waits ends with the session.
        wire.ask("GET", &wire.target(), b"").await;
        let mut other = wire.another().await;
        let target = format!("/sub/close?session={}", wire.visit.session);
        let reply = other.fetch("POST", &target, b"").await;
        assert_eq!((reply.status, reply.header("connection").as_str()), (204, "close"));
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
        assert_eq!((reply.status, reply.header("connection").as_str()), (204, "close"));
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
async fn a_device_that_asks_on_with_an_old_cursor_is_pushed_no_more_and_loses_nothing() {
    let stack = Plan::new().with(|plan| plan.comet.outbox_frames = 50).start().await;
    for way in POLLS {
        let key = id("key");
        let mut wire = stack.device(way, &Who::key(&key)).await.wire;
        let (mut http, mut queued, mut dropped) = (stack.http().await, Vec::new(), 0);
        for number in 0..400 {
            let body = format!("{number} {}", "x".repeat(4000));
            let request = json!({"target": {"keys": {"ids": [key]}}, "op": 1000, "body": body});
            match http.push_v1(request).await["summary"]["queued"] == 1 {
                true => queued.push(body),
                false => dropped += 1,
            }
            let target = format!("{}&wait_ms=0", wire.target());
            assert_eq!(wire.fetch("GET", &target, b"").await.status, 200);
        }
        // What one answer shows, what is about to be, and what waits: more is not kept.
        assert!(dropped > 200, "{dropped} of 400 at {way:?}");
        let mut got = Vec::new();
        while got.len() < queued.len() {
            let reply = poll(&mut wire).await;
            assert!(reply.body.len() < 140_000, "{}", reply.body.len());
            got.extend(bodies(&mut wire, &reply));
        }
        assert!(got == queued);
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
        assert_eq!(
            (&body["session"], reply.header("connection").as_str()),
            (&Value::Null, "close")
        );
        let mut wire = Wire::silent(&stack.comets[1], way).await;
        let reply = wire.fetch("POST", "/sub/poll", &hello("key")).await;
        assert_eq!((reply.status, &reply.json()["events"][0]["code"]), (503, &json!(4005)));
        let seconds: u64 = reply.header("retry-after").parse().unwrap();
        assert!((5..=15).contains(&seconds), "{seconds}");
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

/// Ends the session of a device.
async fn close(wire: &mut Wire) {
    let target = format!("/sub/close?session={}", wire.visit.session);
    assert_eq!(wire.fetch("POST", &target, b"").await.status, 204);
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
            assert_eq!((reply.status, reply.header("connection").as_str()), (204, "close"));
            wire.expect_end().await;
        }
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
