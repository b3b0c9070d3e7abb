//! Shaking hands: versions, protocols, names, coming back.

use std::sync::Arc;

use futures_util::FutureExt;
use orrery_tls::limits::HANDSHAKES_PER_ROUND;
use orrery_tls::{Acceptor, Certificates, Speaks};
use rcgen::{IsCa, KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::TlsConnector;

use crate::world::{
    Folder, Manners, NAME, NOW_SECONDS, Pair, Server, SetClock, TLS12, TLS13, client, client_with,
    pair, pair_of,
};

#[tokio::test]
async fn both_versions_shake_hands_and_own_no_buffer_afterwards() {
    let server = Server::new(Speaks::Http);
    for (version, number) in [(TLS12, 0x0303), (TLS13, 0x0304)] {
        let client = server.client(version);
        let (mut device, mut comet) = server.connect(&client, Manners::GOOD).await;
        assert_eq!(comet.version().map(u16::from), Some(number));
        device.write_all(b"ping").await.unwrap();
        let mut word = [0; 4];
        comet.read_exact(&mut word).await.unwrap();
        comet.write_all(b"pong").await.unwrap();
        device.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"pong");
        assert_eq!(comet.buffered_bytes(), 0);
    }
}

#[tokio::test]
async fn a_connection_byte_by_byte_succeeds() {
    let server = Server::new(Speaks::Http);
    for version in [TLS12, TLS13] {
        let client = server.client(version);
        for (read, write) in [(1, usize::MAX), (usize::MAX, 1), (1, 1), (5, 7)] {
            let manners = Manners { read, write, coy: true, ..Manners::GOOD };
            let (mut device, mut comet) = server.connect(&client, manners).await;
            let sent: Vec<u8> = (0..=255).collect();
            let mut received = [0; 256];
            device.write_all(&sent).await.unwrap();
            comet.read_exact(&mut received).await.unwrap();
            assert!(received[..] == sent);
            comet.write_all(&sent).await.unwrap();
            comet.flush().await.unwrap();
            device.read_exact(&mut received).await.unwrap();
            assert!(received[..] == sent);
            assert_eq!(comet.buffered_bytes(), 0);
        }
    }
}

#[tokio::test]
async fn what_comes_together_with_the_end_of_the_handshake_is_not_lost() {
    let server = Server::new(Speaks::Http);
    let (near, far) = duplex(1 << 16);
    let mut accept = Box::pin(server.acceptor.accept(Manners::GOOD.over(near)));
    let connector = TlsConnector::from(server.client(TLS13));
    let mut connect = Box::pin(connector.connect(ServerName::try_from(NAME).unwrap(), far));
    assert!(connect.as_mut().now_or_never().is_none(), "it has said hello");
    assert!(accept.as_mut().now_or_never().is_none(), "and was answered");
    let mut device = connect.now_or_never().expect("nothing more is needed").unwrap();
    device.write_all(b"early").now_or_never().expect("there is room").unwrap();
    device.flush().now_or_never().expect("there is room").unwrap();
    let mut comet = accept.now_or_never().expect("all is there").unwrap();
    assert!(comet.buffered_bytes() > 0);
    let mut word = [0; 5];
    comet.read_exact(&mut word).await.unwrap();
    assert_eq!((&word, comet.buffered_bytes()), (b"early", 0));
}

#[test]
fn a_thread_works_at_a_few_handshakes_a_round_and_at_all_of_them_in_turn() {
    const DEVICES: usize = 3 * HANDSHAKES_PER_ROUND + 1;
    let server = Server::new(Speaks::Http);
    let config = server.client(TLS13);
    // All have said hello, and are told whether they were answered by the number of bytes that wait for them.
    let mut devices: Vec<_> = (0..DEVICES)
        .map(|_| {
            let name = ServerName::try_from(NAME).unwrap();
            let mut hello = Vec::new();
            ClientConnection::new(config.clone(), name).unwrap().write_tls(&mut hello).unwrap();
            let (near, mut far) = duplex(1 << 16);
            far.write_all(&hello).now_or_never().unwrap().unwrap();
            (Box::pin(server.acceptor.accept(Manners::GOOD.over(near))), far)
        })
        .collect();
    let mut answered = Vec::new();
    for round in 1.. {
        let mut now = 0;
        for (accept, far) in &mut devices {
            assert!(accept.as_mut().now_or_never().is_none(), "a device says more first");
            let read = far.read(&mut [0; 1 << 16]).now_or_never();
            now += usize::from(read.is_some());
        }
        answered.push(now);
        if answered.iter().sum::<usize>() == DEVICES {
            break;
        }
        assert!(round <= 2 * DEVICES, "some wait for ever: {answered:?}");
    }
    assert!(answered.iter().all(|now| *now <= HANDSHAKES_PER_ROUND), "{answered:?}");
}

