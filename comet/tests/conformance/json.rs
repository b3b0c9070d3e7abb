//! JSON: the friendly protocol, as a browser without a library would speak it.

use serde_json::{Value, json};

use crate::bytes::{BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, masked, unmasked};
use crate::device::{Device, Who};
use crate::stack::{id, mid, shared};
use crate::wire::{EVERY, JSON, MESSAGES, Way, Wire, upgrade_request};

/// A device that has not said hello.
async fn stranger(way: Way) -> Device {
    Device::over(shared().wire(way).await)
}

async fn device(way: Way) -> Device {
    shared().device(way, &Who::key(&id("key"))).await
}

async fn ask(device: &mut Device, message: Value) -> Value {
    device.wire.send(message.to_string().as_bytes()).await;
    device.json().await
}

/// What a device is answered that says something wrong.
async fn complaint(device: &mut Device, bad: &str) -> Value {
    if !device.wire.transport.speaks.is_http() || !bad.is_empty() {
        device.wire.send(bad.as_bytes()).await;
        return device.json().await;
    }
    // Over HTTP nothing is no message, whatever is said.
    let target = format!("/sub/send?session={}", device.wire.visit.session);
    let reply = device.wire.another().await.fetch("POST", &target, b"").await;
    assert_eq!(reply.status, 400, "{reply:?}");
    reply.json()
}

/// What a stranger is answered whose first message will not do. It may try again: over HTTP on another connection.
async fn refused(way: Way, message: &Value) -> Value {
    let mut device = stranger(way).await;
    if !way.speaks.is_http() {
        let error = ask(&mut device, message.clone()).await;
        assert_eq!(ask(&mut device, json!({"type": "hello"})).await["type"], "welcome");
        return error;
    }
    let reply = device.wire.fetch("POST", "/sub/poll", message.to_string().as_bytes()).await;
    assert_eq!((reply.status, reply.header("connection")), (400, "close"), "{reply:?}");
    device.wire.expect_end().await;
    reply.json()
}

#[tokio::test]
async fn the_sub_protocol_is_selected_where_it_is_offered() {
    for way in JSON {
        for offer in ["orrery.json.v1", "chat, orrery.json.v1", "chat,orrery.json.v1,x"] {
            let mut wire = Wire::silent(&shared().comets[0], way).await;
            let header = format!("Sec-WebSocket-Protocol: {offer}\r\n");
            wire.send_bytes(upgrade_request("/sub", &header).as_bytes()).await;
            let head = wire.http_head().await.to_lowercase();
            assert!(head.contains("sec-websocket-protocol: orrery.json.v1\r\n"), "{offer}: {head}");
        }
    }
}

#[tokio::test]
async fn a_hello_is_welcomed_with_all_that_was_decided() {
    for way in MESSAGES {
        let (user, key) = (id("user"), id("key"));
        let mut named = stranger(way).await;
        let hello = json!({"type": "hello", "id": 1, "user": user, "key": key, "platform": "web",
            "device": "a browser", "labels": {"a": "b"}, "token": "anything"});
        let welcome = ask(&mut named, hello).await;
        let seq = welcome["seq"].as_u64().expect("a seq");
        assert_eq!(
            welcome,
            json!({"type": "welcome", "id": 1, "user": user, "key": key, "seq": seq,
                "heartbeat_ms": 240_000, "heartbeat_max_ms": 480_000})
        );
        let listed =
            shared().http().await.get(&format!("/v1/users/{user}/connections")).await.json();
        let connection = &listed["connections"][0];
        assert_eq!(connection["seq"], seq);
        assert_eq!(connection["labels"], json!({"a": "b"}));
        let mut nameless = stranger(way).await;
        let welcome = ask(&mut nameless, json!({"type": "hello"})).await;
        assert_eq!(welcome["key"].as_str().unwrap().len(), 36, "{welcome}");
        assert!(welcome.get("user").is_none() && welcome.get("id").is_none(), "{welcome}");
    }
}

