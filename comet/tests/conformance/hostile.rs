//! Hostile: input that nobody well-meaning sends. Each has a clear answer, and harms only its sender.

use serde_json::json;

use crate::bytes::{BINARY, CONTINUATION, FIN, PING, TEXT, frame, hex, masked, token, unmasked};
use crate::device::{Device, Who};
use crate::soon;
use crate::stack::{Doors, Plan, id, shared};
use crate::until;
use crate::web::{POLLS, hello};
use crate::wire::{
    ALL, EVERY, GOIM, HTTP, JSON, SOCKETS, TCP, Transport, WEBSOCKET, Way, Wire, upgrade_request,
};

/// Devices on all workers of the first comet, who must not notice anything.
async fn bystanders() -> Vec<Device> {
    let mut bystanders = Vec::new();
    for transport in EVERY {
        for _ in 0..2 {
            bystanders.push(shared().device(transport, &Who::key(&id("bystander"))).await);
        }
    }
    bystanders
}

async fn unmoved(bystanders: Vec<Device>) {
    for mut bystander in bystanders {
        bystander.beat().await;
    }
}

/// Repeatable noise.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| byte()).collect()
}

#[tokio::test]
async fn noise_ends_or_is_waited_for_and_nobody_else_notices() {
    let bystanders = bystanders().await;
    for seed in 0..40 {
        for transport in ALL {
            let mut wire = shared().wire(transport).await;
            wire.send_bytes(&noise(seed, 300)).await;
            let mut bare = Wire::silent(&shared().comets[0], transport).await;
            bare.send_bytes(&noise(seed, 100)).await;
            let mut device = shared().device(transport, &Who::key(&id("noisy"))).await;
            device.wire.send_bytes(&noise(seed + 1000, 300)).await;
        }
        for way in HTTP {
            let mut wire = shared().wire(way).await;
            let head = b"POST /sub/poll HTTP/1.1\r\n".to_vec();
            wire.send_bytes(&[head, noise(seed, 300)].concat()).await;
            let mut device = shared().device(way, &Who::key(&id("noisy"))).await;
            device.wire.send_bytes(&noise(seed + 1000, 300)).await;
        }
    }
    unmoved(bystanders).await;
}

#[tokio::test]
async fn what_breaks_off_in_the_middle_is_forgotten() {
    let bystanders = bystanders().await;
    for way in EVERY {
        let frame = frame(1, 7, 1, &token(0, &id("half"), "", &[]));
        let hello = hello(&id("half"));
        let whole = match way.speaks {
            Transport::Tcp => frame,
            Transport::WebSocket => masked(FIN | BINARY, &frame),
            Transport::Json => masked(FIN | TEXT, &hello),
            Transport::Poll | Transport::Events => {
                let head = format!("Content-Length: {}\r\n\r\n", hello.len());
                [b"POST /sub/poll HTTP/1.1\r\n", head.as_bytes(), &hello].concat()
            }
        };
        for cut in 0..whole.len() {
            let mut wire = shared().wire(way).await;
            wire.send_bytes(&whole[..cut]).await;
        }
    }
    unmoved(bystanders).await;
}

#[tokio::test]
async fn lengths_that_overflow_close() {
    for way in SOCKETS {
        let data = if way == Transport::Json { TEXT } else { BINARY };
        for length in [1 << 31, 1 << 32, 1 << 63, u64::MAX] {
            for (first, code) in [(FIN | data, 1009), (data, 1009), (FIN | CONTINUATION, 1002)] {
                let mut device = shared().device(way, &Who::key(&id("key"))).await;
                let mut bytes = vec![first, 0xff];
                bytes.extend(length.to_be_bytes());
                bytes.extend([0; 8]);
                device.wire.send_bytes(&bytes).await;
                device.expect_closed(code).await;
            }
            // The second part brings the sum over the limit.
            let mut device = shared().device(way, &Who::key(&id("key"))).await;
            let mut bytes = [masked(data, &[b' '; 8000]), vec![FIN | CONTINUATION, 0xff]].concat();
            bytes.extend(length.to_be_bytes());
            device.wire.send_bytes(&bytes).await;
            device.expect_closed(1009).await;
        }
    }
}

