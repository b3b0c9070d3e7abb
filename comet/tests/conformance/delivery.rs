//! Delivery: pushes to keys, mids and rooms, the same on every transport.

use futures_util::future::join_all;
use serde_json::json;

use crate::bytes::token;
use crate::device::{Device, Who};
use crate::http::Http;
use crate::soon;
use crate::stack::{Plan, id, mid, shared};
use crate::wire::{EVERY, GOIM, TCP, Transport, WEBSOCKET};

#[tokio::test]
async fn key_mid_and_room_pushes_reach_every_transport_on_every_comet() {
    let mut http = shared().http().await;
    for transport in EVERY {
        for doors in &shared().comets {
            let (mid, key, room) = (mid(), id("key"), id("room"));
            let who = Who { room: format!("live://{room}"), ..Who::user(mid, &key) };
            let mut device = Device::connect(doors, transport, &who).await;
            http.push(&format!("keys?operation=1000&keys={key}"), "to the key").await;
            device.expect(1000, b"to the key").await;
            http.push(&format!("mids?operation=1000&mids={mid}"), "to the mid").await;
            device.expect(1000, b"to the mid").await;
            http.push(&format!("room?operation=9&type=live&room={room}"), "to the room").await;
            device.expect(9, b"to the room").await;
            device.beat().await;
        }
    }
}

#[tokio::test]
async fn accepts_filters_keys_and_mids_and_not_rooms() {
    let mut http = shared().http().await;
    for transport in EVERY {
        let (mid, key, room) = (mid(), id("key"), id("room"));
        let who = Who { mid, key: key.clone(), room: format!("live://{room}"), accepts: vec![] };
        let mut device = shared().device(transport, &who).await;
        http.push(&format!("keys?operation=1&keys={key}"), "filtered").await;
        http.push(&format!("mids?operation=1&mids={mid}"), "filtered").await;
        http.push(&format!("room?operation=1&type=live&room={room}"), "not filtered").await;
        device.expect(1, b"not filtered").await;
        device.beat().await;
        let request = json!({"target": {"keys": {"ids": [key]}}, "op": 1, "body": "x"});
        assert_eq!(http.push_v1(request).await["summary"]["filtered"], 1);
    }
}

#[tokio::test]
async fn any_number_can_be_pushed_as_an_operation() {
    let ops = [0, 1, 2, 3, 5, 7, 8, 9, 10, 13, -1, i32::MAX, i32::MIN];
    let mut http = shared().http().await;
    for transport in EVERY {
        let (mid, key, room) = (mid(), id("key"), id("room"));
        let who = Who { room: format!("live://{room}"), ..Who::user(mid, &key).accepts(&ops) };
        let mut device = shared().device(transport, &who).await;
        for op in ops {
            for target in [format!("keys?keys={key}&"), format!("mids?mids={mid}&")] {
                http.push(&format!("{target}operation={op}"), "any").await;
                device.expect(op, b"any").await;
            }
            if op != 0 {
                let target = format!("room?operation={op}&type=live&room={room}");
                http.push(&target, "any").await;
                device.expect(op, b"any").await;
            }
        }
    }
}

#[tokio::test]
async fn empty_and_large_bodies_arrive_whole() {
    let mut http = shared().http().await;
    for transport in EVERY {
        let key = id("key");
        let mut device = shared().device(transport, &Who::key(&key)).await;
        for len in [0, 1, 4096, 4097, 100_000, 1 << 20] {
            let body: Vec<u8> = (0..len).map(|at| b'a' + (at % 26) as u8).collect();
            http.push(&format!("keys?operation=1000&keys={key}"), &body).await;
            device.expect(1000, &body).await;
        }
    }
}

#[tokio::test]
async fn a_body_is_bytes_and_arrives_as_it_was_sent() {
    let mut http = shared().http().await;
    let body: Vec<u8> = (0..=255).collect();
    for transport in EVERY {
        let key = id("key");
        let mut device = shared().device(transport, &Who::key(&key)).await;
        http.push(&format!("keys?operation=1000&keys={key}"), &body).await;
        assert_eq!(device.pushed().await, (1000, body.clone()));
    }
}

#[tokio::test]
async fn a_key_named_twice_is_pushed_to_twice() {
    let mut http = shared().http().await;
    for transport in GOIM {
        let key = id("key");
        let mut device = shared().device(transport, &Who::key(&key)).await;
        http.push(&format!("keys?operation=1000&keys={key}&keys={key}"), "twice").await;
        device.expect(1000, b"twice").await;
        device.expect(1000, b"twice").await;
        device.beat().await;
    }
}

#[tokio::test]
async fn a_room_reaches_all_its_members_on_all_comets_once_and_nobody_else() {
    let room = id("room");
    let mut members = Vec::new();
    let mut others = Vec::new();
    for transport in EVERY {
        for doors in &shared().comets {
            let in_room = Who::member(&format!("live://{room}"));
            members.push(Device::connect(doors, transport, &in_room).await);
            let elsewhere = Who::member(&format!("live://{room}2"));
            others.push(Device::connect(doors, transport, &elsewhere).await);
        }
    }
    let target = format!("room?operation=9&type=live&room={room}");
    shared().http().await.push(&target, "members").await;
    for device in &mut members {
        device.expect(9, b"members").await;
        device.beat().await;
    }
    for device in &mut others {
        device.beat().await;
    }
}

