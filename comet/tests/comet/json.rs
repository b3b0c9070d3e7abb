//! The JSON protocol: what its devices say and hear.

use orrery_proto::delivery::CloseReason;
use serde_json::json;

use crate::connect::{room, user};
use crate::support::Stage;
use crate::support::device::Transport;
use crate::support::session::{to_all, to_room};

#[tokio::test]
async fn hello_is_answered_with_a_welcome() {
    let stage = Stage::new().await;
    let mut device = stage.json().await;
    let hello = json!({"type": "hello", "id": 1, "user": "alice", "key": "phone"});
    let welcome = device.hello(hello).await;
    let seq = stage.logic.route(&user("alice")).seq;
    assert_eq!(welcome["id"], 1);
    assert_eq!(welcome["user"], "alice");
    assert_eq!(welcome["key"], "phone");
    assert_eq!(welcome["seq"], seq);
    assert_eq!(welcome["heartbeat_max_ms"], 60_000);
}

#[tokio::test]
async fn a_drawn_key_is_told_in_the_welcome() {
    let stage = Stage::new().await;
    let mut device = stage.json().await;
    let welcome = device.hello(json!({"type": "hello"})).await;
    assert!(welcome["key"].as_str().unwrap().starts_with("drawn-"));
    assert!(welcome.get("user").is_none());
}

#[tokio::test]
async fn rooms_are_joined_and_left_and_their_pushes_arrive() {
    let stage = Stage::new().await;
    let mut device = stage.json().await;
    device.hello(json!({"type": "hello", "user": "1", "rooms": ["a"]})).await;
    device.send(json!({"type": "join", "id": "j", "rooms": ["b", "c"]})).await;
    let joined = device.receive().await;
    assert_eq!(joined, json!({"type": "joined", "id": "j", "rooms": ["b", "c"]}));
    assert_eq!(stage.logic.route(&user("1")).details.rooms.len(), 3);
    let mut session = stage.session().await;
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        session.deliver(to_room(n as i32, b"hi", &room(name))).await;
        let message = device.receive().await;
        assert_eq!(message, json!({"type": "message", "op": n, "data": "hi"}));
    }
    device.send(json!({"type": "leave", "rooms": ["a", "c"]})).await;
    assert_eq!(device.receive().await, json!({"type": "left", "rooms": ["a", "c"]}));
    assert_eq!(stage.logic.route(&user("1")).details.rooms.len(), 1);
    session.deliver(to_room(1, b"gone", &room("a"))).await;
    session.deliver(to_room(2, b"\xff\x00", &room("b"))).await;
    let message = device.receive().await;
    assert_eq!(message, json!({"type": "message", "op": 2, "data_base64": "/wA="}));
}

#[tokio::test]
async fn every_operation_is_accepted_unless_hello_says_otherwise() {
    let stage = Stage::new().await;
    let mut open = stage.json().await;
    open.hello(json!({"type": "hello"})).await;
    let mut choosy = stage.json().await;
    choosy.hello(json!({"type": "hello", "accepts": [2]})).await;
    let mut session = stage.session().await;
    session.deliver(to_all(1, b"one", 0)).await;
    session.deliver(to_all(2, b"two", 0)).await;
    assert_eq!(open.receive().await["data"], "one");
    assert_eq!(open.receive().await["data"], "two");
    assert_eq!(choosy.receive().await["data"], "two");
}

#[tokio::test]
async fn pings_are_answered_and_errors_say_what_was_wrong() {
    let stage = Stage::new().await;
    let mut device = stage.json().await;
    device.send(json!({"type": "ping", "id": 1})).await;
    let early = device.receive().await;
    assert_eq!((&early["type"], &early["code"]), (&json!("error"), &json!("NOT_READY")));
    device.hello(json!({"type": "hello"})).await;
    device.send(json!({"type": "ping", "id": 2})).await;
    assert_eq!(device.receive().await, json!({"type": "pong", "id": 2}));
    device.send(json!({"type": "dance"})).await;
    assert_eq!(device.receive().await["code"], "BAD_MESSAGE");
    device.send_raw(&[0x81, 0x85, 0, 0, 0, 0, b'n', b'o', b'p', b'e', b'!']).await;
    assert_eq!(device.receive().await["code"], "BAD_MESSAGE");
}

#[tokio::test]
async fn too_many_rooms_are_refused_and_change_nothing() {
    let stage = Stage::new().await;
    let mut device = stage.json().await;
    device.hello(json!({"type": "hello", "user": "1", "rooms": ["a"]})).await;
    let many: Vec<String> = (0..64).map(|n| n.to_string()).collect();
    device.send(json!({"type": "join", "id": 9, "rooms": many})).await;
    let error = device.receive().await;
    assert_eq!((&error["code"], &error["id"]), (&json!("TOO_MANY_ROOMS"), &json!(9)));
    assert_eq!(stage.logic.route(&user("1")).details.rooms.len(), 1);
}

#[tokio::test]
async fn an_unmasked_frame_closes_with_1002() {
    let stage = Stage::new().await;
    let mut device = stage.json().await;
    device.hello(json!({"type": "hello"})).await;
    device.send_raw(b"\x81\x02{}").await;
    assert_eq!(device.closed().await, 1002);
}

#[tokio::test]
async fn closes_have_codes() {
    let stage = Stage::new().await;
    let mut refused = stage.json().await;
    refused.send(json!({"type": "hello", "user": "nobody"})).await;
    assert_eq!(refused.receive().await["code"], "UNAUTHORIZED");
    assert_eq!(refused.closed().await, 4006);

    let mut replaced = stage.json().await;
    replaced.hello(json!({"type": "hello", "key": "same"})).await;
    let _other = stage.device(Transport::Tcp, r#"{"key":"same"}"#).await;
    assert_eq!(replaced.closed().await, 4001);

    let mut kicked = stage.json().await;
    kicked.hello(json!({"type": "hello", "user": "1"})).await;
    let route = stage.logic.route(&user("1"));
    stage.session().await.close(&route, CloseReason::Kicked).await;
    assert_eq!(kicked.closed().await, 4002);
}

#[tokio::test]
async fn silence_closes_with_its_own_code() {
    let stage = Stage::new().await;
    stage.logic.heartbeat_max_ms(300);
    let mut device = stage.json().await;
    device.hello(json!({"type": "hello"})).await;
    assert_eq!(device.closed().await, 4004);
}

#[tokio::test]
async fn a_hello_that_never_comes_closes_with_its_own_code() {
    let stage = Stage::with(|config| config.handshake_ms = 200).await;
    let mut device = stage.json().await;
    assert_eq!(device.closed().await, 4005);
}