#[tokio::test]
async fn control_frames_that_are_too_long_or_in_parts_close() {
    for bytes in
        [masked(FIN | PING, &[0; 126]), masked(PING, b"part"), unmasked(FIN | PING, &[0; 70_000])]
    {
        for way in SOCKETS {
            let mut device = shared().device(way, &Who::key(&id("key"))).await;
            device.wire.send_bytes(&bytes).await;
            device.expect_closed(1002).await;
        }
    }
}

#[tokio::test]
async fn frames_inside_an_op_9_are_not_carried_out() {
    let mut http = shared().http().await;
    for transport in GOIM {
        let (room, other) = (id("room"), id("other"));
        let who = Who::member(&format!("t://{room}"));
        let mut device = shared().device(transport, &who).await;
        let change = frame(1, 12, 1, format!("t://{other}").as_bytes());
        let nested = frame(1, 9, 2, &frame(1, 9, 3, &change));
        device.wire.send(&nested).await;
        if transport == Transport::WebSocket {
            device.wire.expect(&frame(1, 9, 2, b"")).await;
        }
        http.push(&format!("room?operation=1&type=t&room={other}"), "not here").await;
        http.push(&format!("room?operation=1&type=t&room={room}"), "here").await;
        device.expect(1, b"here").await;
        assert_eq!(device.count().await, 1);
    }
}

#[tokio::test]
async fn a_token_that_is_not_utf8_is_refused() {
    for transport in GOIM {
        let mut wire = shared().wire(transport).await;
        wire.send(&frame(1, 7, 1, b"{\"key\":\"\xff\xfe\"}")).await;
        wire.expect_end().await;
    }
    let hello = b"{\"type\":\"hello\",\"key\":\"\xff\xfe\"}";
    for way in JSON {
        let mut device = Device::over(shared().wire(way).await);
        device.wire.send(hello).await;
        device.expect_closed(1007).await;
    }
    for way in POLLS {
        let mut wire = shared().wire(way).await;
        let reply = wire.fetch("POST", "/sub/poll", hello).await;
        assert_eq!((reply.status, &reply.json()["code"]), (400, &json!("BAD_MESSAGE")), "{way:?}");
        wire.expect_end().await;
    }
}

#[tokio::test]
async fn ids_that_are_too_long_are_refused() {
    for transport in GOIM {
        for (key, room) in [("k".repeat(129), String::new()), (String::new(), "r".repeat(129))] {
            let mut wire = shared().wire(transport).await;
            wire.send(&frame(1, 7, 1, &token(0, &key, &room, &[]))).await;
            wire.expect_end().await;
        }
    }
    for way in EVERY {
        let longest = format!("{:k>128}", id(""));
        shared().device(way, &Who::key(&longest)).await;
    }
    let long = "x".repeat(10_240);
    let mut http = shared().http().await;
    for target in [
        format!("/goim/push/keys?operation=1&keys=short&keys={long}"),
        format!("/goim/push/room?operation=1&type=t&room={long}"),
        format!("/goim/push/room?operation=1&type={long}&room=r"),
    ] {
        let answer = http.post(&target, "x").await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert_eq!(answer.json()["code"], -400);
        assert!(answer.body.contains("128"), "the limit is named: {answer:?}");
    }
    for target in [json!({"users": {"ids": [long]}}), json!({"room": long})] {
        let answer = http.post("/v1/push", json!({"target": target}).to_string()).await;
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.body.contains("ID_TOO_LONG"), "{answer:?}");
    }
    let counts = http.get(&format!("/goim/online/room?type=t&rooms={long}")).await;
    assert_eq!(counts.json()["data"][&long], 0);
    assert_eq!(http.get(&format!("/v1/users/{long}/connections")).await.status, 400);
}