#[tokio::test]
async fn every_operation_is_accepted_unless_the_hello_says_otherwise() {
    let mut http = shared().http().await;
    for way in MESSAGES {
        let key = id("key");
        let mut device = stranger(way).await;
        ask(&mut device, json!({"type": "hello", "key": key})).await;
        for op in [0, -1, 3, 9, 4711] {
            http.push(&format!("keys?operation={op}&keys={key}"), "any").await;
            assert_eq!(device.json().await, json!({"type": "message", "op": op, "data": "any"}));
        }
        http.push(&format!("keys?operation=1&keys={key}"), [0xff, 0]).await;
        assert_eq!(device.json().await, json!({"type": "message", "op": 1, "data_base64": "/wA="}));
    }
}

#[tokio::test]
async fn several_rooms_are_joined_and_left() {
    let mut http = shared().http().await;
    for way in MESSAGES {
        let rooms = [id("a"), id("b"), id("c")].map(|room| format!("t://{room}"));
        let mut device = stranger(way).await;
        ask(&mut device, json!({"type": "hello", "rooms": [rooms[0]]})).await;
        let joined =
            ask(&mut device, json!({"type": "join", "id": "j", "rooms": rooms[1..]})).await;
        assert_eq!(joined, json!({"type": "joined", "id": "j", "rooms": rooms[1..]}));
        let left = ask(&mut device, json!({"type": "leave", "rooms": [rooms[1]]})).await;
        assert_eq!(left, json!({"type": "left", "rooms": [rooms[1]]}));
        for (room, member) in rooms.iter().zip([true, false, true]) {
            let short = room.strip_prefix("t://").unwrap();
            http.push(&format!("room?operation=1&type=t&room={short}"), room).await;
            if member {
                assert_eq!(device.json().await["data"], **room);
            }
            let count = http.get(&format!("/v1/rooms/t%3A%2F%2F{short}/count")).await.json();
            assert_eq!(count, json!({"count": u8::from(member)}), "{room}");
        }
        device.beat().await;
    }
}

#[tokio::test]
async fn what_a_device_gets_wrong_is_named_and_changes_nothing() {
    for way in MESSAGES {
        let mut device = device(way).await;
        for bad in [
            "",
            "{",
            "[]",
            "null",
            "5",
            "\"hello\"",
            "{}",
            r#"{"type":5}"#,
            r#"{"type":"shout"}"#,
            r#"{"type":"ping","extra":1}"#,
            r#"{"type":"ping"} x"#,
            r#"{"type":"ping","type":"ping"}"#,
            r#"{"type":"join"}"#,
            r#"{"type":"join","rooms":"r"}"#,
            r#"{"type":"join","rooms":[1]}"#,
            r#"{"type":"join","rooms":[""]}"#,
            r#"{"type":"message","op":1.5}"#,
            r#"{"type":"message","op":2147483648,"data":""}"#,
            r#"{"type":"message","op":1,"data":"a","data_base64":"YQ=="}"#,
            r#"{"type":"message","op":1,"data_base64":"?"}"#,
        ] {
            let error = complaint(&mut device, bad).await;
            let found = (&error["type"], &error["code"]);
            assert_eq!(found, (&json!("error"), &json!("BAD_MESSAGE")), "{way:?}: {bad}");
            assert!(!error["message"].as_str().unwrap().is_empty(), "{bad}");
        }
        let error = ask(&mut device, json!({"type": "join", "rooms": ["r".repeat(129)]})).await;
        assert_eq!(error["code"], "BAD_MESSAGE");
        let error = ask(&mut device, json!({"type": "hello", "id": 7})).await;
        assert_eq!((&error["code"], &error["id"]), (&json!("ALREADY_READY"), &json!(7)));
        let many: Vec<String> = (0..64).map(|number| format!("t://{}-{number}", id("r"))).collect();
        assert_eq!(
            ask(&mut device, json!({"type": "join", "rooms": many})).await["type"],
            "joined"
        );
        let error = ask(&mut device, json!({"type": "join", "rooms": ["one more"]})).await;
        assert_eq!(error["code"], "TOO_MANY_ROOMS");
        device.beat().await;
    }
}

#[tokio::test]
async fn before_the_welcome_only_a_hello_is_understood() {
    for message in ["ping", "join", "leave"] {
        let mut message = json!({"type": message, "id": message});
        if message["type"] != "ping" {
            message["rooms"] = json!(["r"]);
        }
        for way in MESSAGES {
            let error = refused(way, &message).await;
            let found = (&error["code"], &error["id"]);
            assert_eq!(found, (&json!("NOT_READY"), &message["id"]), "{way:?}");
        }
    }
}

