//! Connecting: from the first byte to the answer, heartbeats, and how a connection ends.

use std::time::Duration;

use orrery_model::{Address, Id, Primary, Seq};
use orrery_proto::edge::edge_request::Kind as Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::support::Stage;
use crate::support::device::{BOTH, Transport, frame};
use crate::support::logic::Fate;

pub(crate) fn user(id: &str) -> Address {
    Address::user(Id::new(id).unwrap())
}

pub(crate) fn key(id: &str) -> Address {
    Address::key(Id::new(id).unwrap())
}

pub(crate) fn room(id: &str) -> Address {
    Address::room(Id::new(id).unwrap())
}

#[tokio::test]
async fn a_device_is_bound_by_user_and_key_before_it_is_answered() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let token = r#"{"mid":7,"key":"k7","room_id":"live://1","platform":"ios"}"#;
        let _device = stage.device(transport, token).await;
        let primary = stage.logic.route(&user("7"));
        assert_eq!(primary.details.platform, "ios");
        assert_eq!(primary.details.rooms, [Id::new("live://1").unwrap()].into());
        let secondary = stage.logic.route(&key("k7"));
        let name = Primary { address: user("7"), seq: Seq(primary.seq) };
        assert_eq!(secondary.details.primary, Some(name));
        assert_eq!(secondary.conn, primary.conn);
        assert!(secondary.details.rooms.is_empty(), "rooms belong to the primary address");
        let log = stage.logic.log();
        let position = |what: fn(&Request) -> bool| log.iter().position(what).unwrap();
        assert!(position(is_listing) < position(is_bind), "listed before it is bound");
    }
}

fn is_listing(request: &Request) -> bool {
    use orrery_proto::registry::command::Kind;
    matches!(request, Request::Write(write) if matches!(write.kind, Some(Kind::BindRoom(_))))
}

fn is_bind(request: &Request) -> bool {
    use orrery_proto::registry::command::Kind;
    matches!(request, Request::Write(write) if matches!(write.kind, Some(Kind::Bind(_))))
}

#[tokio::test]
async fn a_device_without_user_is_bound_by_its_key() {
    let stage = Stage::new().await;
    let _device = stage.device(Transport::Tcp, r#"{"key":"only"}"#).await;
    assert_eq!(stage.logic.routes().len(), 1);
    assert_eq!(stage.logic.route(&key("only")).details.primary, None);
}

#[tokio::test]
async fn frames_before_the_token_are_ignored() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let mut device = stage.stranger(transport).await;
        device.send(frame(2, 1, b"")).await;
        device.send(frame(1000, 2, b"x")).await;
        device.authenticate("{}").await;
    }
}

#[tokio::test]
async fn a_refused_token_closes_the_connection_without_a_word() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let mut device = stage.stranger(transport).await;
        device.send(frame(7, 1, b"not json")).await;
        device.ended().await;
        assert!(stage.logic.routes().is_empty());
    }
}

