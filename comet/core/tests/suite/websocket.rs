//! The WebSocket's own rules: what goim tolerates, what `orrery.json.v1` does not.

use orrery_comet_core::{Decoder, Dialect, Input, Violation, WebSocketError};

use crate::device::{Device, End, bytes, client_frame, client_header, frame, unmasked_frame};

const PING: &[u8] = br#"{"type":"ping"}"#;

fn violation(error: WebSocketError) -> End {
    End::Broken(Violation::WebSocket(error))
}

fn goim(wire: &[u8]) -> (Vec<u8>, End) {
    Device::ready(Dialect::WebSocket).feed(wire)
}

/// The close code that the JSON dialect answers these bytes with, and the error behind it.
fn json_close(wire: &[u8]) -> (u16, WebSocketError) {
    let (written, end) = Device::ready(Dialect::Json).feed(wire);
    let End::Broken(Violation::WebSocket(error)) = end else { panic!("not broken: {end:?}") };
    assert_eq!(written[0], 0x88, "a close frame");
    assert_eq!(written.len(), 2 + usize::from(written[1]), "and nothing else");
    (u16::from_be_bytes([written[2], written[3]]), error)
}

#[test]
fn goim_takes_any_data_frame_for_bytes_masked_or_not() {
    let request = frame(1, 2, 1, b"");
    for first in [0x80, 0x81, 0x82] {
        assert_eq!(goim(&client_frame(first, &request)).0.len(), 22);
        assert_eq!(goim(&unmasked_frame(first, &request)).0.len(), 22);
    }
    let (head, tail) = request.split_at(5);
    for (first, last) in [(0x00, 0x82), (0x01, 0x81), (0x02, 0x80)] {
        let parts = [client_frame(first, head), unmasked_frame(last, tail)].concat();
        assert_eq!(goim(&parts).0.len(), 22, "{first:x} then {last:x}");
    }
}

#[test]
fn reserved_bits_and_opcodes_close_on_both() {
    for bit in [0x10, 0x20, 0x40] {
        let wire = client_frame(0x82 | bit, &frame(1, 2, 1, b""));
        assert_eq!(goim(&wire), (vec![], violation(WebSocketError::ReservedBits)));
        assert_eq!(json_close(&client_frame(0x81 | bit, PING)).0, 1002);
    }
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let wire = client_frame(0x80 | opcode, b"");
        assert_eq!(goim(&wire), (vec![], violation(WebSocketError::Opcode(opcode))));
        assert_eq!(json_close(&wire), (1002, WebSocketError::Opcode(opcode)));
    }
}

#[test]
fn a_goim_message_has_at_most_8192_bytes_in_parts_or_whole() {
    let full = [frame(1, 2, 1, &[0; 4096]), frame(1, 2, 2, &[0; 4064])].concat();
    assert_eq!(full.len(), 8192);
    let (head, tail) = full.split_at(8000);
    let parts = [client_frame(0x02, head), client_frame(0x80, tail)].concat();
    for wire in [client_frame(0x82, &full), parts] {
        let (written, end) = goim(&wire);
        assert_eq!((written.len(), end), (44, End::Open));
    }
    let error = WebSocketError::TooLong { bytes: 8193, max: 8192 };
    assert_eq!(goim(&client_header(0x82, 0x80, 8193)), (vec![], violation(error)));
    let parts = [client_frame(0x02, head), client_header(0x80, 0x80, tail.len() as u64 + 1)];
    assert_eq!(goim(&parts.concat()), (vec![], violation(error)));
}

#[test]
fn a_claim_of_2_to_the_64_bytes_is_refused_at_its_header() {
    for claim in [u64::MAX, 1 << 63, 1 << 32] {
        let wire = client_header(0x82, 0x80, claim);
        let error = WebSocketError::TooLong { bytes: claim, max: 8192 };
        assert_eq!(goim(&wire), (vec![], violation(error)));
        assert_eq!(json_close(&client_header(0x81, 0x80, claim)).0, 1009);
    }
    // With parts before it the sum does not wrap.
    let wire = [client_frame(0x02, b"x"), client_header(0x80, 0x80, u64::MAX)].concat();
    assert_eq!(goim(&wire).0, b"");
}

#[test]
fn a_message_comes_in_at_most_100_frames() {
    let request = frame(1, 2, 1, b"");
    let mut wire = client_frame(0x02, &request);
    (0..98).for_each(|_| wire.extend(client_frame(0x00, b"")));
    let mut enough = wire.clone();
    enough.extend(client_frame(0x80, b""));
    assert_eq!(goim(&enough).0.len(), 22);
    wire.extend(client_frame(0x00, b""));
    wire.extend(client_frame(0x80, b""));
    assert_eq!(goim(&wire), (vec![], violation(WebSocketError::TooManyFragments)));
}