#[tokio::test]
async fn a_hello_beyond_the_limits_is_refused() {
    for hello in [
        json!({"type": "hello", "user": "u".repeat(129)}),
        json!({"type": "hello", "key": "k".repeat(8000)}),
        json!({"type": "hello", "key": ""}),
        json!({"type": "hello", "user": 1}),
        json!({"type": "hello", "rooms": ["r".repeat(129)]}),
        json!({"type": "hello", "rooms": (0..65).map(|n| n.to_string()).collect::<Vec<_>>()}),
        json!({"type": "hello", "accepts": ["1"]}),
        json!({"type": "hello", "mid": 1}),
    ] {
        for way in MESSAGES {
            let error = refused(way, &hello).await;
            assert_eq!(error["code"], "BAD_MESSAGE", "{way:?}: {hello}");
        }
    }
}

#[tokio::test]
async fn a_broken_websocket_is_closed_with_the_code_that_says_how() {
    let ping = br#"{"type":"ping"}"#;
    let long = masked(FIN | TEXT, &[b' '; 8193]);
    let endless: Vec<u8> =
        (0..101).flat_map(|n| masked(if n == 0 { TEXT } else { CONTINUATION }, b" ")).collect();
    for (bytes, code) in [
        (unmasked(FIN | TEXT, ping), 1002),
        (unmasked(FIN | PING, b""), 1002),
        (masked(FIN | BINARY, ping), 1003),
        (masked(FIN | TEXT, b"\xff\xfe"), 1007),
        (masked(FIN | TEXT, b"\xed\xa0\x80"), 1007),
        (long, 1009),
        (endless, 1009),
        (masked(FIN | CONTINUATION, ping), 1002),
        ([masked(TEXT, ping), masked(FIN | TEXT, ping)].concat(), 1002),
        (masked(0xc1, ping), 1002),
        (masked(0x83, ping), 1002),
        (masked(0x8b, b""), 1002),
        (masked(PING, b""), 1002),
        (masked(FIN | PING, &[0; 126]), 1002),
        (masked(FIN | CLOSE, &[3]), 1002),
        (masked(FIN | CLOSE, &1005u16.to_be_bytes()), 1002),
        (vec![FIN | TEXT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4], 1009),
    ] {
        for way in JSON {
            let mut device = device(way).await;
            device.wire.send_bytes(&bytes).await;
            device.expect_closed(code).await;
        }
    }
}

#[tokio::test]
async fn fragments_make_one_message_and_a_character_may_be_split() {
    for way in JSON {
        let mut device = device(way).await;
        let message = r#"{"type":"ping","id":"ü"}"#.as_bytes();
        let middle = message.iter().position(|byte| *byte == 0xc3).unwrap() + 1;
        device.wire.send_bytes(&masked(TEXT, &message[..middle])).await;
        device.wire.send_bytes(&masked(FIN | PING, b"between")).await;
        device.wire.send_bytes(&masked(CONTINUATION, b"")).await;
        device.wire.send_bytes(&masked(FIN | CONTINUATION, &message[middle..])).await;
        device.wire.expect_bytes(&unmasked(FIN | PONG, b"between")).await;
        assert_eq!(device.json().await, json!({"type": "pong", "id": "ü"}));
    }
}

#[tokio::test]
async fn a_close_is_echoed() {
    for way in JSON {
        for payload in [&[][..], &1000u16.to_be_bytes(), &4999u16.to_be_bytes()] {
            let mut device = device(way).await;
            device.wire.send_bytes(&masked(FIN | CLOSE, payload)).await;
            device.wire.expect_bytes(&unmasked(FIN | CLOSE, payload)).await;
            device.wire.expect_end().await;
        }
    }
}

#[tokio::test]
async fn a_backend_can_disconnect_any_device() {
    for way in EVERY {
        let mid = mid();
        let mut device = shared().device(way, &Who::user(mid, &id("key"))).await;
        let request = json!({"target": {"users": {"ids": [mid.to_string()]}}});
        let answer = shared().http().await.post("/v1/disconnect", request.to_string()).await;
        assert_eq!(answer.json()["closed"], 1, "{answer:?}");
        device.expect_closed(4002).await;
    }
}
