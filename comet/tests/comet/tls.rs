//! TLS: who is served over it and who is sent away, and certificates that are replaced meanwhile. That all
//! protocols mean the same over it is shown by the conformance suite.

use std::io::ErrorKind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orrery_comet::{Config, Tls};
use orrery_comet_core::Frame;
use orrery_host::{Clock, Host, Stream};
use orrery_proto::delivery::{CloseReason, Outcome};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::connect::key;
use crate::support::device::{BOTH, Device, Transport, frame};
use crate::support::json::JsonDevice;
use crate::support::patience::until;
use crate::support::secured::{Door, Secured};
use crate::support::session::{target, to_connections};
use crate::support::soon;
use crate::support::tls::{Files, Pair, connect};
use crate::support::web::Web;

/// All that comes until the end, however that comes.
async fn rest(stream: &mut Box<dyn Stream>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = soon("the end", stream.read_to_end(&mut bytes)).await;
    bytes
}

#[tokio::test]
async fn who_does_not_speak_tls_to_a_port_for_it_is_told_and_sent_away() {
    let secured = Secured::with(|_| {}).await;
    let token = frame(7, 1, b"{}").encode();
    let alert = [21, 3, 1, 0, 2, 2, 70];
    for (counted, transport) in (1..).zip(BOTH) {
        for (bytes, answer) in [
            (&b"GET /sub HTTP/1.1\r\nHost: comet.test\r\n\r\n"[..], &b"HTTP/1.1 400 "[..]),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HTTP/1.1 400 "),
            (&token, &alert),
            (&[0xff; 3000], &alert),
        ] {
            let mut stream = secured.plain(transport).await;
            stream.write_all(bytes).await.unwrap();
            let told = rest(&mut stream).await;
            assert!(told.starts_with(answer), "{bytes:?}: {told:?}");
        }
        secured.refusals("plain_http", 2 * counted).await;
        secured.refusals("not_tls", 2 * counted).await;
        // Something that begins well.
        let mut stream = secured.plain(transport).await;
        stream.write_all(&[22, 3, 1, 0, 4, 1, 0, 0, 0]).await.unwrap();
        assert_eq!(rest(&mut stream).await[0], 21, "an alert");
        secured.refusals("malformed", counted).await;
        drop(secured.plain(transport).await);
        secured.refusals("truncated", counted).await;
    }
    secured.device(Transport::Tcp, "{}").await;
}

#[tokio::test]
async fn tls_at_a_port_without_it_is_not_understood() {
    let secured = Secured::with(|_| {}).await;
    let comet = &secured.stage.comet;
    for address in [comet.tcp_address(), comet.websocket_address()] {
        let connected = connect(&secured.stage.host, address, &secured.pair, &[]);
        assert!(soon("a refusal", connected).await.is_err());
    }
    secured.stage.device(Transport::Tcp, "{}").await;
}

