//! The conversation: what is allowed when, what moves the deadline, what leaves the comet.

use orrery_comet_core::{Accepts, Action, Audience, Decoder, Dialect, Established, Input, Session};
use orrery_model::message::CloseReason;
use orrery_model::{Id, Seq};

use crate::device::{
    Device, End, HANDSHAKE_MS, HEARTBEAT_MAX_MS, client_frame, frame, unmasked_frame,
};

#[test]
fn goim_ignores_everything_before_authentication() {
    for dialect in [Dialect::Tcp, Dialect::WebSocket] {
        let mut device = Device::new(dialect);
        for op in [2, 3, 4, 9, 12, 14, 100, -1] {
            assert!(device.says(&frame(1, op, 1, b"x")).is_empty());
        }
        assert!(device.actions.is_empty());
        assert!(!device.says(&frame(1, 7, 1, b"{}")).is_empty());
        assert!(device.session.is_ready());
    }
}

#[test]
fn the_handshake_has_a_deadline_that_nothing_moves() {
    for dialect in [Dialect::Tcp, Dialect::WebSocket, Dialect::Json] {
        let mut device = Device::new(dialect);
        device.now_ms = HANDSHAKE_MS - 1;
        match dialect {
            Dialect::Json => drop(device.says(br#"{"type":"ping"}"#)),
            _ => drop(device.says(&frame(1, 2, 1, b""))),
        }
        assert_eq!(device.session.deadline_ms(), Some(HANDSHAKE_MS));
        assert_eq!(device.session.handle_deadline(HANDSHAKE_MS - 1), None);
        let close = device.session.handle_deadline(HANDSHAKE_MS).unwrap();
        assert_eq!(close.reason, CloseReason::HandshakeTimeout);
        assert_eq!(device.session.deadline_ms(), None);
        assert_eq!(device.session.handle_deadline(u64::MAX), None);
    }
}

#[test]
fn only_a_heartbeat_moves_the_deadline_on_goim() {
    let limit = u64::from(HEARTBEAT_MAX_MS);
    for dialect in [Dialect::Tcp, Dialect::WebSocket] {
        let mut device = Device::ready(dialect);
        device.now_ms = 1000;
        for op in [3, 4, 7, 9, 12, 14, 16, 100] {
            device.says(&frame(1, op, 1, b""));
        }
        if dialect == Dialect::WebSocket {
            device.feed(&unmasked_frame(0x89, b""));
        }
        assert_eq!(device.session.deadline_ms(), Some(limit));
        device.says(&frame(1, 2, 1, b""));
        assert_eq!(device.session.deadline_ms(), Some(1000 + limit));
        let close = device.session.handle_deadline(1000 + limit).unwrap();
        assert_eq!((close.reason, close.farewell.len()), (CloseReason::Silent, 0));
    }
}

#[test]
fn a_ping_of_either_kind_moves_the_deadline_on_json() {
    let limit = u64::from(HEARTBEAT_MAX_MS);
    let mut device = Device::ready(Dialect::Json);
    device.now_ms = 1000;
    device.says(br#"{"type":"join","rooms":["a"]}"#);
    device.says(br#"{"type":"message","op":1,"data":""}"#);
    assert_eq!(device.session.deadline_ms(), Some(limit));
    device.says(br#"{"type":"ping"}"#);
    assert_eq!(device.session.deadline_ms(), Some(1000 + limit));
    device.now_ms = 2000;
    device.feed(&client_frame(0x89, b""));
    assert_eq!(device.session.deadline_ms(), Some(2000 + limit));
}

#[test]
fn a_token_is_handed_to_logic_once_and_a_second_one_to_nobody() {
    let mut device = Device::new(Dialect::Tcp);
    device.says(&frame(1, 7, 1, b"the token"));
    let expected = [Action::Authenticate { credentials: "the token".into() }];
    assert_eq!(device.actions, expected);
    assert_eq!(device.says(&frame(1, 7, 2, b"another")), frame(1, 7, 2, b""));
    assert_eq!(device.actions, expected);
}

#[test]
fn a_refused_goim_device_is_closed_without_a_word() {
    for dialect in [Dialect::Tcp, Dialect::WebSocket] {
        let mut session = Session::new(dialect, HANDSHAKE_MS);
        let auth = Input::Frame(orrery_comet_core::Frame { op: 7, ..Default::default() });
        assert!(matches!(session.handle_input(auth, 0), Action::Authenticate { .. }));
        let close = session.handle_refused("no such user");
        assert_eq!((close.reason, close.farewell.len()), (CloseReason::Unauthorized, 0));
        assert!(session.is_closed());
    }
}

#[test]
fn a_consent_that_comes_too_late_is_not_carried_out() {
    let mut session = Session::new(Dialect::Tcp, HANDSHAKE_MS);
    let auth = Input::Frame(orrery_comet_core::Frame { op: 7, ..Default::default() });
    assert!(matches!(session.handle_input(auth, 0), Action::Authenticate { .. }));
    assert!(session.is_authenticating());
    assert!(session.handle_deadline(HANDSHAKE_MS).is_some());
    let key = Id::new("k").unwrap();
    let established =
        Established { user: None, key: &key, seq: Seq(1), heartbeat_ms: 1, heartbeat_max_ms: 2 };
    assert_eq!(session.handle_established(&established, Accepts::All, 0), None);
    assert!(session.is_closed());
}

#[test]
fn a_change_of_room_names_the_room_and_an_empty_one_leaves() {
    let mut device = Device::ready(Dialect::Tcp);
    device.says(&frame(1, 12, 1, b"live://2"));
    device.says(&frame(1, 12, 2, b""));
    let rooms: Vec<_> = device
        .actions
        .iter()
        .map(|action| match action {
            Action::ChangeRoom { room, .. } => room.as_ref().map(Id::to_string),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(rooms, [Some("live://2".to_owned()), None]);
}

#[test]
fn a_room_that_cannot_be_changes_nothing_and_is_echoed() {
    let mut device = Device::ready(Dialect::Tcp);
    for name in [&[b'r'; 129][..], b"\xff\xfe"] {
        assert_eq!(device.says(&frame(1, 12, 1, name)), frame(1, 13, 1, name));
    }
    assert!(device.actions.is_empty());
}

#[test]
fn subscriptions_decide_what_a_goim_device_receives() {
    let mut device = Device::ready(Dialect::WebSocket);
    let admits = |device: &Device, op| device.session.admits(Audience::Addressed, op);
    assert!(admits(&device, 1000) && !admits(&device, 2000));
    device.says(&frame(1, 14, 1, b"2000,2001"));
    assert!(admits(&device, 1000) && admits(&device, 2000) && admits(&device, 2001));
    device.says(&frame(1, 16, 1, b"1000,2001"));
    assert!(!admits(&device, 1000) && admits(&device, 2000) && !admits(&device, 2001));
    device.says(&frame(1, 14, 1, b"3000,x"));
    assert!(!admits(&device, 3000));
    assert!(device.session.admits(Audience::Room, 3000));
}

#[test]
fn unknown_operations_go_to_the_backend() {
    let mut device = Device::ready(Dialect::Tcp);
    device.says(&frame(1, 4, 1, b"four"));
    device.says(&frame(1, 100, 1, b"hundred"));
    let sent: Vec<_> = device
        .actions
        .iter()
        .map(|action| match action {
            Action::Upstream { message, .. } => (message.op, message.body.to_vec()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sent, [(4, b"four".to_vec()), (100, b"hundred".to_vec())]);
}

#[test]
fn a_closed_session_hears_nothing() {
    let mut device = Device::ready(Dialect::Tcp);
    let close = device.session.close(CloseReason::Kicked);
    assert!(close.farewell.is_empty());
    assert_eq!(device.feed(&frame(1, 2, 1, b"")), (vec![], End::Open));
}

#[test]
fn a_session_and_its_decoder_are_small() {
    assert!(size_of::<Session>() <= 64, "{}", size_of::<Session>());
    assert!(size_of::<Decoder>() <= 192, "{}", size_of::<Decoder>());
}
