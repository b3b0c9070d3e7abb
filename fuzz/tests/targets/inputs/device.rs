//! Device: what a device sends, over TCP, WebSocket, HTTP and TLS.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{Inputs, byte, changed, object, one_of, sentence, words};

/// The body of goim's authentication.
pub(super) fn token() -> Inputs {
    changed(one_of(&[
        r#"{"mid":7,"key":"k","room_id":"live://1","platform":"web","accepts":[1000,null]}"#,
        r#"{"MID":null,"other":[{}],"accepts":null}"#,
        "null",
    ]))
}

/// A frame of goim, also within a WebSocket message.
pub(super) fn goim_frame() -> Inputs {
    let frame = bare_frame();
    prop_oneof![3 => frame.clone(), 1 => websocket(0x82, frame)].boxed()
}

/// A frame of goim.
pub(super) fn bare_frame() -> Inputs {
    let bodies = [&b""[..], b"live://1000", b"1000,1001", b"x", b"\0\0\0\x10\0\x10\0\x01"];
    let body = prop_oneof![one_of(&bodies), token()];
    let frame = (prop_oneof![0..20_i32, any::<i32>()], body).prop_map(|(op, body)| {
        let mut frame = (16 + body.len() as u32).to_be_bytes().to_vec();
        frame.extend([0, 16, 0, 1]);
        frame.extend(op.to_be_bytes());
        frame.extend([0, 0, 0, 9]);
        frame.extend(body);
        frame
    });
    changed(frame.boxed())
}

