//! Authentication: what goim lets in, and how it sends away.

use crate::bytes::{frame, token};
use crate::device::{Device, Who};
use crate::stack::{id, mid, shared};
use crate::wire::{EVERY, GOIM};

#[tokio::test]
async fn frames_before_authentication_are_read_and_dropped() {
    for transport in GOIM {
        let mut wire = shared().wire(transport).await;
        for op in [0, 2, 3, 4, 9, 12, 14, 16, 100, -1] {
            wire.send(&frame(1, op, op, b"live://early")).await;
        }
        wire.send(&frame(-7, 7, -42, &token(0, "", "", &[]))).await;
        wire.expect(&frame(-7, 8, -42, b"")).await;
    }
}

#[tokio::test]
async fn tokens_are_read_as_go_reads_them() {
    for transport in GOIM {
        for token in [
            "null",
            "{}",
            " { } ",
            r#"{"mid":-1,"key":"","room_id":"","platform":"","accepts":[]}"#,
            r#"{"mid":null,"key":null,"room_id":null,"platform":null,"accepts":null}"#,
            r#"{"Unknown":{"a":[1,2.5,null]},"accepts":[-1,0,2147483647,-2147483648]}"#,
            r#"{"MID":-5,"Room_ID":"x","PLATFORM":"y","Accepts":[1]}"#,
        ] {
            let mut wire = shared().wire(transport).await;
            wire.send(&frame(1, 7, 9, token.as_bytes())).await;
            wire.expect(&frame(1, 8, 9, b"")).await;
        }
    }
}

#[tokio::test]
async fn field_names_match_in_any_case() {
    for way in GOIM {
        let (key, mid) = (id("case"), mid());
        let mut wire = shared().wire(way).await;
        let token = format!(r#"{{"MID":{mid},"Key":"{key}","ACCEPTS":[1000]}}"#);
        wire.send(&frame(1, 7, 1, token.as_bytes())).await;
        wire.expect(&frame(1, 8, 1, b"")).await;
        let mut http = shared().http().await;
        for target in [format!("keys={key}"), format!("mids={mid}")] {
            let kind = &target[..4];
            http.push(&format!("{kind}?operation=1000&{target}"), "x").await;
            wire.expect_push(&crate::bytes::pushed(1000, b"x")).await;
        }
    }
}

#[tokio::test]
async fn everything_else_is_closed_without_a_word() {
    for transport in GOIM {
        for token in [
            "",
            "token",
            "[]",
            "\"text\"",
            "1",
            r#"{"mid":"1"}"#,
            r#"{"mid":1.5}"#,
            r#"{"mid":9223372036854775808}"#,
            r#"{"key":5}"#,
            r#"{"room_id":["r"]}"#,
            r#"{"platform":1}"#,
            r#"{"accepts":["1"]}"#,
            r#"{"accepts":[2147483648]}"#,
            r#"{"accepts":1}"#,
            r#"{"mid":1"#,
            r#"{"mid":1} x"#,
            r#"{"mid":1}{"mid":2}"#,
        ] {
            let mut wire = shared().wire(transport).await;
            wire.send(&frame(1, 7, 9, token.as_bytes())).await;
            wire.expect_end().await;
        }
    }
}

#[tokio::test]
async fn a_second_authentication_is_echoed_like_an_unknown_operation() {
    for transport in GOIM {
        let key = id("second");
        let mut device = shared().device(transport, &Who::key(&id("first"))).await;
        device.wire.send(&frame(5, 7, 6, &token(0, &key, "", &[1000]))).await;
        device.wire.expect(&frame(5, 7, 6, b"")).await;
        let connections = shared().http().await.get(&format!("/v1/keys/{key}/connections")).await;
        assert_eq!(connections.json()["connections"].as_array().unwrap().len(), 0);
    }
}

#[tokio::test]
async fn what_is_pushed_right_after_the_answer_arrives() {
    let mut http = shared().http().await;
    for transport in GOIM {
        for _ in 0..20 {
            let (mid, key) = (mid(), id("key"));
            let room = id("room");
            let who = Who { room: format!("live://{room}"), ..Who::user(mid, &key) };
            let mut device = shared().device(transport, &who).await;
            http.push(&format!("mids?operation=1000&mids={mid}"), "mid").await;
            http.push(&format!("room?operation=1000&type=live&room={room}"), "room").await;
            device.expect(1000, b"mid").await;
            device.expect(1000, b"room").await;
        }
    }
}

#[tokio::test]
async fn a_mid_has_as_many_keys_as_it_likes() {
    let mid = mid();
    let mut devices = Vec::new();
    for transport in EVERY {
        for doors in &shared().comets {
            devices.push(Device::connect(doors, transport, &Who::user(mid, &id("key"))).await);
        }
        let nameless = Who { mid, accepts: vec![1000], ..Who::default() };
        devices.push(shared().device(transport, &nameless).await);
    }
    // One named twice is pushed to once.
    let target = format!("mids?operation=1000&mids={mid}&mids={mid}");
    shared().http().await.push(&target, "all").await;
    for device in &mut devices {
        device.expect(1000, b"all").await;
        device.beat().await;
    }
}