#[tokio::test]
async fn two_thousand_pushes_to_one_key_arrive_in_order() {
    let key = id("key");
    let mut device = shared().device(Transport::Tcp, &Who::key(&key)).await;
    let mut http = shared().http().await;
    let target = format!("keys?operation=1000&keys={key}");
    let pushing = async {
        for number in 0..2000 {
            http.push(&target, number.to_string()).await;
        }
    };
    let reading = async {
        for number in 0..2000 {
            device.expect(1000, number.to_string().as_bytes()).await;
        }
    };
    tokio::join!(pushing, reading);
}

#[tokio::test]
async fn two_thousand_room_pushes_from_eight_callers_all_arrive() {
    const CALLERS: usize = 8;
    const EACH: usize = 250;
    let room = id("room");
    let mut devices = Vec::new();
    for transport in EVERY {
        let who = Who::member(&format!("live://{room}"));
        devices.push(shared().device(transport, &who).await);
    }
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        let target = format!("room?operation=9&type=live&room={room}");
        callers.spawn(async move {
            let mut http = shared().http().await;
            for number in 0..EACH {
                http.push(&target, format!("{caller}/{number}")).await;
            }
        });
    }
    let mut readers = tokio::task::JoinSet::new();
    for mut device in devices {
        readers.spawn(async move {
            let mut next = [0; CALLERS];
            for _ in 0..CALLERS * EACH {
                let (_, body) = device.pushed().await;
                let body = String::from_utf8(body).unwrap();
                let (caller, number) = body.split_once('/').unwrap();
                let caller: usize = caller.parse().unwrap();
                assert_eq!(number, next[caller].to_string(), "caller {caller}, in its order");
                next[caller] += 1;
            }
            device.beat().await;
        });
    }
    callers.join_all().await;
    readers.join_all().await;
}

#[tokio::test]
async fn pushes_to_a_busy_room_share_a_message() {
    let stack = Plan::new().with(|plan| plan.comet.coalesce_ms = 100).start().await;
    let who = Who::member("live://busy");
    let mut device = stack.device(Transport::WebSocket, &who).await;
    let mut backends = [stack.http().await, stack.http().await, stack.http().await];
    let mut together = false;
    // Where the machine dawdles between them they are not within a window: then they come one by one.
    let sharing = async {
        while !together {
            let target = "room?operation=5&type=live&room=busy";
            join_all(backends.iter_mut().map(|http| http.push(target, "all"))).await;
            for _ in 0..backends.len() {
                device.expect(5, b"all").await;
                together |= device.unwrapped() > 0;
            }
        }
    };
    soon("a message with several pushes", sharing).await;
    device.beat().await;
}

#[tokio::test]
async fn goims_own_page_gets_its_pushes() {
    let mut http = shared().http().await;
    for (way, mid, room) in [(WEBSOCKET[0], 123, 1000), (WEBSOCKET[1], 124, 1001)] {
        let mut wire = shared().wire(way).await;
        let head = crate::bytes::hex("00000062 0010 0001 00000007 00000001", b"");
        let text = format!(
            r#"{{"mid":{mid}, "room_id":"live://{room}", "platform":"web", "accepts":[1000,1001,1002]}}"#
        );
        wire.send(&[&head[..], text.as_bytes()].concat()).await;
        wire.expect(&crate::bytes::frame(1, 8, 1, b"")).await;
        wire.send(&crate::bytes::frame(1, 2, 1, b"")).await;
        wire.expect(&crate::bytes::beaten(1, 1, 1)).await;
        http.push(&format!("mids?operation=1000&mids={mid}"), "to the user").await;
        wire.expect_push(&crate::bytes::pushed(1000, b"to the user")).await;
        http.push(&format!("room?operation=1000&type=live&room={room}"), "to the room").await;
        wire.expect_push(&crate::bytes::pushed(1000, b"to the room")).await;
    }
}

#[tokio::test]
async fn goims_benchmark_client_is_answered_and_pushed_to() {
    for way in TCP {
        let (first, room) = (mid(), id("bench"));
        let mut wire = shared().wire(way).await;
        let text = token(first, "", &format!("test://{room}"), &[1000, 1001, 1002]);
        wire.send(&crate::bytes::frame(1, 7, 0, &text)).await;
        wire.expect(&crate::bytes::frame(1, 8, 0, b"")).await;
        for seq in 1..=3 {
            wire.send(&crate::bytes::frame(0, 2, seq, b"")).await;
            wire.expect(&crate::bytes::beaten(0, seq, 1)).await;
        }
        let mut http: Http = shared().http().await;
        http.push(&format!("mids?operation=1000&mids={first}"), r#"{"m":{"test":1},"u":1}"#).await;
        wire.expect_push(&crate::bytes::pushed(1000, br#"{"m":{"test":1},"u":1}"#)).await;
        http.push(&format!("room?operation=1000&type=test&room={room}"), r#"{"test":7}"#).await;
        wire.expect_push(&crate::bytes::pushed(1000, br#"{"test":7}"#)).await;
    }
}
