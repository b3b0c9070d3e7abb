//! Vectors: exchanges seen on the wire of a running goim, byte for byte.

use crate::bytes::{BINARY, CONTINUATION, FIN, PING, frame, hex, masked, token, unmasked};
use crate::stack::{id, shared};
use crate::wire::{GOIM, TCP, WEBSOCKET, Way, Wire};

/// A device in a room of its own, let in as the vector says.
async fn let_in(way: Way, key: &str) -> Wire {
    let mut wire = shared().wire(way).await;
    let token = token(0, key, &format!("live://{}", id("vector")), &[1000]);
    wire.send(&frame(3, 7, 42, &token)).await;
    wire.expect(&hex("00000010 0010 0003 00000008 0000002a", b"")).await;
    wire
}

#[tokio::test]
async fn authentication_is_answered_with_its_version_and_seq() {
    for way in GOIM {
        let_in(way, &id("key")).await;
    }
}

#[tokio::test]
async fn a_heartbeat_tells_a_room_of_one() {
    for way in GOIM {
        let mut wire = let_in(way, "").await;
        wire.send(&frame(2, 2, 43, b"junkbody")).await;
        wire.expect(&hex("00000014 0010 0002 00000003 0000002b 00000001", b"")).await;
    }
}

#[tokio::test]
async fn unknown_and_negative_operations_are_echoed_bare() {
    for way in GOIM {
        let mut wire = let_in(way, "").await;
        wire.send(&frame(1, 100, 100, b"q")).await;
        wire.expect(&hex("00000010 0010 0001 00000064 00000064", b"")).await;
        wire.send(&frame(1, -5, -5, b"")).await;
        wire.expect(&hex("00000010 0010 0001 fffffffb fffffffb", b"")).await;
    }
}

#[tokio::test]
async fn a_change_of_room_echoes_the_room() {
    for way in GOIM {
        let mut wire = let_in(way, "").await;
        wire.send(&frame(1, 12, 12, b"live://2")).await;
        wire.expect(&hex("00000018 0010 0001 0000000d 0000000c", b"live://2")).await;
    }
}

#[tokio::test]
async fn subscribing_to_a_bad_list_echoes_it() {
    for way in GOIM {
        let mut wire = let_in(way, "").await;
        wire.send(&frame(1, 14, 14, b"a,b")).await;
        wire.expect(&hex("00000013 0010 0001 0000000f 0000000e", b"a,b")).await;
    }
}

#[tokio::test]
async fn op_9_from_a_device_is_unanswered_on_tcp_and_bare_on_websocket() {
    for way in TCP {
        let mut tcp = let_in(way, "").await;
        tcp.send(&frame(1, 9, 9, b"raw")).await;
        tcp.send(&frame(1, 100, 10, b"")).await;
        tcp.expect_bytes(&hex("00000010 0010 0001 00000064 0000000a", b"")).await;
    }
    for way in WEBSOCKET {
        let mut websocket = let_in(way, "").await;
        websocket.send(&frame(1, 9, 9, b"rawraw")).await;
        websocket.expect_bytes(&hex("82 10 00000010 0010 0001 00000009 00000009", b"")).await;
    }
}

#[tokio::test]
async fn a_key_push_is_plain_on_tcp_and_wrapped_on_websocket() {
    let mut http = shared().http().await;
    for (ways, head) in [
        (TCP, "00000016 0010 0001 000003e8 00000000"),
        (
            WEBSOCKET,
            "82 26 00000026 0010 0001 00000009 00000000 00000016 0010 0001 000003e8 00000000",
        ),
    ] {
        for way in ways {
            let key = id("key");
            let mut wire = let_in(way, &key).await;
            http.push(&format!("keys?operation=1000&keys={key}"), "KEYMSG").await;
            wire.expect_bytes(&hex(head, b"KEYMSG")).await;
        }
    }
}

#[tokio::test]
async fn a_room_push_is_plain_on_tcp_and_wrapped_on_websocket() {
    let mut http = shared().http().await;
    for (ways, head) in [
        (TCP, "00000012 0010 0001 00001388 00000000"),
        (
            WEBSOCKET,
            "82 22 00000022 0010 0001 00000009 00000000 00000012 0010 0001 00001388 00000000",
        ),
    ] {
        for way in ways {
            let room = id("room");
            let mut wire = let_in(way, "").await;
            let body = format!("live://{room}");
            wire.send(&frame(1, 12, 1, body.as_bytes())).await;
            wire.expect(&frame(1, 13, 1, body.as_bytes())).await;
            http.push(&format!("room?operation=5000&type=live&room={room}"), "R1").await;
            wire.expect_bytes(&hex(head, b"R1")).await;
        }
    }
}

#[tokio::test]
async fn a_ping_is_answered_at_once_and_does_not_wait_for_other_data() {
    for way in WEBSOCKET {
        let mut wire = let_in(way, "").await;
        wire.send_bytes(&masked(FIN | PING, b"pingdata")).await;
        wire.expect_bytes(&hex("8a 08", b"pingdata")).await;
        wire.send(&frame(1, 2, 5, b"")).await;
        wire.expect_bytes(&hex("82 14 00000014 0010 0001 00000003 00000005 00000001", b"")).await;
    }
}

#[tokio::test]
async fn two_frames_in_one_message_are_both_answered() {
    for way in WEBSOCKET {
        let mut wire = let_in(way, "").await;
        wire.send(&[frame(1, 2, 1, b""), frame(1, 2, 2, b"")].concat()).await;
        for seq in [1, 2] {
            wire.expect(&frame(1, 3, seq, &[0, 0, 0, 1])).await;
        }
    }
}

#[tokio::test]
async fn a_frame_in_two_websocket_frames_is_answered_like_a_whole_one() {
    for way in WEBSOCKET {
        for mask in [masked, unmasked] {
            let mut wire = let_in(way, "").await;
            let whole = frame(1, 12, 3, b"live://2");
            wire.send_bytes(&mask(BINARY, &whole[..11])).await;
            wire.send_bytes(&mask(FIN | CONTINUATION, &whole[11..])).await;
            wire.expect(&frame(1, 13, 3, b"live://2")).await;
        }
    }
}
