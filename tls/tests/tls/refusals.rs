//! Refusals: whoever does not speak TLS, or not well, is told and sent away at once.

use std::time::Duration;

use orrery_tls::limits::HANDSHAKE_BYTES_MAX;
use orrery_tls::{Refusal, Speaks};
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

use crate::world::{Manners, NAME, Server, TLS12, TLS13};

/// How long it may take at most that somebody is refused who does not go by himself.
const AT_ONCE: Duration = Duration::from_secs(20);

/// Sends bytes, and goes on listening. Returns why that was refused, and what was answered.
async fn refused(server: &Server, bytes: &[u8], manners: Manners) -> (&'static str, Vec<u8>) {
    let (near, mut far) = duplex(manners.pipe);
    far.write_all(bytes).await.unwrap();
    let refusal = timeout(AT_ONCE, server.acceptor.accept(manners.over(near))).await;
    let refusal = refusal.expect("nobody is waited for").unwrap_err();
    let mut answer = Vec::new();
    far.read_to_end(&mut answer).await.unwrap();
    assert!(Refusal::NAMES.contains(&refusal.name()));
    (refusal.name(), answer)
}

#[tokio::test]
async fn http_gets_a_400_and_others_an_alert() {
    let server = Server::new(Speaks::Http);
    for manners in [Manners::GOOD, Manners { read: 1, ..Manners::GOOD }] {
        for request in [
            &b"GET /sub HTTP/1.1\r\nHost: comet.test\r\n\r\n"[..],
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"OPTIONS * HTTP/1.1\r\n\r\n",
        ] {
            let (name, answer) = refused(&server, request, manners).await;
            assert_eq!(name, "plain_http");
            assert!(answer.starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
        }
        let alert = [21, 3, 1, 0, 2, 2, 70];
        for (bytes, reason) in [
            (&[0, 0, 0, 16, 0, 16, 0, 1, 0, 0, 0, 7, 0, 0, 0, 1][..], "not_tls"),
            (b"hello", "not_tls"),
            (&[22, 9, 9, 9, 9, 9], "not_tls"),
            (&[0xff; 4000], "not_tls"),
            (&[0x80, 46, 1, 0, 2, 0, 21, 0, 0, 0, 16], "ssl_v2"),
        ] {
            let (name, answer) = refused(&server, bytes, manners).await;
            assert_eq!((name, &answer[..]), (reason, &alert[..]), "{bytes:?}");
        }
    }
}

#[tokio::test]
async fn bad_records_and_messages_get_the_alert_for_them() {
    let server = Server::new(Speaks::Http);
    // A message of 60 KiB in records of 16.
    let record = [&[22, 3, 1, 0x40, 0][..], &[0; 0x4000]].concat();
    let mut long = record.repeat(3);
    long[5..9].copy_from_slice(&[1, 0, 0xf0, 0]);
    for (bytes, reason) in [
        (&[22, 3, 1, 0xff, 0xff, 1, 2, 3][..], "oversized_record"),
        (&[22, 3, 1, 0, 4, 1, 0, 0, 0], "malformed"),
        (&[22, 3, 1, 0, 0], "malformed"),
        (&[22, 3, 1, 0, 4, 2, 0, 0, 0], "malformed"),
        (&long, "handshake_too_long"),
    ] {
        let (name, answer) = refused(&server, bytes, Manners::GOOD).await;
        assert_eq!(name, reason, "{:?}", &bytes[..8.min(bytes.len())]);
        if reason != "handshake_too_long" {
            assert_eq!((answer[0], answer.len()), (21, 7), "an alert: {answer:?}");
        }
    }
}

#[tokio::test]
async fn a_handshake_that_ends_anywhere_is_named_truncated() {
    let server = Server::new(Speaks::Http);
    for version in [TLS12, TLS13] {
        let name = ServerName::try_from(NAME).unwrap();
        let mut device = ClientConnection::new(server.client(version), name).unwrap();
        let mut hello = Vec::new();
        device.write_tls(&mut hello).unwrap();
        for len in (0..hello.len()).step_by(7).chain([hello.len()]) {
            let (near, mut far) = duplex(1 << 16);
            far.write_all(&hello[..len]).await.unwrap();
            far.shutdown().await.unwrap();
            let refusal = server.acceptor.accept(Manners::GOOD.over(near)).await.unwrap_err();
            assert_eq!(refusal.name(), "truncated", "after {len} of {}", hello.len());
        }
    }
}

#[tokio::test]
async fn who_never_gets_done_is_refused_by_the_bytes_he_sends() {
    let server = Server::new(Speaks::Http);
    let name = ServerName::try_from(NAME).unwrap();
    let mut device = ClientConnection::new(server.client(TLS13), name).unwrap();
    let mut bytes = Vec::new();
    device.write_tls(&mut bytes).unwrap();
    // Records that TLS 1.3 tells to be ignored, for as long as anybody listens.
    while bytes.len() < 2 * HANDSHAKE_BYTES_MAX {
        bytes.extend([20, 3, 3, 0, 1, 1]);
    }
    let (name, _) = refused(&server, &bytes, Manners { read: 100, ..Manners::GOOD }).await;
    assert!(["malformed", "handshake_too_long"].contains(&name), "{name}");
}
