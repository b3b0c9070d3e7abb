//! Long-poll: events over requests that break off, overlap, repeat and lie.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::time::sleep;

use crate::device::{Device, Who};
use crate::stack::{Plan, id, shared};
use crate::web::{POLLS, bodies, device, poll, push, push_written};
use crate::wire::{HTTP, Transport, Wire};
use crate::{soon, until};

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
