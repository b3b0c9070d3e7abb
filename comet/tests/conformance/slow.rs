//! Slow: a device or a logic that does not keep up is nobody else's trouble.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::bytes::{CLOSE, FIN, frame};
use crate::device::{Device, Who};
use crate::link::Link;
use crate::stack::{Doors, Plan, id, shared};
use crate::web::connections;
use crate::wire::{EVERY, GOIM, Transport, Way, Wire};
use crate::{soon, until};

/// A device that reads nothing, and so many pushes that its outbox is full.
async fn stuck(way: Way, key: &str) -> Device {
    stuck_with(shared(), 1 << 20, way, key).await
}

/// The same with pushes of so many bytes.
async fn stuck_with(stack: &Doors, bytes: usize, way: Way, key: &str) -> Device {
    let who = Who::key(key);
    let wire = Wire::open_small(&stack.comets[0], way).await;
    let mut device = Device::begin(wire, &who).await;
    device.let_in().await;
    let mut http = stack.http().await;
    let body = "x".repeat(bytes);
    let push = json!({"target": {"keys": {"ids": [key]}}, "op": 1000, "body": body});
    // The kernel takes a few of them.
    for _ in 0..(64 << 20) / bytes {
        let receipt = http.push_v1(push.clone()).await;
        if receipt["summary"]["dropped"] == 1 {
            return device;
        }
    }
    panic!("the outbox of a device that reads nothing never fills");
}

#[tokio::test]
async fn a_slow_device_keeps_nobody_else_from_their_push() {
    let mut http = shared().http().await;
    for way in EVERY {
        let (slow, fast) = (id("slow"), id("fast"));
        let _stuck = stuck(way, &slow).await;
        let mut device = shared().device(way, &Who::key(&fast)).await;
        for keys in [format!("keys={slow}&keys={fast}"), format!("keys={fast}&keys={slow}")] {
            let begun = Instant::now();
            http.push(&format!("keys?operation=1000&{keys}"), "x".repeat(100_000)).await;
            device.expect(1000, "x".repeat(100_000).as_bytes()).await;
            // A push that waited for an answer of the slow one would last three seconds.
            assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
        }
    }
}

/// Many of them fit an outbox.
const PART: usize = 64 << 10;

#[tokio::test]
async fn a_push_says_what_becomes_of_it_where_a_device_is_too_slow() {
    let mut http = shared().http().await;
    let newest = "y".repeat(PART);
    for way in EVERY {
        let key = id("slow");
        let mut device = stuck_with(shared(), PART, way, &key).await;
        let mut push = json!({"target": {"keys": {"ids": [key]}}, "op": 1000, "body": newest});
        push["when_full"] = "drop_newest".into();
        assert_eq!(http.push_v1(push.clone()).await["summary"]["dropped"], 1);
        push["when_full"] = "drop_oldest".into();
        assert_eq!(http.push_v1(push.clone()).await["summary"]["queued"], 1);
        while device.pushed().await.1 != newest.as_bytes() {}
        device.beat().await;
    }
}

/// Whether a device that is let go for being too slow is told so, where the protocol has a word for it. Who takes longer
/// than a second for what waits is reset, and the machine may be busy.
async fn is_told(way: Way) -> bool {
    let key = id("slow");
    let mut device = stuck_with(shared(), PART, way, &key).await;
    let push = json!({"target": {"keys": {"ids": [key]}}, "op": 1000, "body": "y".repeat(PART),
        "when_full": "close"});
    let receipt = shared().http().await.push_v1(push).await;
    let connection = &receipt["addresses"][0]["connections"][0];
    let found = (&connection["outcome"], &connection["reason"]);
    assert_eq!(found, (&json!("dropped"), &json!("outbox_full")), "{way:?}: {receipt}");
    let mut last = Vec::new();
    while let Some(unit) = soon("a push or the end", device.wire.unit()).await {
        last = unit;
    }
    until("the goodbye", async || connections(shared(), &key).await == 0).await;
    match way.speaks {
        Transport::Tcp | Transport::WebSocket => true,
        Transport::Json if last[0] != FIN | CLOSE => false,
        Transport::Json => {
            assert_eq!(last[2..], [&4003u16.to_be_bytes()[..], b"slow"].concat(), "{way:?}");
            true
        }
        Transport::Poll | Transport::Events => {
            let close = json!({"type": "close", "code": 4003, "reason": "slow"});
            assert_eq!(serde_json::from_slice::<Value>(&last).unwrap(), close, "{way:?}");
            true
        }
    }
}

