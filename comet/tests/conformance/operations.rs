//! Operations: what devices can do once they are let in.

use crate::bytes::{beaten, frame};
use crate::device::{Device, Who};
use crate::stack::{id, shared};
use crate::wire::{GOIM, Way};

async fn device(transport: impl Into<Way>) -> Device {
    shared().device(transport, &Who::key(&id("key"))).await
}

#[tokio::test]
async fn operations_without_a_meaning_of_their_own_are_echoed_bare() {
    for transport in GOIM {
        let mut device = device(transport).await;
        for op in [0, 1, 4, 5, 6, 7, 8, 10, 11, 13, 15, 17, 18, 1000, i32::MAX, -1, i32::MIN] {
            device.wire.send(&frame(3, op, 77, b"a body")).await;
            device.wire.expect(&frame(3, op, 77, b"")).await;
        }
    }
}

#[tokio::test]
async fn a_heartbeat_reply_is_answered_like_a_heartbeat() {
    for transport in GOIM {
        let mut device = device(transport).await;
        for op in [2, 3] {
            device.wire.send(&frame(0, op, i32::MIN, b"")).await;
            device.wire.expect(&beaten(0, i32::MIN, 0)).await;
        }
    }
}

#[tokio::test]
async fn subscribing_and_unsubscribing_echo_their_body_and_take_effect() {
    let mut http = shared().http().await;
    for transport in GOIM {
        let key = id("key");
        let mut device = shared().device(transport, &Who::key(&key).accepts(&[1])).await;
        // Op, list, and which of 1, 2000 and 2001 are accepted afterwards.
        for (op, list, accepted) in [
            (14, "2000,2001", [true, true, true]),
            (16, "1,2001", [false, true, false]),
            (14, "", [false, true, false]),
            (14, "1,x", [false, true, false]),
            (14, "1, 2001", [false, true, false]),
            (16, "2000,2147483648", [false, true, false]),
            (16, "2000", [false, false, false]),
            (14, "-7,+1,2000", [true, true, false]),
        ] {
            device.wire.send(&frame(1, op, 4, list.as_bytes())).await;
            device.wire.expect(&frame(1, op + 1, 4, list.as_bytes())).await;
            for (pushed, accepted) in [1, 2000, 2001].into_iter().zip(accepted) {
                http.push(&format!("keys?operation={pushed}&keys={key}"), "m").await;
                if accepted {
                    device.expect(pushed, b"m").await;
                }
            }
            device.beat().await;
        }
    }
}

#[tokio::test]
async fn a_change_of_room_moves_the_device_and_an_empty_one_takes_it_out() {
    let mut http = shared().http().await;
    for transport in GOIM {
        let rooms = [id("a"), id("b")];
        let mut device =
            shared().device(transport, &Who::member(&format!("t://{}", rooms[0]))).await;
        assert_eq!(device.count().await, 1);
        for (change, in_a, in_b) in
            [(format!("t://{}", rooms[1]), false, true), (String::new(), false, false)]
        {
            device.wire.send(&frame(1, 12, 8, change.as_bytes())).await;
            device.wire.expect(&frame(1, 13, 8, change.as_bytes())).await;
            for (room, member) in rooms.iter().zip([in_a, in_b]) {
                http.push(&format!("room?operation=5&type=t&room={room}"), room).await;
                if member {
                    device.expect(5, room.as_bytes()).await;
                }
            }
            // Whoever left goes on being told the last number, as goim tells it.
            assert_eq!(device.count().await, 1);
        }
    }
}

#[tokio::test]
async fn a_room_that_cannot_be_changes_nothing_and_is_echoed() {
    let mut http = shared().http().await;
    for transport in GOIM {
        let room = id("room");
        let mut device = shared().device(transport, &Who::member(&format!("t://{room}"))).await;
        for body in [&[0xff, 0xfe][..], &[b'r'; 129], &[b'r'; 4096]] {
            device.wire.send(&frame(1, 12, 2, body)).await;
            device.wire.expect(&frame(1, 13, 2, body)).await;
        }
        http.push(&format!("room?operation=5&type=t&room={room}"), "still").await;
        device.expect(5, b"still").await;
    }
}
