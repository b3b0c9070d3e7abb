//! Upgrade: goim's WebSocket handshake and framing.

use crate::bytes::{
    BINARY, CLOSE, CONTINUATION, FIN, PING, PONG, TEXT, beaten, frame, masked, unmasked,
};
use crate::device::{Device, Who};
use crate::soon;
use crate::stack::{id, shared};
use crate::web::Reply;
use crate::wire::{SOCKETS, WEBSOCKET, Way, Wire, upgrade_request};

const WELL: &str = "GET /sub HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn bare(way: Way) -> Wire {
    Wire::silent(&shared().comets[0], way).await
}

async fn device(way: Way) -> Device {
    shared().device(way, &Who::key(&id("key"))).await
}

/// Sends all pieces to a new connection, and gives the answer.
async fn answer(way: Way, pieces: &[&[u8]]) -> (Wire, Reply) {
    let mut wire = bare(way).await;
    for piece in pieces {
        wire.send_bytes(piece).await;
    }
    let reply = soon("an answer", wire.reply()).await.expect("an answer, not the end");
    (wire, reply)
}

#[tokio::test]
async fn the_answer_has_what_the_rfc_asks_and_selects_nothing() {
    let extras = "Origin: http://elsewhere.example\r\nCookie: a=b\r\n\
        Sec-WebSocket-Protocol: chat, superchat\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let odd = "GET /sub HTTP/1.1\r\nhost: h\r\nUPGRADE: WebSocket\r\n\
        connection: keep-alive, upgrade\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    for way in WEBSOCKET {
        for request in [WELL.to_owned(), upgrade_request("/sub", extras), odd.to_owned()] {
            let mut wire = bare(way).await;
            wire.send_bytes(request.as_bytes()).await;
            let head = wire.http_head().await.to_lowercase();
            assert!(head.starts_with("http/1.1 101 switching protocols\r\n"), "{head}");
            for header in [
                "upgrade: websocket\r\n",
                "connection: upgrade\r\n",
                // The example of RFC 6455, 1.3.
                "sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n",
            ] {
                assert!(head.contains(header), "{head}");
            }
            assert_eq!(head.matches("\r\n").count(), 5, "nothing else is said: {head}");
            wire.send(&frame(1, 7, 1, b"null")).await;
            wire.expect(&frame(1, 8, 1, b"")).await;
        }
    }
}

#[tokio::test]
async fn a_key_of_any_length_will_do() {
    for way in WEBSOCKET {
        let mut wire = bare(way).await;
        wire.send_bytes(WELL.replace("dGhlIHNhbXBsZSBub25jZQ==", "x").as_bytes()).await;
        let head = wire.http_head().await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    }
}

#[tokio::test]
async fn a_handshake_may_come_in_pieces() {
    for way in WEBSOCKET {
        let mut wire = bare(way).await;
        for piece in WELL.as_bytes().chunks(7) {
            wire.send_bytes(piece).await;
            tokio::task::yield_now().await;
        }
        assert!(wire.http_head().await.starts_with("HTTP/1.1 101 "));
        wire.send(&frame(1, 7, 1, b"{}")).await;
        wire.expect(&frame(1, 8, 1, b"")).await;
    }
}

