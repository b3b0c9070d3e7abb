//! The messages of `orrery.json.v1`, from text to text.

use bytes::Bytes;
use orrery_comet_core::json::{ClientMessage, ErrorCode, Hello, RequestId, ServerMessage};
use orrery_comet_core::{Action, Dialect, Encoded, Input, Session};
use orrery_model::message::{CloseReason, Message};

use crate::device::{Device, HANDSHAKE_MS};

/// The payload of the one text frame that was written.
fn text(written: &[u8]) -> String {
    assert_eq!(written.first(), Some(&0x81), "{written:?}");
    let (start, length) = match written[1] {
        126 => (4, usize::from(u16::from_be_bytes([written[2], written[3]]))),
        127 => (10, u64::from_be_bytes(written[2..10].try_into().unwrap()) as usize),
        short => (2, usize::from(short)),
    };
    assert_eq!(written.len(), start + length, "one frame and nothing else");
    String::from_utf8(written[start..].to_vec()).unwrap()
}

fn answer(device: &mut Device, request: &str) -> String {
    text(&device.says(request.as_bytes()))
}

/// The code and words of the error that a request is answered with.
fn error(device: &mut Device, request: &str) -> (ErrorCode, String) {
    match ServerMessage::parse(answer(device, request).as_bytes()).unwrap() {
        ServerMessage::Error { code, message, .. } => (code, message),
        other => panic!("{request} was answered with {other:?}"),
    }
}

