//! Byte for byte: what goim's clients send and what they must get, on both of goim's transports.

use bytes::Bytes;
use orrery_comet_core::{Batch, Dialect, Encoded};
use orrery_model::message::Message;

use crate::device::{Device, bytes, client_frame, frame, unmasked_frame};

/// What a reply looks like on each transport: plain, or as one binary WebSocket message without wrapper.
fn assert_reply(device: impl Fn(Dialect) -> Device, request: &[u8], plain: &str) {
    let plain = bytes(plain);
    assert_eq!(device(Dialect::Tcp).says(request), plain, "on TCP");
    let mut message = vec![0x82, plain.len() as u8];
    message.extend(&plain);
    assert_eq!(device(Dialect::WebSocket).says(request), message, "on WebSocket");
}

#[test]
fn authentication_is_answered_with_the_requests_version_and_seq() {
    let token =
        br#"{"mid":123, "room_id":"live://1000", "platform":"web", "accepts":[1000,1001,1002]}"#;
    assert_eq!(token.len(), 82);
    assert_reply(Device::new, &frame(3, 7, 42, token), "00000010 0010 0003 00000008 0000002a");
}

#[test]
fn a_heartbeat_is_answered_with_twenty_bytes() {
    let request = frame(2, 2, 43, b"junkbody");
    assert_reply(Device::ready, &request, "00000014 0010 0002 00000003 0000002b 00000001");
}

#[test]
fn a_heartbeat_reply_from_a_device_is_answered_like_a_heartbeat() {
    let request = frame(1, 3, 44, b"");
    assert_reply(Device::ready, &request, "00000014 0010 0001 00000003 0000002c 00000001");
}

#[test]
fn an_unknown_operation_is_echoed_without_its_body() {
    let request = frame(1, 100, 100, b"q");
    assert_reply(Device::ready, &request, "00000010 0010 0001 00000064 00000064");
    let request = frame(1, -5, -5, b"");
    assert_reply(Device::ready, &request, "00000010 0010 0001 fffffffb fffffffb");
    for op in [0, 1, 4, 5, 6, 7, 8, 10, 11, 13, 15, 17, i32::MIN, i32::MAX] {
        let expected = frame(-1, op, 9, b"");
        assert_eq!(Device::ready(Dialect::Tcp).says(&frame(-1, op, 9, b"x")), expected);
    }
}

#[test]
fn a_change_of_room_echoes_the_room() {
    let expected = "00000018 0010 0001 0000000d 0000000c \"live://2\"";
    assert_reply(Device::ready, &frame(1, 12, 12, b"live://2"), expected);
    assert_reply(Device::ready, &frame(1, 12, 12, b""), "00000010 0010 0001 0000000d 0000000c");
}

#[test]
fn subscribing_echoes_even_a_bad_list() {
    let expected = "00000013 0010 0001 0000000f 0000000e \"a,b\"";
    assert_reply(Device::ready, &frame(1, 14, 14, b"a,b"), expected);
    let expected = "00000013 0010 0001 00000011 0000000e \"1,2\"";
    assert_reply(Device::ready, &frame(1, 16, 14, b"1,2"), expected);
    assert_reply(Device::ready, &frame(1, 14, 14, b""), "00000010 0010 0001 0000000f 0000000e");
}

#[test]
fn op_9_is_unanswered_on_tcp_and_echoed_bare_on_websocket() {
    let request = frame(1, 9, 9, b"raw");
    assert!(Device::ready(Dialect::Tcp).says(&request).is_empty());
    assert_eq!(
        Device::ready(Dialect::WebSocket).says(&frame(1, 9, 9, b"rawraw")),
        bytes("82 10 00000010 0010 0001 00000009 00000009"),
    );
}

