//! The messages of `orrery.json.v1` over HTTP: the same texts as on a WebSocket, each a line.

use orrery_comet_core::http::{Inbox, lines};
use orrery_comet_core::json::ServerMessage;
use orrery_comet_core::push::Batch;
use orrery_comet_core::{Dialect, Encoded};
use orrery_model::message::{CloseReason, Message};

use crate::device::{Device, End, HANDSHAKE_MS, HEARTBEAT_MAX_MS};

/// The payload of a text frame.
fn text(frame: &[u8]) -> &[u8] {
    &frame[match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    }..]
}

fn sign() -> Vec<u8> {
    let mut inbox = Inbox::default();
    inbox.sign().unwrap();
    inbox.take(usize::MAX).to_vec()
}

#[test]
fn each_answer_has_the_text_that_it_has_on_a_websocket() {
    let (mut socket, mut http) = (Device::new(Dialect::Json), Device::new(Dialect::Http));
    for request in [
        r#"{"type":"ping"}"#,
        r#"{"type":"hello","user":"alice","id":"a"}"#,
        r#"{"type":"hello"}"#,
        r#"{"type":"ping","id":1}"#,
        r#"{"type":"join","rooms":["b","a"],"id":2}"#,
        r#"{"type":"leave","rooms":["a"]}"#,
        r#"{"type":"message","op":1,"id":3}"#,
        "{}",
        "{\n\"type\":\n\"ping\"}",
    ] {
        let line = http.says(request.as_bytes());
        assert_eq!(line.strip_suffix(b"\n"), Some(text(&socket.says(request.as_bytes()))));
        assert_eq!(lines(&line).count(), 1, "{request}");
    }
    assert_eq!(http.says(br#"{"type":"message","op":1,"data":"x"}"#), b"");
}

#[test]
fn a_sign_of_life_moves_the_deadline_and_is_not_answered() {
    let mut device = Device::new(Dialect::Http);
    device.now_ms = 5;
    assert_eq!(device.feed(&sign()), (Vec::new(), End::Open));
    assert_eq!(device.session.deadline_ms(), Some(HANDSHAKE_MS), "it is not let in yet");
    let mut device = Device::ready(Dialect::Http);
    device.now_ms = 1000;
    assert_eq!(device.feed(&sign()), (Vec::new(), End::Open));
    assert_eq!(device.session.deadline_ms(), Some(1000 + u64::from(HEARTBEAT_MAX_MS)));
}

#[test]
fn a_session_ends_with_a_line_that_says_why() {
    let mut session = Device::ready(Dialect::Http).session;
    let close = session.close(CloseReason::Kicked);
    assert_eq!(close.farewell, "{\"type\":\"close\",\"code\":4002,\"reason\":\"kicked\"}\n");
    assert_eq!(session.close(CloseReason::Drain).farewell, "", "it says so once");
}

#[test]
fn a_push_is_the_line_of_what_a_websocket_has() {
    for len in [0, 60, 200, 65_000, 66_000] {
        let body = vec![b'x'; len].into();
        let push = Encoded::new(Message { op: 7, body });
        let line = push.bytes(Dialect::Http);
        assert_eq!(line.strip_suffix(b"\n"), Some(text(&push.bytes(Dialect::Json))), "{len}");
        assert_eq!(
            ServerMessage::parse(&line).unwrap(),
            ServerMessage::push(push.message()),
            "{len}"
        );
    }
    let [one, two] = [1, 2].map(|op| Encoded::new(Message { op, body: "\n".into() }));
    let batch = Batch::new(vec![&one, &two]);
    let both = batch.bytes(Dialect::Http);
    assert_eq!(both, [one.http(), two.http()].concat());
    assert_eq!(lines(&both).count(), 2);
}