#[tokio::test]
async fn a_sub_protocol_that_is_not_ours_is_not_selected_and_goim_is_spoken() {
    for offer in ["chat", "orrery.json.v2", "orrery.json.v1x", "ORRERY.JSON.V1"] {
        for way in WEBSOCKET {
            let mut wire = Wire::silent(&shared().comets[0], way).await;
            let header = format!("Sec-WebSocket-Protocol: {offer}\r\n");
            wire.send_bytes(upgrade_request("/sub", &header).as_bytes()).await;
            let head = wire.http_head().await.to_lowercase();
            assert!(head.starts_with("http/1.1 101"), "{head}");
            assert!(!head.contains("sec-websocket-protocol"), "{offer}: {head}");
            wire.send(&frame(1, 7, 1, b"{}")).await;
            wire.expect(&frame(1, 8, 1, b"")).await;
        }
    }
}

#[tokio::test]
async fn floods_are_closed_and_say_so_where_they_can() {
    let change = |plan: &mut Plan| {
        plan.comet.frames_burst = 100;
        plan.comet.frames_per_second = 1;
        plan.comet.bytes_burst = 100_000;
        plan.comet.bytes_per_second = 1;
    };
    let stack = Plan::new().with(change).start().await;
    let mut bystander = stack.device(Transport::Tcp, &Who::key("bystander")).await;
    for transport in ALL {
        // Small ones, of which there are too many, and large ones, of which a few are too much.
        let (small, large) = (frame(1, 2, 1, b""), frame(1, 2, 1, &[b'x'; 4096]));
        let text = br#"{"type":"ping"}"#;
        let ping = (masked(FIN | PING, b""), 150);
        let floods = match transport.speaks {
            Transport::Poll | Transport::Events => unreachable!("it is none of these"),
            Transport::Tcp => vec![(small, 150), (large, 50)],
            Transport::WebSocket => {
                vec![ping, (masked(0x82, &small), 150), (masked(0x82, &large), 50)]
            }
            Transport::Json => {
                let long = [&text[..], &[b' '; 4000]].concat();
                vec![ping, (masked(FIN | TEXT, text), 150), (masked(FIN | TEXT, &long), 50)]
            }
        };
        for (flood, times) in floods {
            let mut device = stack.device(transport, &Who::key("flood")).await;
            device.wire.send_bytes(&flood.repeat(times)).await;
            let mut last = Vec::new();
            let ended = async {
                while let Some(unit) = device.wire.unit().await {
                    last = unit;
                }
            };
            soon("the end of a flood", ended).await;
            if transport == Transport::Json {
                assert_eq!(last[..4], hex("88", &[last[1], 0x03, 0xea]), "{last:?}");
            }
        }
    }
    // What is posted counts as well.
    let long = [&br#"{"type":"ping"}"#[..], &[b' '; 4000]].concat();
    for way in HTTP {
        for (flood, times) in [(&br#"{"type":"ping"}"#[..], 150), (&long, 50)] {
            let mut device = stack.device(way, &Who::key("flood")).await;
            let target = format!("/sub/send?session={}", device.wire.visit.session);
            let mut post = device.wire.another().await;
            for _ in 0..times {
                let status = post.fetch("POST", &target, flood).await.status;
                if status != 204 {
                    assert!(matches!(status, 410 | 429), "{way:?}: {status}");
                    post = device.wire.another().await;
                }
            }
            let mut last = device.json().await;
            while last["type"] == "pong" {
                last = device.json().await;
            }
            assert_eq!(last, json!({"type": "close", "code": 1002, "reason": "bad_protocol"}));
        }
    }
    bystander.beat().await;
}

/// Whether a device is let in, which goes at once.
async fn is_let_in(stack: &Doors, way: Way) -> bool {
    // Whoever has no place is reset before TLS.
    let Ok(mut wire) = Wire::try_silent(&stack.comets[0], way).await else { return false };
    if way.speaks.is_http() {
        let reply = wire.fetch("POST", "/sub/poll", &hello(&id("key"))).await;
        assert!(reply.status == 200 || !reply.header("retry-after").is_empty(), "{reply:?}");
        if reply.status != 200 {
            return false;
        }
        let goodbye = format!("/sub/close?session={}", reply.json()["session"].as_str().unwrap());
        return wire.fetch("POST", &goodbye, b"").await.status == 204;
    }
    if SOCKETS.contains(&way) {
        wire.send_bytes(upgrade_request("/sub", way.speaks.offer()).as_bytes()).await;
        let head = wire.http_head().await;
        if !head.starts_with("HTTP/1.1 101 ") {
            assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After: "), "{head}");
            return false;
        }
    }
    let mut device = Device::begin(wire, &Who::default()).await;
    soon("an answer or the end", device.wire.unit()).await.is_some()
}

#[tokio::test]
async fn one_too_many_is_sent_away_at_once_and_let_in_when_there_is_room() {
    // A session over HTTP has a place of its own beside that of the connection that asks.
    let stack = Plan::new().with(|plan| plan.comet.connections_max = 3).start().await;
    let first = stack.device(Transport::Tcp, &Who::key("first")).await;
    let mut second = stack.device(Transport::Json, &Who::key("second")).await;
    let third = stack.device(Transport::WebSocket, &Who::key("third")).await;
    for way in EVERY {
        assert!(!is_let_in(&stack, way).await, "{way:?}");
    }
    second.beat().await;
    drop((first, third));
    for way in EVERY {
        until("there is room again", async || is_let_in(&stack, way).await).await;
    }
    second.beat().await;
}

#[tokio::test]
async fn other_protocols_are_not_understood() {
    let bystanders = bystanders().await;
    let tls = hex("16030100c8010000c403035f5f5f5f", &[0x5f; 200]);
    for way in TCP {
        for bytes in [&tls[..], b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"] {
            let mut tcp = Wire::silent(&shared().comets[0], way).await;
            tcp.send_bytes(bytes).await;
            tcp.expect_end().await;
        }
    }
    for way in WEBSOCKET {
        for bytes in [&tls[..], &frame(1, 7, 1, b"{}\r\n\r\n")] {
            let mut websocket = Wire::silent(&shared().comets[0], way).await;
            websocket.send_bytes(bytes).await;
            let head = websocket.http_head().await;
            assert!(head.starts_with("HTTP/1.1 400 "), "{way:?}: {head}");
        }
    }
    unmoved(bystanders).await;
}

#[tokio::test]
async fn a_handshake_without_an_end_is_cut_off() {
    for transport in SOCKETS {
        for target in ["/sub", "/sub/poll"] {
            let mut wire = Wire::silent(&shared().comets[0], transport).await;
            wire.send_bytes(format!("GET {target} HTTP/1.1\r\n").as_bytes()).await;
            let line = format!("X-Filler: {}\r\n", "x".repeat(8000));
            for _ in 0..64 {
                wire.send_bytes(line.as_bytes()).await;
            }
            let head = wire.http_head().await;
            // Who writes on without reading may lose it.
            assert!(head.is_empty() || head.starts_with("HTTP/1.1 431 "), "{head}");
        }
    }
}

#[tokio::test]
async fn a_push_to_nobody_says_so() {
    let mut http = shared().http().await;
    for target in
        ["keys?operation=1&keys=nobody", "mids?operation=1&mids=-1", "mids?operation=1&mids=0"]
    {
        http.push(target, "x").await;
    }
    for target in [json!({"users": {"ids": ["nobody"]}}), json!({"keys": {"ids": ["nobody"]}})] {
        let receipt = http.push_v1(json!({"target": target, "op": 1, "body": "x"})).await;
        assert_eq!(receipt["summary"]["offline"], 1, "{receipt}");
        assert_eq!(receipt["addresses"][0]["offline"], true, "{receipt}");
    }
}

#[tokio::test]
async fn a_push_with_too_large_a_body_is_refused_and_the_largest_is_not() {
    let mut http = shared().http().await;
    let key = id("key");
    let mut device = shared().device(Transport::Tcp, &Who::key(&key)).await;
    let target = format!("/goim/push/keys?operation=1000&keys={key}");
    let answer = shared().http().await.post(&target, vec![b'x'; (1 << 20) + 1]).await;
    assert_eq!((answer.status, &answer.json()["code"]), (413, &json!(-400)), "{answer:?}");
    let largest = vec![b'x'; 1 << 20];
    http.push(&format!("keys?operation=1000&keys={key}"), &largest).await;
    device.expect(1000, &largest).await;
    let body = "x".repeat((1 << 20) + 1);
    let push = json!({"target": {"keys": {"ids": [key]}}, "op": 1000, "body": body});
    let answer = http.post("/v1/push", push.to_string()).await;
    assert!(matches!(answer.status, 400 | 413), "{answer:?}");
    assert!(answer.body.contains("BODY_TOO_LARGE"), "{answer:?}");
    device.beat().await;
}

#[tokio::test]
async fn requests_that_are_no_http_or_no_json_are_refused_with_a_reason() {
    let mut http = shared().http().await;
    for bad in ["", "{", "[]", r#"{"target":5}"#, r#"{"targets":{}}"#, r#"{"op":"1"}"#, "{}"] {
        let answer = http.post("/v1/push", bad).await;
        assert_eq!(answer.status, 400, "{bad}: {answer:?}");
        let error = answer.json();
        assert!(!error["error"]["message"].as_str().unwrap_or_default().is_empty(), "{error}");
    }
    let mut wire = Wire::bare(shared().http, Transport::Tcp).await;
    wire.send_bytes(&noise(7, 500)).await;
    wire.send_bytes(b"\r\n\r\n").await;
    let head = wire.http_head().await;
    assert!(head.is_empty() || head.starts_with("HTTP/1.1 400"), "{head}");
}

#[tokio::test]
async fn a_device_that_claims_a_body_it_does_not_send_waits_alone() {
    let bystanders = bystanders().await;
    let text = format!(r#"{{"type":"ping","id":"{}"}}"#, "x".repeat(60)).into_bytes();
    let body = [b'.'; 4096];
    let change = frame(1, 12, 1, &body);
    let mut waiting = Vec::new();
    for way in EVERY {
        let mut device = shared().device(way, &Who::key(&id("key"))).await;
        let session = device.wire.visit.session.clone();
        let whole = match way.speaks {
            Transport::Tcp => change.clone(),
            Transport::WebSocket => masked(FIN | BINARY, &change),
            Transport::Json => masked(FIN | TEXT, &text),
            Transport::Poll | Transport::Events => {
                let head = format!("POST /sub/send?session={session} HTTP/1.1\r\n");
                let length = format!("Content-Length: {}\r\n\r\n", text.len());
                [head.as_bytes(), length.as_bytes(), &text].concat()
            }
        };
        // What a device says over HTTP goes over a connection of its own.
        let mut post = match way.speaks.is_http() {
            true => Some(device.wire.another().await),
            false => None,
        };
        let (begin, rest) = whole.split_at(whole.len() - 20);
        post.as_mut().unwrap_or(&mut device.wire).send_bytes(begin).await;
        waiting.push((device, post, rest.to_vec()));
    }
    unmoved(bystanders).await;
    // Its rest comes at last, and nothing else was read as part of it.
    for (mut device, mut post, rest) in waiting {
        post.as_mut().unwrap_or(&mut device.wire).send_bytes(&rest).await;
        if let Some(mut post) = post {
            assert_eq!(soon("an answer", post.reply()).await.unwrap().status, 204);
        }
        match device.wire.transport.speaks.is_json() {
            true => assert_eq!(device.json().await["type"], "pong"),
            false => device.wire.expect(&frame(1, 13, 1, &body)).await,
        }
    }
}