#[test]
fn a_push_is_plain_on_tcp_and_wrapped_on_websocket() {
    let key = push(1000, b"KEYMSG");
    let plain = bytes("00000016 0010 0001 000003e8 00000000 \"KEYMSG\"");
    assert_eq!(key.bytes(Dialect::Tcp), plain);
    let wrapped = [bytes("82 26 00000026 0010 0001 00000009 00000000"), plain].concat();
    assert_eq!(key.bytes(Dialect::WebSocket), wrapped);
    let room = push(5000, b"R1");
    assert_eq!(
        room.bytes(Dialect::WebSocket),
        bytes(
            "82 22 00000022 0010 0001 00000009 00000000 00000012 0010 0001 00001388 00000000 \"R1\""
        ),
    );
}

#[test]
fn a_push_without_body_or_with_a_large_one_is_delivered() {
    assert_eq!(push(-1, b"").tcp(), bytes("00000010 0010 0001 ffffffff 00000000"));
    let large = push(1, &[7; 100_000]);
    assert_eq!(large.tcp().len(), 100_016);
    assert_eq!(large.websocket()[..10], bytes("82 7f 00000000000186c0"));
    assert_eq!(push(1, &[7; 200]).websocket()[..4], bytes("82 7e 00e8"));
}

#[test]
fn a_ping_is_answered_at_once() {
    let mut device = Device::ready(Dialect::WebSocket);
    let (written, _) = device.feed(&unmasked_frame(0x89, b"pingdata"));
    assert_eq!(written, bytes("8a 08 \"pingdata\""));
    assert_eq!(
        device.says(&frame(1, 2, 5, b"")),
        bytes("82 14 00000014 0010 0001 00000003 00000005 00000001"),
    );
}

#[test]
fn two_frames_in_one_message_are_both_answered() {
    let both = [frame(1, 2, 1, b""), frame(1, 2, 2, b"")].concat();
    assert_eq!(
        Device::ready(Dialect::WebSocket).says(&both),
        bytes(
            "82 14 00000014 0010 0001 00000003 00000001 00000001
             82 14 00000014 0010 0001 00000003 00000002 00000001"
        ),
    );
}

#[test]
fn a_frame_in_two_websocket_frames_is_answered_once() {
    let request = frame(1, 12, 12, b"live://2");
    let (head, tail) = request.split_at(20);
    let mut device = Device::ready(Dialect::WebSocket);
    let wire = [client_frame(0x02, head), client_frame(0x80, tail)].concat();
    let (written, _) = device.feed(&wire);
    assert_eq!(written, bytes("82 18 00000018 0010 0001 0000000d 0000000c \"live://2\""));
}

#[test]
fn a_thousand_pipelined_frames_are_all_answered() {
    let burst: Vec<u8> = (1..=1000).flat_map(|seq| frame(1, 2, seq, b"")).collect();
    let (written, _) = Device::ready(Dialect::Tcp).feed(&burst);
    assert_eq!(written.len(), 1000 * 20);
    assert_eq!(written[written.len() - 8..][..4], 1000i32.to_be_bytes());
}

#[test]
fn pushes_in_one_piece_share_a_wrapper_on_websocket_and_follow_each_other_elsewhere() {
    let (one, two) = (push(5, b"hi"), push(-1, b""));
    let batch = Batch::new(vec![&one, &two]);
    assert_eq!(batch.messages(), 2);
    let inner = "00000012 0010 0001 00000005 00000000 \"hi\" 00000010 0010 0001 ffffffff 00000000";
    assert_eq!(batch.bytes(Dialect::Tcp), bytes(inner));
    let wrapped = format!("82 32 00000032 0010 0001 00000009 00000000 {inner}");
    assert_eq!(batch.bytes(Dialect::WebSocket), bytes(&wrapped));
    assert_eq!(batch.bytes(Dialect::Json), [one.json(), two.json()].concat());
}

#[test]
fn a_single_push_in_one_piece_is_a_push() {
    let one = push(5, b"hi");
    for dialect in [Dialect::Tcp, Dialect::WebSocket, Dialect::Json] {
        assert_eq!(Batch::new(vec![&one]).bytes(dialect), one.bytes(dialect));
    }
}

fn push(op: i32, body: &[u8]) -> Encoded {
    Encoded::new(Message { op, body: Bytes::copy_from_slice(body) })
}
