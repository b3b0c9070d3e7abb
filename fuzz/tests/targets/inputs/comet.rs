//! Comet: what a comet sends to a device, over TCP, WebSocket and HTTP.

use proptest::prelude::*;
use proptest::sample::select;

use super::device::bare_frame;
use super::{Inputs, byte, changed, object, one_of, sentence, words};

/// A stream's text, frames of a connection or of a message, or a text of JSON, by the first byte.
pub(super) fn comet() -> Inputs {
    let after = |kind: u8, rest: Inputs| {
        let cut = prop_oneof![byte(), any::<u8>().boxed()];
        (cut, rest).prop_map(move |(cut, rest)| [vec![kind, cut], rest].concat())
    };
    let wrapped = sentence(bare_frame()).prop_map(|pushes| {
        let len = 16 + pushes.len() as u32;
        [&len.to_be_bytes()[..], b"\0\x10\0\x01\0\0\0\x09\0\0\0\0", &pushes].concat()
    });
    let messages = prop_oneof![sentence(bare_frame()), wrapped].boxed();
    prop_oneof![
        after(0, sentence(block())),
        after(1, sentence(bare_frame())),
        after(2, messages),
        after(3, json()),
    ]
    .boxed()
}

/// What stands between two empty lines of a stream, or a part of that.
fn block() -> Inputs {
    let pieces =
        "retry: 1|:|: |\n|\n\n|\r\n|id: 7|id: é|id:|data: |data: {}|data: 1|event: x|\n\n\n";
    let event = (select(words("id: 7\n||id: 18446744073709551615\n")), json())
        .prop_map(|(id, said)| [id.as_bytes(), b"data: ", &said, b"\n\n"].concat());
    prop_oneof![2 => event, 3 => one_of(&words(pieces))].boxed()
}

/// A message of `orrery.json.v1` as a comet says it.
fn json() -> Inputs {
    let said = changed(one_of(&[
        r#"{"type":"welcome","id":1,"key":"k","user":"u","seq":3,"heartbeat_ms":1,"heartbeat_max_ms":2}"#,
        r#"{"type":"pong","id":"x"}"#,
        r#"{"type":"joined","id":-1,"rooms":["a","live://1"]}"#,
        r#"{"type":"left","id":null,"rooms":[]}"#,
        r#"{"type":"message","op":5,"data":"\u00e9\n"}"#,
        r#"{"type":"message","op":-1,"data_base64":"AAH/"}"#,
        r#"{"type":"drain","retry_after_ms":7,"nodes":["127.0.0.1:1",""]}"#,
        r#"{"type":"error","code":"NO_SUCH_SESSION","message":"m"}"#,
        r#"{"type":"error","code":"NEW","message":"","id":9}"#,
        r#"{"type":"close","code":4001,"reason":"replaced"}"#,
        r#"{"type":"other","more":{"a":[1e3,-0,9223372036854775808]}}"#,
    ]));
    let fields = object(
        r#""type":"message"|"type":"pong"|"type":"joined"|"type":"error"|"id":1|"id":"x"|"id":{}|"id":1.5|"#,
        r#""op":1|"op":2147483648|"data":"x"|"data":null|"rooms":["a"]|"code":"OTHER"|"code":{}|"message":"m""#,
    );
    prop_oneof![said, fields].boxed()
}