#[tokio::test]
async fn who_names_protocols_has_to_name_http() {
    let server = Server::new(Speaks::Http);
    let trusted = &server.pair.certificate;
    let both = client(trusted, TLS13, &["h2", "http/1.1"]);
    let (device, _comet) = server.connect(&both, Manners::GOOD).await;
    assert_eq!(device.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let other = client(trusted, TLS13, &["h2"]);
    let (device, comet) = server.try_connect(&other, Manners::GOOD).await;
    assert!(device.is_err());
    assert_eq!(comet.unwrap_err().name(), "incompatible");
    let unnamed = Server::new(Speaks::Unnamed);
    let other = client(&unnamed.pair.certificate, TLS13, &["h2"]);
    let (device, _comet) = unnamed.connect(&other, Manners::GOOD).await;
    assert_eq!(device.get_ref().1.alpn_protocol(), None);
}

#[tokio::test]
async fn a_device_that_does_not_trust_us_is_named_so() {
    let server = Server::new(Speaks::Http);
    for version in [TLS12, TLS13] {
        let stranger = client(&pair(NAME, 2020, 2060).certificate, version, &[]);
        let (device, comet) = server.try_connect(&stranger, Manners::GOOD).await;
        assert!(device.is_err());
        assert_eq!(comet.unwrap_err().name(), "refused_by_device");
    }
}

#[tokio::test]
async fn a_device_comes_back_with_its_ticket() {
    let server = Server::new(Speaks::Http);
    for version in [TLS12, TLS13] {
        let client = server.client(version);
        let mut resumed = Vec::new();
        for _ in 0..3 {
            let (mut device, mut comet) = server.connect(&client, Manners::GOOD).await;
            resumed.push(comet.is_resumed());
            comet.write_all(b"x").await.unwrap();
            // With it comes the ticket.
            assert_eq!(device.read_u8().await.unwrap(), b'x');
        }
        assert_eq!(resumed, [false, true, true], "{version:?}");
    }
}

#[tokio::test]
async fn of_two_pairs_for_a_name_the_one_is_shown_that_the_device_can_check() {
    let folder = Folder::new();
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
    let (ecdsa, rsa) = (pair(NAME, 2020, 2060), pair_of(&rsa, IsCa::NoCa, NAME, 2020, 2060));
    let files = |name, pair: &Pair| folder.write(name, &pair.certificate, &pair.key);
    let [ecdsa_files, rsa_files] = [files("ecdsa", &ecdsa), files("rsa", &rsa)];
    for (files, first) in [
        (vec![ecdsa_files.clone(), rsa_files.clone()], &ecdsa),
        (vec![rsa_files, ecdsa_files], &rsa),
    ] {
        let certificates = Certificates::load(files, SetClock::at(NOW_SECONDS)).unwrap();
        let acceptor = Acceptor::new(Arc::new(certificates), Speaks::Http).unwrap();
        let server = Server { acceptor, ..Server::new(Speaks::Http) };
        for version in [TLS12, TLS13] {
            let able = |word, trusted: &Pair| {
                client_with(checks_only(word), &trusted.certificate, version, &[])
            };
            server.connect(&able("ECDSA", &ecdsa), Manners::GOOD).await;
            server.connect(&able("RSA", &rsa), Manners::GOOD).await;
            let mut nameless = Arc::unwrap_or_clone(able("RSA", &rsa));
            nameless.enable_sni = false;
            server.connect(&Arc::new(nameless), Manners::GOOD).await;
            // Who can check both is shown the first.
            server.connect(&client(&first.certificate, version, &[]), Manners::GOOD).await;
        }
    }
}

/// What can check signatures only by schemes with this word in their names.
fn checks_only(word: &str) -> CryptoProvider {
    let mut provider = default_provider();
    let known = &mut provider.signature_verification_algorithms;
    let named = |(scheme, _): &&(SignatureScheme, _)| format!("{scheme:?}").contains(word);
    let checked: Vec<_> = known.mapping.iter().filter(named).copied().collect();
    known.mapping = checked.leak();
    provider
}

#[tokio::test]
async fn the_certificate_is_that_of_the_name_or_the_first() {
    let server = Server::new(Speaks::Http);
    let other = pair("other.test", 2020, 2060);
    let files = vec![
        server.folder.write("other", &other.certificate, &other.key),
        server.folder.files("comet"),
    ];
    let certificates = Certificates::load(files, SetClock::at(NOW_SECONDS)).unwrap();
    let acceptor = Acceptor::new(Arc::new(certificates), Speaks::Http).unwrap();
    let both = Server { acceptor, ..Server::new(Speaks::Http) };
    let named = client(&server.pair.certificate, TLS13, &[]);
    both.connect(&named, Manners::GOOD).await;
    let mut nameless = Arc::unwrap_or_clone(client(&other.certificate, TLS13, &[]));
    nameless.enable_sni = false;
    let (device, _) = both.try_connect(&Arc::new(nameless), Manners::GOOD).await;
    let told = device.unwrap_err().to_string();
    assert!(told.contains("not valid for name"), "the first is shown, which is another's: {told}");
}
