//! SSE: a session as a stream of events that breaks off and is taken up again.

use serde_json::json;

use crate::device::{Device, Who};
use crate::soon;
use crate::stack::{Plan, id, shared};
use crate::until;
use crate::web::{Visit, bodies};
use crate::wire::{HTTP, Way, Wire};

const STREAMS: [Way; 2] = [HTTP[1], HTTP[3]];

/// A device that was let in and has not asked for its stream yet.
async fn device(way: Way, key: &str) -> Wire {
    shared().device(way, &Who::key(key)).await.wire
}

async fn push(key: &str, body: &str) {
    let mut http = shared().http().await;
    http.push(&format!("keys?operation=1000&keys={key}"), body).await;
}

/// Asks for the stream, as a browser that has had events up to this one.
async fn open(wire: &mut Wire, last: &str) -> u16 {
    open_to_retry(wire, last, 1000).await
}

/// The same where the comet asks to come back after so many milliseconds.
async fn open_to_retry(wire: &mut Wire, last: &str, retry_ms: u64) -> u16 {
    let header = match last {
        "" => String::new(),
        last => format!("Last-Event-ID: {last}\r\n"),
    };
    let target = wire.target();
    wire.ask_with(&header, "GET", &target, b"").await;
    let reply = soon("the head of a stream", wire.reply()).await.unwrap();
    if reply.status == 200 {
        assert_eq!(reply.header("content-type"), "text/event-stream");
        assert_eq!(reply.header("cache-control"), "no-store");
        let first = soon("its first line", wire.chunk()).await.unwrap();
        assert_eq!(first, format!("retry: {retry_ms}\n\n"));
    }
    reply.status
}

/// Reads a stream until this is in it.
async fn read_to(wire: &mut Wire, body: &str) -> String {
    let mut text = String::new();
    while !text.contains(body) || !text.ends_with("\n\n") {
        text += &soon("more of a stream", wire.chunk()).await.expect("more, not the end");
    }
    text
}

/// The last id in the text of a stream.
fn last_id(text: &str) -> String {
    let mut ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
    ids.next_back().expect("it has events").to_owned()
}

#[tokio::test]
async fn each_event_has_its_cursor() {
    for way in STREAMS {
        let key = id("key");
        let mut wire = device(way, &key).await;
        assert_eq!(wire.visit.cursor, "1", "the welcome came with the answer to the hello");
        assert_eq!(open(&mut wire, "").await, 200);
        push(&key, "first").await;
        let text = read_to(&mut wire, "first").await;
        assert_eq!(text, "id: 2\ndata: {\"type\":\"message\",\"op\":1000,\"data\":\"first\"}\n\n");
        push(&key, "second\nline").await;
        let text = read_to(&mut wire, "second").await;
        assert_eq!(
            text,
            "id: 3\ndata: {\"type\":\"message\",\"op\":1000,\"data\":\"second\\nline\"}\n\n"
        );
    }
}

#[tokio::test]
async fn a_stream_that_broke_is_taken_up_where_its_device_has_got() {
    for way in STREAMS {
        let key = id("key");
        let mut wire = device(way, &key).await;
        assert_eq!(open(&mut wire, "").await, 200);
        for round in 0..5 {
            push(&key, &format!("seen {round}")).await;
            let last = last_id(&read_to(&mut wire, &format!("seen {round}")).await);
            // What goes into a stream that nobody reads any more.
            for lost in 0..10 {
                push(&key, &format!("lost {round}/{lost}")).await;
            }
            let another = wire.another().await;
            let old = std::mem::replace(&mut wire, another);
            (wire.visit.session, wire.visit.cursor) =
                (old.visit.session.clone(), old.visit.cursor.clone());
            old.hang_up(round % 2 == 0);
            push(&key, &format!("between {round}")).await;
            assert_eq!(open(&mut wire, &last).await, 200);
            let text = read_to(&mut wire, &format!("between {round}")).await;
            let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
            let bodies: Vec<String> = data
                .map(|data| serde_json::from_str::<serde_json::Value>(data).unwrap())
                .map(|event| event["data"].as_str().unwrap().to_owned())
                .collect();
            let mut expected: Vec<_> = (0..10).map(|lost| format!("lost {round}/{lost}")).collect();
            expected.push(format!("between {round}"));
            assert_eq!(bodies, expected, "each once, in order");
        }
    }
}

#[tokio::test]
async fn who_was_away_for_more_than_is_kept_is_told_so_and_who_was_not_is_served() {
    for way in STREAMS {
        let key = id("key");
        let mut wire = device(way, &key).await;
        assert_eq!(open(&mut wire, "").await, 200);
        let mut text = String::new();
        for number in 0..320 {
            push(&key, &format!("number {number}.")).await;
            if number % 40 == 39 {
                text += &read_to(&mut wire, &format!("number {number}.")).await;
            }
        }
        let last: u64 = last_id(&text).parse().unwrap();
        assert_eq!(last, 321);
        // What it says that it has is forgotten, so that the next one has more.
        for (behind, status) in [(300, 410), (257, 410), (256, 200), (100, 200), (256, 410)] {
            let mut again = wire.another().await;
            again.visit.session.clone_from(&wire.visit.session);
            again.visit.cursor = "1".to_owned();
            assert_eq!(open(&mut again, &(last - behind).to_string()).await, status, "{behind}");
            if status == 200 {
                let text = read_to(&mut again, "number 319.").await;
                assert_eq!(text.matches("data: ").count() as u64, behind);
            }
        }
    }
}