#[tokio::test]
async fn a_path_other_than_sub_is_told_that_it_is_not_there() {
    for target in ["/", "/sub/", "/sub?x=1", "/subs", "/SUB"] {
        let plain = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        for request in [upgrade_request(target, ""), plain] {
            for way in WEBSOCKET {
                let (_, reply) = answer(way, &[request.as_bytes()]).await;
                assert_eq!(reply.status, 404, "{way:?}: {target}: {reply:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_is_no_handshake_is_not_upgraded() {
    let without = |header: &str| {
        let lines = WELL.split_inclusive("\r\n").filter(|line| !line.starts_with(header));
        lines.collect::<String>()
    };
    for request in [
        WELL.replace("GET", "POST"),
        WELL.replace("websocket", "h2c"),
        WELL.replace("Connection: Upgrade", "Connection: close"),
        WELL.replace(": 13", ": 8"),
        without("Upgrade"),
        without("Connection"),
        without("Sec-WebSocket-Key"),
        without("Sec-WebSocket-Version"),
        "this is no HTTP\r\n\r\n".to_owned(),
        "\0\u{1}\u{2}\r\n\r\n".to_owned(),
    ] {
        for way in WEBSOCKET {
            let (mut wire, reply) = answer(way, &[request.as_bytes()]).await;
            assert_eq!(reply.status, 400, "{way:?}: {request}: {reply:?}");
            assert!(!reply.body.is_empty(), "{request}: {reply:?}");
            wire.expect_end().await;
        }
    }
}

#[tokio::test]
async fn a_handshake_with_a_body_is_refused_however_it_comes() {
    let early = masked(FIN | BINARY, &frame(1, 7, 1, b"{}"));
    let length = format!("Content-Length: {}\r\n", early.len());
    let chunks = [format!("{:x}\r\n", early.len()).as_bytes(), &early, b"\r\n0\r\n\r\n"].concat();
    for way in SOCKETS {
        for (headers, body) in [
            (length.as_str(), &early),
            ("Content-Length: 0\r\nContent-Length: 5\r\n", &early),
            ("Content-Length: 00\r\n", &early),
            ("Content-Length: -1\r\n", &early),
            ("Content-Length: 99999999999999999999\r\n", &early),
            ("Transfer-Encoding: chunked\r\n", &chunks),
            ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", &chunks),
            ("Transfer-Encoding: identity\r\n", &early),
        ] {
            let head = upgrade_request("/sub", &format!("{}{headers}", way.speaks.offer()));
            let head = head.as_bytes();
            for pieces in [&[&[head, body].concat()[..]][..], &[head, body], &[head]] {
                let (mut wire, reply) = answer(way, pieces).await;
                assert_eq!(reply.status, 400, "{way:?}: {headers}: {reply:?}");
                wire.expect_end().await;
            }
        }
        let empty = format!("{}Content-Length: 0\r\n", way.speaks.offer());
        let (_, reply) = answer(way, &[upgrade_request("/sub", &empty).as_bytes()]).await;
        assert_eq!(reply.status, 101, "{way:?}: {reply:?}");
    }
}

#[tokio::test]
async fn http_2_without_an_agreement_is_refused() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // Its SETTINGS, empty.
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    for way in SOCKETS {
        for pieces in [&[&preface[..]][..], &[preface, &settings], &[&preface[..16], &settings]] {
            let (mut wire, reply) = answer(way, pieces).await;
            assert_eq!(reply.status, 400, "{way:?}: {reply:?}");
            wire.expect_end().await;
        }
    }
}

#[tokio::test]
async fn a_frame_before_the_answer_to_the_handshake_is_refused() {
    let early = masked(FIN | BINARY, &frame(1, 7, 1, b"{}"));
    for way in WEBSOCKET {
        let (_, reply) = answer(way, &[&[WELL.as_bytes(), &early].concat()]).await;
        assert_eq!(reply.status, 400, "{way:?}: {reply:?}");
    }
}

#[tokio::test]
async fn a_handshake_that_is_too_long_is_told_so() {
    let cookie = format!("Cookie: {}", "x".repeat(20_000));
    for way in WEBSOCKET {
        let (_, reply) = answer(way, &[b"GET /sub HTTP/1.1\r\n", cookie.as_bytes()]).await;
        assert_eq!(reply.status, 431, "{way:?}: {reply:?}");
    }
}

#[tokio::test]
async fn data_frames_are_bytes_whatever_their_opcode_and_mask() {
    for way in WEBSOCKET {
        let mut device = device(way).await;
        let mut seq = 0;
        for first in [FIN | TEXT, FIN | BINARY, FIN | CONTINUATION] {
            for mask in [masked, unmasked] {
                seq += 1;
                device.wire.send_bytes(&mask(first, &frame(1, 2, seq, b""))).await;
                device.wire.expect(&beaten(1, seq, 0)).await;
            }
        }
    }
}

#[tokio::test]
async fn reserved_bits_and_opcodes_close() {
    for way in WEBSOCKET {
        for first in [0xc2, 0xa2, 0x92, 0x83, 0x84, 0x85, 0x86, 0x87, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f]
        {
            let mut device = device(way).await;
            device.wire.send_bytes(&masked(first, &frame(1, 2, 1, b""))).await;
            device.wire.expect_end().await;
        }
    }
}

#[tokio::test]
async fn a_message_of_8192_bytes_is_taken_and_a_larger_frame_closes() {
    let two = [frame(1, 100, 1, &[b'x'; 4080]), frame(1, 100, 2, &[b'x'; 4080])].concat();
    assert_eq!(two.len(), 8192);
    for way in WEBSOCKET {
        let mut device = device(way).await;
        device.wire.send(&two).await;
        device.wire.expect(&frame(1, 100, 1, b"")).await;
        device.wire.expect(&frame(1, 100, 2, b"")).await;
        device.wire.send(&[&two[..], &[0]].concat()).await;
        device.wire.expect_end().await;
    }
}

#[tokio::test]
async fn a_message_comes_in_at_most_a_hundred_frames() {
    let parts = |count: usize| {
        let whole = frame(1, 100, 3, &[b'x'; 200]);
        let mut first = BINARY;
        let mut bytes = Vec::new();
        for number in 0..count {
            let last = number + 1 == count;
            let part = if last { &whole[number..] } else { &whole[number..=number] };
            bytes.extend(masked(if last { FIN | first } else { first }, part));
            first = CONTINUATION;
        }
        bytes
    };
    for way in WEBSOCKET {
        let mut device = device(way).await;
        device.wire.send_bytes(&parts(100)).await;
        device.wire.expect(&frame(1, 100, 3, b"")).await;
        device.wire.send_bytes(&parts(101)).await;
        device.wire.expect_end().await;
    }
}

#[tokio::test]
async fn large_pushes_have_one_frame_with_the_length_that_fits() {
    let mut http = shared().http().await;
    for way in WEBSOCKET {
        let key = id("key");
        let mut device = shared().device(way, &Who::key(&key)).await;
        // The outer and the inner header are 32 bytes.
        for (len, head) in [
            (125 - 32, vec![0x82, 125]),
            (126 - 32, vec![0x82, 126, 0, 126]),
            (65_535 - 32, vec![0x82, 126, 0xff, 0xff]),
            (65_536 - 32, vec![0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let body = vec![b'x'; len];
            http.push(&format!("keys?operation=1000&keys={key}"), &body).await;
            let inner = crate::bytes::pushed(1000, &body);
            device.wire.expect_bytes(&[head, frame(1, 9, 0, &inner)].concat()).await;
        }
    }
}

#[tokio::test]
async fn a_pong_is_ignored_and_a_close_just_ends() {
    for way in WEBSOCKET {
        let mut device = device(way).await;
        device.wire.send_bytes(&masked(FIN | PONG, b"unasked")).await;
        device.beat().await;
        device.wire.send_bytes(&masked(FIN | CLOSE, &1000u16.to_be_bytes())).await;
        device.wire.expect_end().await;
    }
}

#[tokio::test]
async fn control_frames_are_answered_between_the_parts_of_a_message() {
    for way in WEBSOCKET {
        let mut device = device(way).await;
        let whole = frame(1, 100, 8, b"in parts");
        device.wire.send_bytes(&masked(BINARY, &whole[..5])).await;
        device.wire.send_bytes(&masked(FIN | PING, b"now")).await;
        device.wire.expect_bytes(&unmasked(FIN | PONG, b"now")).await;
        device.wire.send_bytes(&masked(FIN | CONTINUATION, &whole[5..])).await;
        device.wire.expect(&frame(1, 100, 8, b"")).await;
    }
}
