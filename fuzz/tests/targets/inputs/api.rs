//! Api: what a backend asks, and what a device is answered that asks where to connect.

use proptest::prelude::*;

use super::{Inputs, changed, object, one_of, sentence, words};

/// Answers to a device that asks where to connect.
pub(super) fn advice() -> Inputs {
    changed(one_of(&[
        r#"{"code":0,"message":"","data":{"domain":"x","tcp_port":3101,"ws_port":3102,
            "wss_port":3103,"heartbeat":240,"nodes":["127.0.0.1","10.0.0.2:7"],
            "backoff":{"max_delay":300,"base_delay":3,"factor":1.8},"heartbeat_max":2}}"#,
        r#"{"data":{"tcp_port":1,"nodes":["::1","[::1]:2","[::1]",""]}}"#,
        r#"{"data":{"nodes":[":3",":","a:65536"]}}"#,
        r#"{"code":-404,"message":"no"}"#,
        r#"{"data":{"nodes":[]}}"#,
    ]))
}

/// A body of JSON, or a query.
pub(super) fn push() -> Inputs {
    let bodies = one_of(&[
        r#"{"target":{"users":{"ids":["a","b"]}},"op":1000,"body":"x",
            "wait_for":"written","when_full":"drop_oldest"}"#,
        r#"{"target":{"keys":{"ids":["k"]}},"body_base64":"AAH/","namespace":"n","stale_ok":true}"#,
        r#"{"target":{"connections":{"connections":[{"user":"u","seq":3},{"key":"k","seq":4}]}}}"#,
        r#"{"target":{"room":"live://1"},"delivery":"live"}"#,
        r#"{"items":[{"target":{"broadcast":{"rate":5}},"op":-1},{}]}"#,
        r#"{"target":{"room":"a"},"namespace":""}"#,
    ]);
    let fields = object(
        r#""target":{"room":"a"}|"target":{"users":{}}|"target":null|"op":7|"op":"7"|"body":"x"|"body":null|"#,
        r#""body_base64":"AA=="|"body_base64":"A"|"when_full":"close"|"namespace":"n"|"stale_ok":1|"items":[]"#,
    );
    let pieces = "operation=|&|keys=a|mids=|1,2|type=live|room=%31|rooms=a|limit=|2147483648|-9|=|;|%|+|speed=0|é";
    let queries = sentence(one_of(&words(pieces)));
    prop_oneof![changed(bodies), fields, queries].boxed()
}