#[tokio::test]
async fn who_is_let_go_for_being_too_slow_is_told_so_if_it_reads_on_soon() {
    const TRIES: usize = 10;
    for way in EVERY {
        let mut tries = 1;
        while !is_told(way).await {
            tries += 1;
            assert!(tries <= TRIES, "{way:?} is never told");
        }
    }
}

#[tokio::test]
async fn a_push_that_waits_at_a_full_outbox_is_told_that_its_connection_closed() {
    let stack = Plan::new().with(|plan| plan.logic.push_timeout_ms = 30_000).start().await;
    let large = "y".repeat(4 * PART);
    let mut stuck = Vec::new();
    for (way, kicked) in EVERY.into_iter().flat_map(|way| [(way, false), (way, true)]) {
        let key = id("slow");
        stuck.push((stuck_with(&stack, large.len(), way, &key).await, kicked, key));
    }
    let mut waiting = Vec::new();
    for (device, kicked, key) in stuck {
        let push = json!({"target": {"keys": {"ids": [key]}}, "op": 1000, "body": large,
            "wait_for": "written", "when_full": "drop_oldest"});
        let displaced = stack.counted("outbox_displaced");
        let mut http = stack.http().await;
        let receipt = tokio::spawn(async move { http.push_v1(push).await });
        until("it has its place", async || stack.counted("outbox_displaced") > displaced).await;
        assert!(!receipt.is_finished(), "{:?} has taken it", device.wire.transport);
        waiting.push((device, kicked, key, receipt));
    }
    let count = waiting.len() as u64;
    let ended = waiting.into_iter().map(async |(device, kicked, key, receipt)| {
        let way = device.wire.transport;
        // One that is kicked keeps its connection, and does not read on.
        let mut kept = None;
        if kicked {
            let request = json!({"target": {"keys": {"ids": [key]}}}).to_string();
            let answer = stack.http().await.post("/v1/disconnect", request).await;
            assert_eq!(answer.json()["closed"], 1, "{way:?}: {answer:?}");
            kept = Some(device);
        } else if way.speaks.is_http() {
            let target = format!("/sub/close?session={}", device.wire.visit.session);
            assert_eq!(device.wire.another().await.fetch("POST", &target, b"").await.status, 204);
        } else {
            device.wire.hang_up(false);
        }
        let receipt = soon("a receipt", receipt).await.unwrap();
        let connection = &receipt["addresses"][0]["connections"][0];
        let found = (&connection["outcome"], &connection["reason"]);
        assert_eq!(found, (&json!("dropped"), &json!("closed")), "{way:?}, {kicked}: {receipt}");
        until("the goodbye", async || connections(&stack, &key).await == 0).await;
        if let Some(mut device) = kept.filter(|_| way.speaks.is_http()) {
            device.expect_closed(4002).await;
        }
    });
    join_all(ended).await;
    until("all goodbyes are acknowledged", async || stack.counted("goodbyes") == count).await;
}

#[tokio::test]
async fn a_connection_with_a_full_outbox_is_replaced_like_any_other() {
    let mut http = shared().http().await;
    for way in EVERY {
        let key = id("key");
        // The old one's socket stays as it is until the end.
        let stuck = stuck(way, &key).await;
        let mut device = shared().device(way, &Who::key(&key)).await;
        device.beat().await;
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(shared().device(way, &Who::key(&id("other"))).await);
        }
        for other in &mut others {
            other.beat().await;
        }
        http.push(&format!("keys?operation=1000&keys={key}"), "to the new one").await;
        device.expect(1000, b"to the new one").await;
        drop(stuck);
    }
}

#[tokio::test]
async fn a_logic_that_does_not_answer_stalls_no_heartbeats() {
    let mut stack = Plan::new().with(|plan| plan.comets = 0).start().await;
    let link = Link::to(stack.logic.edge_address).await;
    stack.start_comet("behind-a-link", Some(link.address)).await;
    let mut devices = Vec::new();
    for transport in GOIM {
        devices.push(stack.device(transport, &Who::key(&id("key"))).await);
    }
    link.hold(true);
    for device in &mut devices {
        for seq in 0..50 {
            device.wire.send(&frame(1, 1234, seq, b"for the backend")).await;
            device.wire.expect(&frame(1, 1234, seq, b"")).await;
            device.beat().await;
        }
    }
    link.hold(false);
    // Nothing was lost on the way: devices connect again.
    stack.device(Transport::Tcp, &Who::key(&id("key"))).await;
}
