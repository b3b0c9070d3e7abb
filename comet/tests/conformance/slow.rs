//! Slow: a device or a logic that does not keep up is nobody else's trouble.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bytes::frame;
use crate::device::{Device, Who};
use crate::link::Link;
use crate::stack::{Plan, id, shared};
use crate::wire::{ALL, EVERY, GOIM, Transport, Way, Wire};

/// A device that reads nothing, and so many pushes that its outbox is full.
async fn stuck(transport: impl Into<Way>, key: &str) -> Device {
    stuck_with(1 << 20, transport, key).await
}

/// The same with pushes of so many bytes.
async fn stuck_with(bytes: usize, transport: impl Into<Way>, key: &str) -> Device {
    let who = Who::key(key);
    let wire = Wire::open_small(&shared().comets[0], transport).await;
    let mut device = Device::begin(wire, &who).await;
    device.let_in().await;
    let mut http = shared().http().await;
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
    for transport in EVERY {
        let (slow, fast) = (id("slow"), id("fast"));
        let _stuck = stuck(transport, &slow).await;
        let mut device = shared().device(transport, &Who::key(&fast)).await;
        for keys in [format!("keys={slow}&keys={fast}"), format!("keys={fast}&keys={slow}")] {
            let begun = Instant::now();
            http.push(&format!("keys?operation=1000&{keys}"), "x".repeat(100_000)).await;
            device.expect(1000, "x".repeat(100_000).as_bytes()).await;
            // A push that waited for an answer of the slow one would last three seconds.
            assert!(begun.elapsed() < Duration::from_millis(2500), "{:?}", begun.elapsed());
        }
    }
}

#[tokio::test]
async fn a_push_says_what_becomes_of_it_where_a_device_is_too_slow() {
    /// Many of them fit an outbox.
    const PART: usize = 64 << 10;
    let mut http = shared().http().await;
    for transport in ALL {
        let (key, newest) = (id("slow"), "y".repeat(PART));
        let mut device = stuck_with(PART, transport, &key).await;
        let mut push = json!({"target": {"keys": {"ids": [key]}}, "op": 1000, "body": newest});
        push["when_full"] = "drop_newest".into();
        assert_eq!(http.push_v1(push.clone()).await["summary"]["dropped"], 1);
        push["when_full"] = "drop_oldest".into();
        assert_eq!(http.push_v1(push.clone()).await["summary"]["queued"], 1);
        while device.pushed().await.1 != newest.as_bytes() {}

        let key = id("slow");
        let mut device = stuck_with(PART, transport, &key).await;
        push["target"]["keys"]["ids"] = json!([key]);
        push["when_full"] = "close".into();
        let receipt = http.push_v1(push).await;
        assert_eq!(receipt["addresses"][0]["connections"][0]["reason"], "outbox_full");
        // It is told once it has read what waited, if it does so soon.
        while device.wire.unit().await.is_some() {}
    }
}

#[tokio::test]
async fn a_connection_with_a_full_outbox_is_replaced_like_any_other() {
    let mut http = shared().http().await;
    for transport in EVERY {
        let key = id("key");
        // The old one's socket stays as it is until the end.
        let stuck = stuck(transport, &key).await;
        let mut device = shared().device(transport, &Who::key(&key)).await;
        device.beat().await;
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(shared().device(transport, &Who::key(&id("other"))).await);
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