#[tokio::test]
async fn a_device_that_never_authenticates_is_closed_at_the_deadline() {
    for transport in BOTH {
        let stage = Stage::with(|config| config.handshake_ms = 200).await;
        let began = Instant::now();
        let mut device = stage.stranger(transport).await;
        device.send(frame(2, 1, b"")).await;
        device.ended().await;
        assert!(began.elapsed() >= Duration::from_millis(150), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_websocket_handshake_that_never_ends_is_closed_at_the_deadline() {
    let stage = Stage::with(|config| config.handshake_ms = 200).await;
    let address = stage.comet.websocket_address().to_string();
    let mut stream = stage.host.net.connect(&address).await.unwrap();
    stream.write_all(b"GET /sub HTTP/1.1\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = crate::support::soon("the end", stream.read_to_end(&mut answer)).await;
    assert_eq!(read.unwrap_or(0), 0);
}

#[tokio::test]
async fn the_deadline_covers_an_authentication_that_is_not_answered() {
    let stage = Stage::with(|config| config.handshake_ms = 300).await;
    stage.logic.rule(|request| match request {
        Request::Authenticate(_) => Fate::Hold,
        _ => Fate::Answer,
    });
    let mut device = stage.stranger(Transport::Tcp).await;
    device.send(frame(7, 1, b"{}")).await;
    device.ended().await;
    stage.logic.release();
    let _other = stage.device(Transport::Tcp, r#"{"key":"b"}"#).await;
    assert_eq!(stage.logic.routes().len(), 1, "the late answer binds nobody");
}

#[tokio::test]
async fn only_heartbeats_keep_a_connection() {
    for transport in BOTH {
        let stage = Stage::new().await;
        stage.logic.heartbeat_max_ms(400);
        let mut talker = stage.device(transport, r#"{"mid":1}"#).await;
        let mut living = stage.device(transport, r#"{"mid":2}"#).await;
        let began = Instant::now();
        let mut seq = 0;
        // Until the sweep has had its turn twice: an op 4 is no sign of life.
        while began.elapsed() < Duration::from_millis(2500) {
            seq += 1;
            living.send(frame(2, seq, b"")).await;
            assert_eq!(living.receive().await.op, 3);
            if began.elapsed() < Duration::from_millis(300) {
                talker.send(frame(4, seq, b"")).await;
                assert_eq!(talker.receive().await, frame(4, seq, b""));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        talker.ended().await;
        living.send(frame(2, 0, b"")).await;
        assert_eq!(living.receive().await.op, 3);
    }
}

#[tokio::test]
async fn a_thousand_frames_at_once_are_all_answered_in_order() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let mut device = stage.stranger(transport).await;
        match transport {
            // Behind the token, without waiting for its answer.
            Transport::Tcp => device.send(frame(7, 42, b"{}")).await,
            Transport::WebSocket => device.authenticate("{}").await,
        }
        device.send_burst((0..1000).map(|seq| frame(100, seq, b"body"))).await;
        if transport == Transport::Tcp {
            assert_eq!(device.receive().await.op, 8);
        }
        for seq in 0..1000 {
            assert_eq!(device.receive().await, frame(100, seq, b""));
        }
    }
}

#[tokio::test]
async fn an_unknown_operation_is_echoed_and_told_to_logic() {
    let stage = Stage::new().await;
    let mut device = stage.device(Transport::Tcp, r#"{"mid":1}"#).await;
    device.send(frame(-5, -5, b"up")).await;
    assert_eq!(device.receive().await, frame(-5, -5, b""));
    let route = stage.logic.route(&user("1"));
    stage
        .logic
        .until("the message upstream", |logic| {
            logic.log().iter().any(|request| match request {
                Request::Received(received) => {
                    let message = received.message.as_ref().unwrap();
                    (message.op, &message.body[..]) == (-5, b"up") && received.seq == route.seq
                }
                _ => false,
            })
        })
        .await;
}

#[tokio::test]
async fn a_second_connection_with_the_same_key_takes_the_place_of_the_first() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let mut first = stage.device(transport, r#"{"mid":1,"key":"same"}"#).await;
        let mut second = stage.device(transport, r#"{"mid":1,"key":"same"}"#).await;
        first.ended().await;
        let living = stage.logic.route(&key("same"));
        stage
            .logic
            .until("the first one's goodbye", |logic| logic.routes_of(&user("1")).len() == 1)
            .await;
        assert_eq!(stage.logic.route(&key("same")), living, "its goodbye took only itself");
        assert_eq!(stage.logic.route(&user("1")).conn, living.conn);
        second.send(frame(2, 9, b"")).await;
        assert_eq!(second.receive().await.op, 3);
    }
}

#[tokio::test]
async fn there_is_only_one_path() {
    let stage = Stage::new().await;
    for path in ["/", "/sub?x=1", "/sub/", "/other"] {
        let address = stage.comet.websocket_address().to_string();
        let mut stream = stage.host.net.connect(&address).await.unwrap();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        crate::support::soon("the answer", stream.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 404 "), "{path}");
    }
}

#[tokio::test]
async fn goim_devices_may_leave_their_frames_unmasked_and_get_their_pongs_at_once() {
    let stage = Stage::new().await;
    let mut device = stage.device(Transport::WebSocket, "{}").await;
    device.send_raw(b"\x89\x08pingdata").await;
    assert_eq!(device.receive().await, frame(-1, 0, b"pingdata"), "a pong");
    let heartbeat = frame(2, 5, b"").encode();
    device.send_raw(&[&[0x82, 16], &heartbeat[..]].concat()).await;
    assert_eq!(device.receive().await, frame(3, 5, &[0; 4]));
}

#[tokio::test]
async fn a_frame_that_breaks_the_protocol_closes_the_connection() {
    for transport in BOTH {
        let stage = Stage::new().await;
        let mut device = stage.device(transport, r#"{"mid":1}"#).await;
        device.send(frame(4, 1, &[0; 4097])).await;
        device.ended().await;
        stage.logic.until("its goodbye", |logic| logic.routes().is_empty()).await;
    }
}