/// A message of one WebSocket frame, or a part of one, with a mask that changes nothing.
pub(super) fn websocket(usual: u8, payload: Inputs) -> Inputs {
    let others = select(b"\x81\x82\x01\x02\x00\x80\x88\x89\x8a".to_vec());
    let first = prop_oneof![3 => Just(usual), 1 => others];
    let frame = (first, payload).prop_map(|(first, payload)| {
        let mut frame = vec![first];
        match u8::try_from(payload.len()) {
            Ok(len) if len < 126 => frame.push(0x80 | len),
            _ => {
                frame.push(0x80 | 126);
                frame.extend((payload.len() as u16).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.extend(payload);
        frame
    });
    changed(frame.boxed())
}

/// Pieces of a request.
pub(super) fn http() -> Inputs {
    let methods_and_paths = "GET|POST|OPTIONS| |/sub/poll|/sub/events|/sub/send|?|";
    let rest = "&|cursor=|session=|7|\r\n| HTTP/1.1\r\n|\r\n\r\n";
    let line = one_of(&["GET /sub/poll?cursor=7 HTTP/1.1\r\n", "POST /sub/send HTTP/1.1\r\n", ""]);
    let more = sentence(one_of(&words(&[methods_and_paths, rest].concat())));
    (line, more).prop_map(|(line, more)| [line, more].concat()).boxed()
}

/// A request's method, target and `Last-Event-ID`, or a part of that.
pub(super) fn request() -> Inputs {
    let method = select(words("GET|POST|OPTIONS|PUT|get"));
    let path = select(words("/sub/poll|/sub/events|/sub/send|/sub/close|/sub|/sub/Poll"));
    let session = select(words("session=000102030405060708090a0b0c0d0eff|session=1|t=1"));
    let cursor = select(words("0|7|18446744073709551615|18446744073709551616|07|-1||x"));
    let parts = (method, path, session, [cursor.clone(), cursor.clone(), cursor], 0..4_u8);
    type Parts = (String, String, String, [String; 3], u8);
    let said = |(method, path, session, [cursor, wait_ms, last], form): Parts| match form {
        0 => format!("{method} {path}?{session}&cursor={cursor}&wait_ms={wait_ms}"),
        1 => format!("{method} {path}?cursor={cursor}&{session} {last}"),
        2 => format!("cursor={cursor}&wait_ms={wait_ms} {last}"),
        _ => cursor,
    };
    changed(parts.prop_map(move |parts| said(parts).into_bytes()).boxed())
}

/// What is posted, or said, or asked for, by the first byte.
pub(super) fn session() -> Inputs {
    let len = prop_oneof![4 => Just(0), 2 => 1..=18_u8, 1 => Just(240), 1 => any::<u8>()];
    let post = len.prop_map(|len| [vec![len], vec![b'x'; len.into()]].concat()).boxed();
    let posts =
        prop_oneof![8 => sentence(post), 1 => (200..300_usize).prop_map(|signs| vec![0; signs])];
    let line = prop_oneof![3 => json(), 1 => Just(HELLO.as_bytes().to_vec())];
    let lines = vec(line, 0..8).prop_map(|lines| lines.join(&0));
    let op = prop_oneof![6 => 0..8_u8, 1 => any::<u8>()];
    let ask =
        (op, prop_oneof![byte(), any::<u8>().boxed()]).prop_map(|(op, number)| vec![op, number]);
    let asks = vec(ask, 0..60).prop_map(|asks| asks.concat());
    let after = |kind: u8, rest: Inputs| {
        (byte(), rest).prop_map(move |(cut, rest)| [vec![kind, cut], rest].concat())
    };
    prop_oneof![after(0, posts.boxed()), after(1, lines.boxed()), after(2, asks.boxed())].boxed()
}

const HELLO: &str = r#"{"type":"hello","id":1,"user":"u","token":"t","key":"k","rooms":["a","b"],
    "platform":"web","device":"d","labels":{"a":"b"},"accepts":[1,2]}"#;

/// A message of `orrery.json.v1`.
pub(super) fn json() -> Inputs {
    let said = changed(one_of(&[
        HELLO,
        r#"{"type":"ping","id":"x"}"#,
        r#"{"type":"join","id":-1,"rooms":["a","live://1"]}"#,
        r#"{"type":"leave","id":null,"rooms":["a"]}"#,
        r#"{"type":"message","op":5,"data":"\u00e9\n"}"#,
        r#"{"type":"message","id":2,"op":-1,"data_base64":"AAH/"}"#,
        r#"{"type":"welcome","key":"k","seq":3,"heartbeat_ms":1,"heartbeat_max_ms":2}"#,
        r#"{"type":"error","code":"BAD_MESSAGE","message":"m","id":1}"#,
        r#"{"type":"other","more":{}}"#,
    ]));
    let fields = object(
        r#""type":"hello"|"type":"ping"|"type":"join"|"type":"message"|"id":1|"id":"x"|"id":{}|"#,
        r#""user":"u"|"rooms":[]|"rooms":["a","\u0000"]|"op":1|"op":2147483648|"data":"x"|"data":7"#,
    );
    prop_oneof![said, fields].boxed()
}

/// Records of TLS, before and after a handshake, or the inside of a hello, by the first byte.
pub(super) fn tls() -> Inputs {
    // A version, 32 random bytes, no session, two suites, and the extensions for versions and groups.
    let hello = [
        &b"\x03\x03................................\0\0\x04\x13\x01\xc0\x2b\x01\0"[..],
        b"\0\x0d\0\x2b\0\x03\x02\x03\x04\0\x0a\0\x02\0\0",
    ];
    let records = sentence(changed(one_of(&[
        &b"\x16\x03\x01\0\x04\x01\0\0\0"[..],
        b"\x15\x03\x03\0\x02\x01\0",
        b"\x17\x03\x03\0\x05abcde",
        b"\x14\x03\x03\0\x01\x01",
        b"\x16\x03\x03\x40\x00",
        b"GET / HTTP/1.1\r\n",
    ])));
    let inside = changed(one_of(&[hello.concat()]));
    let kind = |kind: u8, rest: Inputs| {
        (byte(), rest).prop_map(move |(cut, rest)| [vec![kind, cut], rest].concat())
    };
    let records = || records.clone();
    prop_oneof![kind(0, records()), kind(1, inside), kind(2, records()), kind(3, records())].boxed()
}