#[test]
fn control_frames_are_short_and_whole() {
    for first in [0x88, 0x89, 0x8a] {
        let long = client_frame(first, &[0; 126]);
        assert_eq!(goim(&long), (vec![], violation(WebSocketError::ControlTooLong)));
        assert_eq!(json_close(&long), (1002, WebSocketError::ControlTooLong));
        let part = client_frame(first & 0x0f, b"");
        assert_eq!(goim(&part), (vec![], violation(WebSocketError::ControlFragmented)));
        assert_eq!(json_close(&part), (1002, WebSocketError::ControlFragmented));
    }
}

#[test]
fn a_ping_between_the_parts_of_a_message_is_answered_first() {
    let (head, tail) = PING.split_at(4);
    let wire =
        [client_frame(0x01, head), client_frame(0x89, b"now"), client_frame(0x80, tail)].concat();
    let mut device = Device::ready(Dialect::Json);
    let (written, end) = device.feed(&wire);
    assert_eq!(end, End::Open);
    let pong = br#"{"type":"pong"}"#;
    assert_eq!(written, [bytes("8a 03 \"now\" 81 0f").as_slice(), pong].concat());
    assert_eq!(device.decoder.take_parts(), 1, "the head alone makes no input");
}

#[test]
fn a_frame_that_ends_no_message_is_told_of_once() {
    for dialect in [Dialect::WebSocket, Dialect::Json] {
        let mut decoder = Decoder::new(dialect, 8192);
        decoder.feed(&[client_frame(0x01, b""), client_frame(0x00, b"")].concat());
        assert_eq!(decoder.poll(), Ok(None));
        assert_eq!((decoder.take_parts(), decoder.take_parts()), (2, 0), "{dialect:?}");
        decoder.feed(&client_frame(0x89, b""));
        assert_eq!(decoder.poll(), Ok(Some(Input::Ping(bytes::Bytes::new()))));
        assert_eq!(decoder.take_parts(), 0, "a ping is an input of its own");
    }
}

#[test]
fn json_refuses_unmasked_frames_with_1002() {
    assert_eq!(json_close(&unmasked_frame(0x81, PING)), (1002, WebSocketError::Unmasked));
    assert_eq!(json_close(&unmasked_frame(0x89, b"")), (1002, WebSocketError::Unmasked));
}

#[test]
fn json_refuses_binary_with_1003_and_text_that_is_not_utf8_with_1007() {
    assert_eq!(json_close(&client_frame(0x82, PING)), (1003, WebSocketError::Binary));
    assert_eq!(json_close(&client_frame(0x81, b"\xff\xfe")), (1007, WebSocketError::Utf8));
    let halves = [client_frame(0x01, b"\xc3"), client_frame(0x80, b"(")].concat();
    assert_eq!(json_close(&halves), (1007, WebSocketError::Utf8));
}

#[test]
fn json_takes_a_character_split_between_frames() {
    let text = r#"{"type":"ping","id":"é"}"#.as_bytes();
    let (head, tail) = text.split_at(22);
    assert!(std::str::from_utf8(head).is_err());
    let wire = [client_frame(0x01, head), client_frame(0x80, tail)].concat();
    assert_eq!(Device::ready(Dialect::Json).feed(&wire).1, End::Open);
}

#[test]
fn json_refuses_a_disordered_message_with_1002() {
    assert_eq!(json_close(&client_frame(0x80, b"x")), (1002, WebSocketError::ContinuesNothing));
    let wire = [client_frame(0x01, b"x"), client_frame(0x81, b"y")].concat();
    assert_eq!(json_close(&wire), (1002, WebSocketError::Interleaved));
}

#[test]
fn json_refuses_a_message_over_its_limit_with_1009() {
    let error = WebSocketError::TooLong { bytes: 8193, max: 8192 };
    assert_eq!(json_close(&client_header(0x81, 0x80, 8193)), (1009, error));
}

#[test]
fn json_echoes_a_close_and_goim_just_ends() {
    for payload in [&b""[..], &[0x03, 0xe8], &[0x0f, 0xa0]] {
        let (written, end) = Device::ready(Dialect::Json).feed(&client_frame(0x88, payload));
        assert_eq!(end, End::Goodbye);
        assert_eq!(written, unmasked_frame(0x88, payload));
        assert_eq!(goim(&client_frame(0x88, payload)), (vec![], End::Goodbye));
    }
    assert_eq!(goim(&client_frame(0x88, b"x")), (vec![], End::Goodbye));
}

#[test]
fn json_refuses_a_malformed_close() {
    for payload in [&b"x"[..], &[0, 0], &[0x03, 0xed], &[0x03, 0xee], &[0x13, 0x88]] {
        assert_eq!(json_close(&client_frame(0x88, payload)), (1002, WebSocketError::BadClose));
    }
    let reason = [0x03, 0xe8, 0xff];
    assert_eq!(json_close(&client_frame(0x88, &reason)), (1007, WebSocketError::Utf8));
}

#[test]
fn nothing_is_read_after_a_close() {
    let mut wire = client_frame(0x88, b"");
    wire.extend(client_frame(0x83, b"never looked at"));
    let mut device = Device::ready(Dialect::Json);
    assert_eq!(device.feed(&wire).1, End::Goodbye);
    assert_eq!(device.feed(&wire), (vec![], End::Open));
}