#[test]
fn a_hello_is_welcomed() {
    let mut device = Device::new(Dialect::Json);
    assert_eq!(
        answer(&mut device, r#"{"type":"hello","user":"alice","id":1}"#),
        r#"{"type":"welcome","id":1,"key":"key-1","user":"alice","seq":7,"heartbeat_ms":240000,"heartbeat_max_ms":480000}"#,
    );
}

#[test]
fn a_hello_goes_to_logic_as_it_came() {
    let hello = r#" {"user":"alice", "type":"hello", "rooms":["b","a","b"],"platform":"web","device":"d","labels":{"v":"1"},"accepts":[1,2],"key":"k","token":"t"} "#;
    let mut device = Device::new(Dialect::Json);
    device.says(hello.as_bytes());
    assert_eq!(device.actions, [Action::Authenticate { credentials: hello.into() }]);
    let ClientMessage::Hello(hello) = ClientMessage::parse(hello.as_bytes()).unwrap() else {
        panic!("a hello");
    };
    assert_eq!(hello.user.unwrap().as_str(), "alice");
    assert_eq!(hello.rooms.iter().map(|room| room.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(hello.accepts.unwrap(), [1, 2]);
    assert_eq!(hello.labels["v"], "1");
}

#[test]
fn before_the_welcome_only_a_hello_is_understood() {
    let mut device = Device::new(Dialect::Json);
    for request in [
        r#"{"type":"ping"}"#,
        r#"{"type":"join","rooms":["a"]}"#,
        r#"{"type":"leave","rooms":["a"]}"#,
        r#"{"type":"message","op":1,"data":"x"}"#,
    ] {
        assert_eq!(error(&mut device, request).0, ErrorCode::NotReady);
    }
    assert_eq!(error(&mut device, "{}").0, ErrorCode::BadMessage);
    assert!(device.actions.is_empty());
    device.says(br#"{"type":"hello"}"#);
    assert!(device.session.is_ready());
}

#[test]
fn a_second_hello_is_refused_and_changes_nothing() {
    let mut device = Device::ready(Dialect::Json);
    assert_eq!(
        answer(&mut device, r#"{"type":"hello","user":"mallory","id":"again"}"#),
        r#"{"type":"error","id":"again","code":"ALREADY_READY","message":"there was a hello already"}"#,
    );
    assert!(device.actions.is_empty());
    assert!(device.session.is_ready());
}

#[test]
fn requests_are_answered_with_their_id() {
    let mut device = Device::ready(Dialect::Json);
    for (request, expected) in [
        (r#"{"type":"ping"}"#, r#"{"type":"pong"}"#),
        (r#"{"type":"ping","id":-3}"#, r#"{"type":"pong","id":-3}"#),
        (r#"{"type":"ping","id":null}"#, r#"{"type":"pong"}"#),
        (
            r#"{"type":"join","rooms":["b","a"],"id":"j"}"#,
            r#"{"type":"joined","id":"j","rooms":["a","b"]}"#,
        ),
        (r#"{"type":"leave","rooms":["a"],"id":2}"#, r#"{"type":"left","id":2,"rooms":["a"]}"#),
        (r#"{"type":"join","rooms":[]}"#, r#"{"type":"joined","rooms":[]}"#),
    ] {
        assert_eq!(answer(&mut device, request), expected);
    }
}

#[test]
fn a_join_that_fails_is_answered_with_an_error() {
    let mut device = Device::ready(Dialect::Json);
    device.says(br#"{"type":"join","rooms":["a"],"id":9}"#);
    let Some(Action::Join { rooms, answer }) = device.actions.pop() else { panic!("a join") };
    assert_eq!(rooms.len(), 1);
    assert_eq!(
        text(&answer.failed(ErrorCode::TooManyRooms, "in 64 rooms already")),
        r#"{"type":"error","id":9,"code":"TOO_MANY_ROOMS","message":"in 64 rooms already"}"#,
    );
}

#[test]
fn a_message_goes_to_the_backend_unanswered() {
    let mut device = Device::ready(Dialect::Json);
    assert!(device.says(br#"{"type":"message","op":-7,"data":"h\u00e9"}"#).is_empty());
    assert!(device.says(br#"{"type":"message","op":8,"data_base64":"/wA="}"#).is_empty());
    let bodies: Vec<_> = device
        .actions
        .iter()
        .map(|action| match action {
            Action::Upstream { message, reply } if reply.is_empty() => message.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        bodies,
        [
            Message { op: -7, body: "hé".into() },
            Message { op: 8, body: Bytes::from_static(&[0xff, 0]) },
        ]
    );
}

#[test]
fn a_bad_message_is_answered_with_what_is_wrong_and_nothing_else_happens() {
    let long_room = format!(r#"{{"type":"join","rooms":["{}"]}}"#, "r".repeat(129));
    let rooms: Vec<_> = (0..65).map(|n| format!("\"{n}\"")).collect();
    let many_rooms = format!(r#"{{"type":"join","rooms":[{}]}}"#, rooms.join(","));
    let long_id = format!(r#"{{"type":"ping","id":"{}"}}"#, "i".repeat(65));
    for (request, words) in [
        ("", "EOF"),
        ("nonsense", "expected"),
        ("[]", ""),
        ("null", ""),
        ("\"ping\"", ""),
        ("{}", "missing field `type`"),
        (r#"{"type":"pong"}"#, "unknown variant `pong`"),
        (r#"{"type":5}"#, ""),
        (r#"{"type":"ping","extra":1}"#, "unknown field `extra`"),
        (r#"{"type":"ping"} {"type":"ping"}"#, "trailing"),
        (r#"{"type":"ping","id":1.5}"#, "`id` is neither"),
        (r#"{"type":"ping","id":[]}"#, "`id` is neither"),
        (r#"{"type":"ping","id":1,"id":2}"#, "duplicate field `id`"),
        (&long_id, "`id` is longer than 64"),
        (r#"{"type":"join"}"#, "missing field `rooms`"),
        (r#"{"type":"join","rooms":"a"}"#, "a list of at most 64 rooms"),
        (r#"{"type":"join","rooms":[1]}"#, "expected a string"),
        (r#"{"type":"join","rooms":[""]}"#, "cannot be empty"),
        (r#"{"type":"join","rooms":null}"#, ""),
        (&long_room, "129 bytes is longer than 128"),
        (&many_rooms, "at most 64 rooms"),
        (r#"{"type":"message","data":"x"}"#, "missing field `op`"),
        (r#"{"type":"message","op":"1","data":"x"}"#, "expected i32"),
        (r#"{"type":"message","op":1.0,"data":"x"}"#, "expected i32"),
        (r#"{"type":"message","op":2147483648,"data":"x"}"#, "expected i32"),
        (r#"{"type":"message","op":1}"#, "missing field `data`"),
        (r#"{"type":"message","op":1,"data":{}}"#, "expected a string"),
        (r#"{"type":"message","op":1,"data":"x","data_base64":""}"#, "exclude each other"),
        (r#"{"type":"message","op":1,"data_base64":"***"}"#, "not base64"),
    ] {
        let mut device = Device::ready(Dialect::Json);
        let (code, message) = error(&mut device, request);
        assert_eq!(code, ErrorCode::BadMessage, "{request}");
        assert!(message.contains(words), "{request} was answered with {message:?}");
        assert!(device.actions.is_empty() && device.session.is_ready(), "{request}");
    }
}

#[test]
fn a_bad_hello_is_refused_before_logic_is_asked() {
    let labels: Vec<_> = (0..17).map(|n| format!("\"{n}\":\"\"")).collect();
    let labels = format!(r#"{{"type":"hello","labels":{{{}}}}}"#, labels.join(","));
    let platform = format!(r#"{{"type":"hello","platform":"{}"}}"#, "p".repeat(129));
    let label = format!(r#"{{"type":"hello","labels":{{"a":"{}"}}}}"#, "v".repeat(256));
    let user = format!(r#"{{"type":"hello","user":"{}"}}"#, "u".repeat(10_000));
    let user = &user[..8000];
    for request in [
        r#"{"type":"hello","user":""}"#,
        r#"{"type":"hello","user":5}"#,
        r#"{"type":"hello","key":""}"#,
        r#"{"type":"hello","mid":5}"#,
        r#"{"type":"hello","accepts":["1"]}"#,
        r#"{"type":"hello","accepts":5}"#,
        r#"{"type":"hello","rooms":["a",""]}"#,
        r#"{"type":"hello","labels":{"a":1}}"#,
        &labels,
        &platform,
        &label,
        user,
    ] {
        let mut device = Device::new(Dialect::Json);
        assert_eq!(error(&mut device, request).0, ErrorCode::BadMessage, "{request}");
        assert!(device.actions.is_empty(), "{request}");
    }
}

#[test]
fn an_error_names_the_id_even_of_a_message_that_is_otherwise_wrong() {
    let mut device = Device::ready(Dialect::Json);
    let said = answer(&mut device, r#"{"type":"dance","id":"x7","more":[1]}"#);
    assert!(said.starts_with(r#"{"type":"error","id":"x7","code":"BAD_MESSAGE""#), "{said}");
}

#[test]
fn an_explanation_is_cut_between_characters() {
    let request = format!(r#"{{"type":"ping","{}":1}}"#, "é".repeat(1000));
    let (_, message) = error(&mut Device::ready(Dialect::Json), &request);
    assert!((250..=256).contains(&message.len()), "{}", message.len());
}

#[test]
fn a_push_travels_as_text_where_it_is_text_and_as_base64_where_not() {
    let push = |op, body: &'static [u8]| {
        text(&Encoded::new(Message { op, body: Bytes::from_static(body) }).json())
    };
    assert_eq!(push(1000, "h\"é\n".as_bytes()), r#"{"type":"message","op":1000,"data":"h\"é\n"}"#,);
    assert_eq!(push(-1, b""), r#"{"type":"message","op":-1,"data":""}"#);
    assert_eq!(push(1, b"\xff\0"), r#"{"type":"message","op":1,"data_base64":"/wA="}"#);
    let large = Encoded::new(Message { op: 1, body: vec![b'x'; 100_000].into() });
    assert!(text(&large.json()).len() > 100_000);
    assert_eq!(large.json().as_ptr(), large.json().as_ptr(), "encoded once");
}

#[test]
fn a_refused_hello_gets_an_error_and_close_code_4006() {
    let mut session = Session::new(Dialect::Json, HANDSHAKE_MS);
    let hello = Input::Text(r#"{"type":"hello","user":"eve","id":3}"#.into());
    assert!(matches!(session.handle_input(hello, 0), Action::Authenticate { .. }));
    let close = session.handle_refused("bad signature");
    assert_eq!(close.reason, CloseReason::Unauthorized);
    let end = close.farewell.len() - 16;
    assert_eq!(
        text(&close.farewell[..end]),
        r#"{"type":"error","id":3,"code":"UNAUTHORIZED","message":"bad signature"}"#,
    );
    assert_eq!(close.farewell[end..], *b"\x88\x0e\x0f\xa6unauthorized");
}

#[test]
fn each_reason_has_its_close_code_and_word() {
    for (reason, code, word) in [
        (CloseReason::Replaced, 4001, "replaced"),
        (CloseReason::Kicked, 4002, "kicked"),
        (CloseReason::Slow, 4003, "slow"),
        (CloseReason::Silent, 4004, "silent"),
        (CloseReason::HandshakeTimeout, 4005, "handshake_timeout"),
        (CloseReason::Unauthorized, 4006, "unauthorized"),
        (CloseReason::Lost, 4007, "lost"),
        (CloseReason::Drain, 1012, "drain"),
        (CloseReason::Overload, 1013, "overload"),
        (CloseReason::BadProtocol, 1002, "bad_protocol"),
    ] {
        let close = Device::ready(Dialect::Json).session.close(reason);
        let mut expected = vec![0x88, 2 + word.len() as u8];
        expected.extend(u16::to_be_bytes(code));
        expected.extend(word.as_bytes());
        assert_eq!(close.farewell, expected);
        assert_eq!(close.reason, reason);
    }
}

#[test]
fn a_comet_that_goes_away_says_when_and_where_to_come_back_before_its_close() {
    let nodes = vec!["comet-2.example.org".to_owned(), "10.0.0.3:3102".to_owned()];
    for (nodes, told) in [
        (
            nodes,
            r#"{"type":"drain","retry_after_ms":1500,"nodes":["comet-2.example.org","10.0.0.3:3102"]}"#,
        ),
        (Vec::new(), r#"{"type":"drain","retry_after_ms":1500}"#),
    ] {
        let close = Device::ready(Dialect::Json).session.drain(1500, nodes.clone());
        let mut expected = vec![0x81];
        match told.len() {
            short @ 0..126 => expected.push(short as u8),
            long => expected.extend([126, 0, long as u8]),
        }
        expected.extend(told.as_bytes());
        expected.extend([0x88, 7]);
        expected.extend(u16::to_be_bytes(1012));
        expected.extend(b"drain");
        assert_eq!(close.farewell, expected);
        let hint = ServerMessage::Drain { retry_after_ms: 1500, nodes };
        assert_eq!(ServerMessage::parse(told.as_bytes()).unwrap(), hint);
    }
    for dialect in [Dialect::Tcp, Dialect::WebSocket] {
        let close = Device::ready(dialect).session.drain(1500, Vec::new());
        assert!(close.farewell.is_empty(), "goim has no word for it");
    }
    let mut device = Device::ready(Dialect::Json);
    let _ = device.session.close(CloseReason::Kicked);
    assert!(device.session.drain(1500, Vec::new()).farewell.is_empty(), "it closes already");
}

#[test]
fn a_close_frame_is_written_once() {
    let mut device = Device::ready(Dialect::Json);
    assert!(!device.session.close(CloseReason::Kicked).farewell.is_empty());
    assert!(device.session.close(CloseReason::Drain).farewell.is_empty());
}

#[test]
fn what_a_device_writes_is_what_a_comet_reads() {
    let hello = Hello {
        id: Some(RequestId::Text("h".into())),
        user: Some("alice".try_into().unwrap()),
        rooms: ["a".try_into().unwrap()].into(),
        accepts: Some(vec![]),
        ..Hello::default()
    };
    for message in [
        ClientMessage::Hello(Hello::default()),
        ClientMessage::Hello(hello),
        ClientMessage::Ping { id: Some(RequestId::Number(i64::MIN)) },
        ClientMessage::Join { id: None, rooms: ["a".try_into().unwrap()].into() },
        ClientMessage::message(1, b"text"),
        ClientMessage::message(1, b"\xff"),
    ] {
        assert_eq!(ClientMessage::parse(message.to_text().as_bytes()).unwrap(), message);
    }
}
