//! Refusals: whoever does not speak TLS, or not well, is told and sent away at once.

use std::time::Duration;

use orrery_tls::limits::HANDSHAKE_BYTES_MAX;
use orrery_tls::{Refusal, Speaks};
use rustls::crypto::aws_lc_rs::{default_provider, kx_group};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, HandshakeKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::timeout;

use crate::world::{Manners, NAME, Server, TLS12, TLS13, client_with};

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
async fn who_sends_more_than_a_handshake_has_is_refused_by_its_bytes() {
    let server = Server::new(Speaks::Unnamed);
    let name = String::from_utf8(vec![b'x'; 255]).unwrap();
    // Two hellos, since the share in the first is of a group that is not ours. Neither is too long for a message: at
    // most there are 18 KiB in the one and 17 in the other.
    for (names, refused) in [(50, None), (63, Some("handshake_too_long"))] {
        let mut provider = default_provider();
        provider.kx_groups = vec![kx_group::MLKEM1024, kx_group::X25519];
        let names = vec![&name[..]; names];
        let device = client_with(provider, &server.pair.certificate, TLS13, &names);
        let (device, comet) = server.try_connect(&device, Manners::GOOD).await;
        assert_eq!(comet.err().map(|refusal| refusal.name()), refused, "{} names", names.len());
        if refused.is_none() {
            let kind = device.unwrap().get_ref().1.handshake_kind();
            assert_eq!(kind, Some(HandshakeKind::FullWithHelloRetryRequest));
        }
    }
}

#[tokio::test]
async fn who_never_gets_done_is_refused_as_soon_as_he_repeats_himself() {
    let server = Server::new(Speaks::Http);
    let name = ServerName::try_from(NAME).unwrap();
    let mut device = ClientConnection::new(server.client(TLS13), name).unwrap();
    let mut bytes = Vec::new();
    device.write_tls(&mut bytes).unwrap();
    // Records that TLS 1.3 tells to be ignored, and of which a handshake has one.
    while bytes.len() < 2 * HANDSHAKE_BYTES_MAX {
        bytes.extend([20, 3, 3, 0, 1, 1]);
    }
    let (name, _) = refused(&server, &bytes, Manners { read: 100, ..Manners::GOOD }).await;
    assert_eq!(name, "malformed");
}