#[tokio::test]
async fn a_session_goes_on_by_long_poll_and_by_sse_in_turns() {
    for way in STREAMS {
        let key = id("key");
        let mut wire = device(way, &key).await;
        for round in 0..3 {
            push(&key, &format!("polled {round}")).await;
            let Visit { session, cursor, .. } = &wire.visit;
            let target = format!("/sub/poll?session={session}&cursor={cursor}");
            let reply = wire.fetch("GET", &target, b"").await;
            assert_eq!(bodies(&mut wire, &reply), [format!("polled {round}")]);
            // What its answer had is acknowledged by the stream that follows it, and the other way round.
            assert_eq!(open(&mut wire, "").await, 200);
            push(&key, &format!("streamed {round}")).await;
            let text = read_to(&mut wire, &format!("streamed {round}")).await;
            assert_eq!(text.matches("data: ").count(), 1, "{text}");
            let another = wire.another().await;
            let old = std::mem::replace(&mut wire, another);
            wire.visit.session.clone_from(&old.visit.session);
            wire.visit.cursor = last_id(&text);
        }
    }
}

#[tokio::test]
async fn a_session_that_is_gone_or_a_forged_cursor_is_no_stream() {
    for way in STREAMS {
        let mut wire = device(way, &id("key")).await;
        assert_eq!(open(&mut wire, "9").await, 400);
        let mut wire = device(way, &id("key")).await;
        assert_eq!(open(&mut wire, "forged").await, 400);
        let mut wire = device(way, &id("key")).await;
        wire.visit.session = "0".repeat(32);
        assert_eq!(open(&mut wire, "").await, 410);
    }
}

#[tokio::test]
async fn a_quiet_stream_says_that_it_lives_and_ends_for_its_device_to_do_the_same() {
    // One each 100 ms for a second; and the last word of one that ends before it has to say so.
    for (poll_wait_ms, most) in [(100, 10), (25_000, 1)] {
        let change = |plan: &mut Plan| {
            plan.logic.heartbeat_ms = 1000;
            plan.logic.heartbeats_max = 2;
            plan.comet.poll_wait_ms = poll_wait_ms;
        };
        let stack = Plan::new().with(change).start().await;
        for way in STREAMS {
            let mut wire = stack.device(way, &Who::key(&id("key"))).await.wire;
            // On one connection, one after the other.
            for _ in 0..2 {
                assert_eq!(open_to_retry(&mut wire, "", 500).await, 200);
                let mut comments = 0;
                loop {
                    match soon("a comment or the end", wire.chunk()).await.unwrap().as_str() {
                        "" => break,
                        line => assert_eq!(line, ":\n\n"),
                    }
                    comments += 1;
                }
                assert!((1..=most).contains(&comments), "{comments}");
            }
            wire.ask("POST", &format!("/sub/close?session={}", wire.visit.session), b"").await;
            assert_eq!(soon("an answer", wire.reply()).await.unwrap().status, 204);
        }
    }
}

#[tokio::test]
async fn what_a_device_says_is_answered_in_its_stream() {
    for way in HTTP {
        let mut device = shared().device(way, &Who::key(&id("key"))).await;
        let room = id("room");
        let join = json!({"type": "join", "rooms": [room], "id": 7}).to_string();
        device.wire.send(join.as_bytes()).await;
        assert_eq!(device.json().await, json!({"type": "joined", "rooms": [room], "id": 7}));
        let push = json!({"target": {"room": room}, "op": 1, "body": "to the room"});
        until("a member is reached", async || {
            let receipt = shared().http().await.push_v1(push.clone()).await;
            receipt["summary"]["queued"] == 1
        })
        .await;
        device.expect(1, b"to the room").await;
        device.wire.send(b"{\n \"type\": \"leave\"}").await;
        assert_eq!(device.json().await["code"], "BAD_MESSAGE");
        device.beat().await;
    }
}

#[tokio::test]
async fn a_stream_that_is_not_read_costs_a_bounded_memory() {
    for way in STREAMS {
        let key = id("key");
        let mut wire = Wire::open_small(&shared().comets[0], way).await;
        wire.send(&crate::web::hello(&key)).await;
        let mut device = Device::over(wire);
        assert_eq!(device.json().await["type"], "welcome");
        let target = device.wire.target();
        device.wire.ask("GET", &target, b"").await;
        let push = json!({
            "target": {"keys": {"ids": [key]}}, "op": 1000, "body": "x".repeat(1 << 20),
        });
        let mut http = shared().http().await;
        let mut dropped = false;
        for _ in 0..64 {
            dropped |= http.push_v1(push.clone()).await["summary"]["dropped"] == 1;
        }
        assert!(dropped, "a stream that nobody reads takes 64 MiB");
    }
}