#[tokio::test]
async fn who_speaks_only_http_2_is_refused_by_the_port_for_websocket() {
    let secured = Secured::with(|_| {}).await;
    let (host, websocket) = (&secured.stage.host, secured.address(Transport::WebSocket));
    assert!(connect(host, websocket, &secured.pair, &["h2"]).await.is_err());
    secured.refusals("incompatible", 1).await;
    let both = connect(host, websocket, &secured.pair, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    // goim's own protocol has no name there.
    let tcp = connect(host, secured.address(Transport::Tcp), &secured.pair, &["h2"]).await.unwrap();
    assert_eq!(tcp.get_ref().1.alpn_protocol(), None);
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_devices_and_the_others_go_on() {
    // For longer than this takes.
    let secured = Secured::with(|config| config.poll_wait_ms = 120_000).await;
    let (host, address) = (&secured.stage.host, secured.address(Transport::Tcp));
    let ends_at = || secured.stage.measured("tls_certificate_expires_at_seconds");
    assert_eq!(ends_at(), Some(2_840_140_800));
    let looked_at = || secured.stage.measured("tls_certificates_looked_at_seconds");
    let began_at = looked_at();
    let mut tcp = secured.device(Transport::Tcp, r#"{"key":"tcp"}"#).await;
    let mut websocket = secured.device(Transport::WebSocket, r#"{"key":"ws"}"#).await;
    let mut json = JsonDevice::over(secured.stream(Transport::WebSocket).await).await;
    json.hello(json!({"type": "hello", "key": "json"})).await;
    let [_, door] = secured.doors(Transport::WebSocket);
    let (mut polling, poll) = visit(&door, "poll").await;
    let mut polled = pin!(polling.fetch("GET", &poll, ""));
    assert!(futures_util::poll!(&mut polled).is_pending());
    let (mut streaming, stream) = visit(&door, "events").await;
    assert_eq!(streaming.fetch("GET", &stream, "").await.status, 200);

    // One that cannot be shown changes nothing, and is counted.
    let new = Pair::until(2050);
    secured.files.write(&new.certificate, &secured.pair.key);
    soon("the look at the new files", async {
        while secured.stage.counted("tls_certificates_refused") == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(looked_at() > began_at, "a look that never comes again would be seen");
    secured.device(Transport::Tcp, r#"{"key":"old"}"#).await;

    secured.files.write(&new.certificate, &new.key);
    soon("the new certificate", async {
        while connect(host, address, &new, &[]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(connect(host, address, &secured.pair, &[]).await.is_err(), "the old one is gone");
    assert_eq!(ends_at(), Some(2_524_608_000));
    assert_eq!(secured.stage.counted("tls_certificates_replaced"), 1);
    assert!(secured.refused("refused_by_device") > 0, "they did not trust it");

    for device in [&mut tcp, &mut websocket] {
        device.send(frame(2, 5, b"")).await;
        assert_eq!(device.receive().await.op, 3);
    }
    json.send(json!({"type": "ping"})).await;
    assert_eq!(json.receive().await, json!({"type": "pong"}));
    let mut session = secured.session().await;
    for name in ["poll", "events"] {
        session.push(7, b"still there", &[&secured.logic.route(&key(name))]).await;
    }
    let push = json!({"type": "message", "op": 7, "data": "still there"});
    assert_eq!(soon("the push", polled).await.json()["events"], json!([push]));
    streaming.text_to("still there").await;
}

/// Says hello over HTTP with a key; gives the connection, and what to ask for on it.
async fn visit(door: &Door, how: &str) -> (Web, String) {
    let mut web = door.web().await;
    let hello = json!({"type": "hello", "key": how}).to_string();
    let welcome = web.fetch("POST", "/sub/poll", &hello).await.json();
    let [session, cursor] = ["session", "cursor"].map(|name| welcome[name].as_str().unwrap());
    let target = format!("/sub/{how}?session={session}&cursor={cursor}");
    (web, target)
}

/// A clock that is set, in seconds.
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn wall_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed) * 1000
    }
}

#[tokio::test]
async fn a_certificate_that_expires_while_it_is_shown_goes_on_being_shown_and_is_told_of() {
    const ENDS_AT: u64 = 2_840_140_800;
    let said = tempfile::NamedTempFile::new().unwrap();
    let log = tracing_subscriber::fmt().with_max_level(tracing::Level::ERROR);
    let log = log.with_writer(Arc::new(said.reopen().unwrap())).finish();
    let _logging = tracing::subscriber::set_default(log);
    let clock = Arc::new(SetClock(AtomicU64::new(ENDS_AT - 20 * 365 * 86_400)));
    let secured = Secured::on(Host { clock: clock.clone(), ..Host::system() }, |_| {}).await;
    let mut before = secured.device(Transport::Tcp, r#"{"key":"before"}"#).await;

    clock.0.store(ENDS_AT + 10, Ordering::Relaxed);
    until("the look at it, and what is said of it", async || {
        let said = std::fs::read_to_string(said.path()).unwrap();
        said.contains("the certificate expired 10 s ago and was not replaced")
    })
    .await;
    let looked_at = secured.measured("tls_certificates_looked_at_seconds");
    assert_eq!(looked_at, Some(ENDS_AT + 10));
    assert_eq!(secured.measured("tls_certificate_expires_at_seconds"), Some(ENDS_AT));
    assert_eq!(secured.counted("tls_certificates_refused"), 0, "it was good when it came");
    // By this one's own clock its time is not over.
    secured.device(Transport::Tcp, r#"{"key":"after"}"#).await;
    before.send(frame(2, 5, b"")).await;
    assert_eq!(before.receive().await.op, 3);
}

#[tokio::test]
async fn a_handshake_of_tls_has_no_more_time_than_any_other() {
    const HANDSHAKE: Duration = Duration::from_millis(400);
    let secured = Secured::with(|config| config.handshake_ms = 400).await;
    let began = Instant::now();
    let mut silent = secured.plain(Transport::WebSocket).await;
    // Half a hello, byte by byte.
    let mut slow = secured.plain(Transport::Tcp).await;
    let hello = [&[22, 3, 1, 1, 0, 1, 0, 0, 252, 3, 3][..], &[7; 200]].concat();
    for byte in hello {
        // It may be cut off by now.
        let _ = slow.write_all(&[byte]).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for stream in [&mut silent, &mut slow] {
        assert!(rest(stream).await.is_empty());
    }
    assert!(began.elapsed() >= HANDSHAKE, "{:?}", began.elapsed());
    secured.refusals("timeout", 2).await;

    // It is one deadline for all that comes before the answer.
    let began = Instant::now();
    let mut shaken = secured.stream(Transport::WebSocket).await;
    rest(&mut shaken).await;
    assert!(began.elapsed() >= HANDSHAKE * 3 / 4, "{:?}", began.elapsed());
    assert_eq!(secured.refused("timeout"), 2, "its handshake of TLS was done");
}

#[tokio::test]
async fn who_is_refused_at_a_port_for_tls_is_reset() {
    let secured = Secured::with(|config| config.handshakes_max = 1).await;
    // One that does not go on takes the only place.
    let silent = secured.plain(Transport::Tcp).await;
    for (counted, transport) in (1..).zip(BOTH) {
        let refused = async {
            let address = secured.address(transport).to_string();
            secured.stage.host.net.connect(&address).await?.read(&mut [0; 64]).await
        };
        let refused = soon("the reset", refused).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionReset, "{transport:?}");
        let count = secured.stage.counted_for("handshakes_refused", "limit", "handshakes");
        assert_eq!(count, counted);
    }
    drop(silent);
    let (host, address) = (&secured.stage.host, secured.address(Transport::Tcp));
    soon("a free place", async {
        while connect(host, address, &secured.pair, &[]).await.is_err() {}
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_closed_says_so_within_tls() {
    let secured = Secured::with(|_| {}).await;
    let mut session = secured.stage.session().await;
    let token = frame(7, 1, br#"{"key":"tcp"}"#).encode();
    let mut tcp = secured.stream(Transport::Tcp).await;
    tcp.write_all(&token).await.unwrap();
    tcp.read_exact(&mut [0; 16]).await.unwrap();
    session.close(&secured.stage.logic.route(&key("tcp")), CloseReason::Kicked).await;
    // Without the word of TLS that nothing follows this is an error.
    assert_eq!(soon("the end", tcp.read(&mut [0; 64])).await.unwrap(), 0);

    let mut websocket = secured.device(Transport::WebSocket, r#"{"key":"ws"}"#).await;
    session.close(&secured.stage.logic.route(&key("ws")), CloseReason::Kicked).await;
    let Device::WebSocket(socket, ..) = &mut websocket else { panic!("it is one") };
    assert_eq!(soon("the end", socket.get_mut().read(&mut [0; 64])).await.unwrap(), 0);

    let mut json = JsonDevice::over(secured.stream(Transport::WebSocket).await).await;
    json.hello(json!({"type": "hello", "key": "json"})).await;
    session.close(&secured.stage.logic.route(&key("json")), CloseReason::Kicked).await;
    assert_eq!(json.closed().await, 4002);
}

#[tokio::test]
async fn a_device_that_does_not_answer_a_close_holds_no_place() {
    let secured = Secured::with(|config| config.connections_max = 1).await;
    let mut session = secured.stage.session().await;
    let mut mute = JsonDevice::over(secured.stream(Transport::WebSocket).await).await;
    mute.hello(json!({"type": "hello", "key": "mute"})).await;
    session.close(&secured.stage.logic.route(&key("mute")), CloseReason::Kicked).await;
    let (host, address) = (&secured.stage.host, secured.address(Transport::Tcp));
    let mut other = soon("a free place", async {
        loop {
            if let Ok(stream) = connect(host, address, &secured.pair, &[]).await {
                let stream = Box::new(orrery_host::LocalStream(stream));
                break Device::over(stream, Transport::Tcp).await;
            }
        }
    })
    .await;
    other.authenticate("{}").await;
    drop(mute);
}

#[tokio::test]
async fn what_a_device_reads_late_reaches_it_to_the_last_byte() {
    // More than the kernel takes at once: the rest goes as the device reads.
    const PUSHES: usize = 80;
    let secured = Secured::with(|config| config.outbox_bytes = 64 << 20).await;
    let body = vec![b'x'; 200_000];
    for transport in BOTH {
        let mut device = secured.device(transport, r#"{"key":"late","accepts":[1000]}"#).await;
        let mut session = secured.stage.session().await;
        (session.wait_written, session.timeout_ms) = (true, 10_000);
        let to = vec![target(&secured.stage.logic.route(&key("late")))];
        let mut pushes = Vec::new();
        for _ in 0..PUSHES {
            pushes.push(session.send(to_connections(1000, &body, to.clone())).await);
        }
        for _ in 0..PUSHES {
            assert_eq!(
                device.receive().await,
                Frame { version: 1, op: 1000, seq: 0, body: body.clone().into() }
            );
        }
        for push in pushes {
            assert_eq!(session.receipt(push).await.outcomes, [Outcome::Written as i32]);
        }
        // The next one takes its key.
        drop(device);
    }
}

#[tokio::test]
async fn a_device_that_says_that_nothing_follows_is_told_the_same() {
    let secured = Secured::with(|_| {}).await;
    let mut stream = secured.stream(Transport::Tcp).await;
    stream.write_all(&frame(7, 1, b"{}").encode()).await.unwrap();
    stream.shutdown().await.unwrap();
    // An end without a word would be an error.
    let mut bytes = Vec::new();
    soon("the end", stream.read_to_end(&mut bytes)).await.unwrap();
}

#[tokio::test]
async fn what_tls_puts_around_the_bytes_of_a_device_counts_as_well() {
    let secured = Secured::with(|config| {
        config.bytes_burst = 20_000;
        config.bytes_per_second = 1;
    })
    .await;
    let beat = frame(2, 1, b"").encode();
    for (pieces, closed) in [(1, 0), (beat.len(), 1)] {
        let mut stream = secured.stream(Transport::Tcp).await;
        stream.write_all(&frame(7, 1, b"{}").encode()).await.unwrap();
        soon("the answer", stream.read_exact(&mut [0; 16])).await.unwrap();
        // A kilobyte of words.
        for _ in 0..64 {
            for piece in beat.chunks(beat.len() / pieces) {
                // Once it is found out nobody reads.
                let _ = stream.write_all(piece).await;
                let _ = stream.flush().await;
            }
        }
        if closed > 0 {
            rest(&mut stream).await;
        } else {
            soon("the answers", stream.read_exact(&mut [0; 64 * 20])).await.unwrap();
        }
        assert_eq!(secured.stage.counted_for("floods", "limit", "bytes"), closed);
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_shown_is_a_start_that_fails_by_name() {
    let (good, other, expired) = (Pair::until(2060), Pair::until(2060), Pair::until(2021));
    for (certificate, key, reason) in [
        (&good.certificate, &other.key, "the key is not that of the certificate"),
        (&expired.certificate, &expired.key, "the certificate expired "),
        (&good.key, &good.key, "is not PEM as expected"),
    ] {
        let files = Files::of(&good);
        files.write(certificate, key);
        let config = Config { tls: files.config(), ..Config::default() };
        let path = config.tls.certificates[0].display().to_string();
        let Err(error) = orrery_comet::start(config, Host::system()).await else {
            panic!("it started: {reason}")
        };
        let error = error.to_string();
        assert!(error.contains(&path) && error.contains(reason), "{error}");
    }
    let certificates = vec!["comet.pem".into(), "other.pem".into()];
    let tls = Tls { certificates, keys: vec!["comet.key".into()], ..Tls::default() };
    let error = Config { tls, ..Config::default() }.check().unwrap_err().to_string();
    assert_eq!(error, "tls.keys must be one for each of tls.certificates");
}
