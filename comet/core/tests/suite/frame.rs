//! The rules for lengths in goim's header, on both transports.

use orrery_comet_core::{Dialect, FrameError, Violation};

use crate::device::{Device, End, client_frame, frame, raw_frame};

fn violation(error: FrameError) -> End {
    End::Broken(Violation::Frame(error))
}

/// Sends a frame with this header and these bytes behind it, on each transport.
fn outcomes(packet_length: i32, header_length: i16, rest: &[u8]) -> [(usize, End); 2] {
    let wire = raw_frame(packet_length, header_length, 100, rest);
    let (on_tcp, tcp_end) = Device::ready(Dialect::Tcp).feed(&wire);
    let (on_websocket, websocket_end) =
        Device::ready(Dialect::WebSocket).feed(&client_frame(0x82, &wire));
    [(on_tcp.len(), tcp_end), (on_websocket.len(), websocket_end)]
}

#[test]
fn a_body_of_4096_bytes_is_accepted() {
    assert_eq!(outcomes(4112, 16, &[1; 4096]), [(16, End::Open), (18, End::Open)]);
}

#[test]
fn a_longer_packet_closes() {
    for packet_length in [4113, 65_536, i32::MAX] {
        let end = violation(FrameError::TooLong { packet_length, max: 4112 });
        assert_eq!(outcomes(packet_length, 16, &[1; 4097]), [(0, end.clone()), (0, end)]);
    }
}

#[test]
fn a_header_length_other_than_16_closes() {
    for header_length in [0, 15, 17, -1, i16::MIN, i16::MAX] {
        let end = violation(FrameError::HeaderLength(header_length));
        assert_eq!(outcomes(16, header_length, b""), [(0, end.clone()), (0, end)]);
    }
}

#[test]
fn a_packet_length_below_16_means_no_body() {
    for packet_length in 0..16 {
        assert_eq!(outcomes(packet_length, 16, b""), [(16, End::Open), (18, End::Open)]);
    }
}

#[test]
fn a_negative_packet_length_means_no_body_on_tcp_and_closes_on_websocket() {
    for packet_length in [-1, -16, i32::MIN] {
        let end = violation(FrameError::Negative(packet_length));
        assert_eq!(outcomes(packet_length, 16, b""), [(16, End::Open), (0, end)]);
    }
}

#[test]
fn a_websocket_message_without_room_for_a_header_closes() {
    for bytes in [0, 1, 15] {
        let message = vec![0; bytes];
        let (written, end) = Device::ready(Dialect::WebSocket).feed(&client_frame(0x82, &message));
        assert_eq!((written.len(), end), (0, violation(FrameError::ShortMessage(bytes))));
    }
}

#[test]
fn a_frame_that_claims_more_than_its_message_closes_and_reads_nothing_beyond_it() {
    let lie = raw_frame(4112, 16, 12, b"short");
    let end = violation(FrameError::BeyondMessage { claimed: 4112, available: 21 });
    // In one piece, and in two: goim disclosed memory in the first case and crashed in the second.
    let mut wire = client_frame(0x82, &lie);
    wire.extend(client_frame(0x82, &frame(1, 2, 1, b"a later message")));
    assert_eq!(Device::ready(Dialect::WebSocket).feed(&wire), (vec![], end.clone()));
    let (head, tail) = lie.split_at(18);
    let parts = [client_frame(0x02, head), client_frame(0x80, tail)].concat();
    assert_eq!(Device::ready(Dialect::WebSocket).feed(&parts), (vec![], end));
}

#[test]
fn what_came_before_a_broken_frame_is_answered() {
    let wire = [frame(1, 2, 1, b""), raw_frame(16, 3, 2, b"")].concat();
    let (on_tcp, tcp_end) = Device::ready(Dialect::Tcp).feed(&wire);
    assert_eq!((on_tcp.len(), tcp_end), (20, violation(FrameError::HeaderLength(3))));
    let (on_websocket, websocket_end) =
        Device::ready(Dialect::WebSocket).feed(&client_frame(0x82, &wire));
    assert_eq!((on_websocket.len(), websocket_end), (22, violation(FrameError::HeaderLength(3))));
}

#[test]
fn a_rest_too_short_for_a_frame_is_ignored_as_goim_does() {
    let wire = [frame(1, 2, 1, b""), vec![0xff; 15]].concat();
    let (written, end) = Device::ready(Dialect::WebSocket).feed(&client_frame(0x82, &wire));
    assert_eq!((written.len(), end), (22, End::Open));
}
