//! Deadlines: of the handshake and of heartbeats, as configured.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::bytes::{BINARY, FIN, PING, TEXT, frame, masked};
use crate::device::{Device, Who};
use crate::stack::{Plan, Stack, id};
use crate::web::{POLLS, hello};
use crate::wire::{ALL, EVERY, SOCKETS, TCP, Transport, Way, Wire, upgrade_request};
use crate::{soon, until};

/// What the stacks of this file allow.
const HANDSHAKE: Duration = Duration::from_millis(600);
const SILENCE: Duration = Duration::from_millis(1500);
/// By how much a deadline may be missed: devices are looked at once a second, and the machine may be
/// busy.
const LATE: Duration = Duration::from_secs(8);

/// A stack that does not wait long for credentials.
async fn brisk() -> Stack {
    let handshake_ms = HANDSHAKE.as_millis() as u64;
    Plan::new().with(|plan| plan.comet.handshake_ms = handshake_ms).start().await
}

/// A stack that does not put up with silence for long.
async fn chatty() -> Stack {
    let change = |plan: &mut Plan| {
        plan.logic.heartbeat_ms = SILENCE.as_millis() as u32 / 3;
        plan.logic.heartbeats_max = 3;
    };
    Plan::new().with(change).start().await
}

fn check(began: Instant, deadline: Duration, what: &str) {
    let took = began.elapsed();
    assert!(took >= deadline && took < deadline + LATE, "{what} ended after {took:?}");
}

/// Does something every so often until the comet hangs up.
async fn nag(device: &mut Device, bytes: &[u8]) {
    let ends = Instant::now() + SILENCE + LATE;
    while Instant::now() < ends {
        device.wire.send_bytes(bytes).await;
        let wait = Duration::from_millis(200);
        if let Ok(None) = tokio::time::timeout(wait, drain(device)).await {
            return;
        }
    }
    panic!("{:?} was not hung up on", device.wire.transport);
}

/// Reads until the end.
async fn drain(device: &mut Device) -> Option<()> {
    while device.wire.unit().await.is_some() {}
    None
}

#[tokio::test]
async fn a_device_that_does_not_authenticate_in_time_is_closed() {
    let stack = brisk().await;
    let mut wires = Vec::new();
    for transport in ALL {
        let began = Instant::now();
        wires.push((began, stack.wire(transport).await));
    }
    // Those that do not even ask for the WebSocket, or for TLS.
    for way in SOCKETS {
        let began = Instant::now();
        wires.push((began, Wire::silent(&stack.comets[0], way).await));
    }
    for door in [stack.comets[0].tls_tcp, stack.comets[0].tls_websocket] {
        let began = Instant::now();
        wires.push((began, Wire::bare(door, Transport::Tcp).await));
    }
    for (number, (began, mut wire)) in wires.into_iter().enumerate() {
        if number < ALL.len() && wire.transport == Transport::Json {
            assert_eq!(wire.socket_frame().await.1[..2], 4005u16.to_be_bytes());
        }
        wire.expect_end().await;
        check(began, HANDSHAKE, "a silent handshake");
    }
}

/// Sends bytes one by one, each after a while, until the deadline of a handshake is over.
async fn dawdle(wire: &mut Wire, began: Instant, bytes: &[u8]) {
    for byte in bytes {
        wire.send_bytes(&[*byte]).await;
        sleep(Duration::from_millis(20)).await;
        if began.elapsed() > HANDSHAKE {
            return;
        }
    }
    panic!("that was all, and too soon");
}

#[tokio::test]
async fn a_handshake_byte_by_byte_has_no_more_time_than_any_other() {
    let stack = &brisk().await;
    let watch = async |way: Way, begin: &[u8], rest: &[u8], status: Option<u16>| {
        let began = Instant::now();
        let mut wire = Wire::silent(&stack.comets[0], way).await;
        wire.send_bytes(begin).await;
        dawdle(&mut wire, began, rest).await;
        if let Some(status) = status {
            let reply = soon("an answer", wire.reply()).await;
            assert_eq!(reply.map(|reply| reply.status), Some(status), "{way:?}");
        }
        wire.expect_end().await;
        check(began, HANDSHAKE, "a slow handshake");
    };
    let token = frame(1, 7, 1, br#"{"mid":1,"platform":"a slow one"}"#);
    let upgrade = upgrade_request("/sub", "").into_bytes();
    let hello = hello("a key that is long enough");
    let post = format!("POST /sub/poll HTTP/1.1\r\nContent-Length: {}\r\n\r\n", hello.len());
    let post = post.as_bytes();
    let goim = join_all(TCP.map(|way| watch(way, b"", &token, None)));
    let sockets = join_all(SOCKETS.map(|way| watch(way, b"", &upgrade, None)));
    let heads = join_all(POLLS.map(|way| watch(way, b"", post, None)));
    let bodies = join_all(POLLS.map(|way| watch(way, post, &hello, Some(408))));
    tokio::join!(goim, sockets, heads, bodies);
}

#[tokio::test]
async fn other_frames_before_authentication_do_not_give_more_time() {
    let stack = &brisk().await;
    let watched = ALL.map(async |way| {
        let began = Instant::now();
        let mut device = Device::over(stack.wire(way).await);
        let bytes = match way.speaks {
            Transport::Tcp => frame(1, 2, 1, b""),
            Transport::Json => masked(FIN | TEXT, br#"{"type":"ping"}"#),
            _ => masked(FIN | BINARY, &frame(1, 2, 1, b"")),
        };
        nag(&mut device, &bytes).await;
        check(began, HANDSHAKE, "a handshake with heartbeats");
    });
    join_all(watched).await;
}

#[tokio::test]
async fn a_silent_device_is_closed() {
    let stack = chatty().await;
    let mut devices = Vec::new();
    for transport in ALL {
        let began = Instant::now();
        devices.push((began, stack.device(transport, &Who::key(&id("key"))).await));
    }
    for (began, mut device) in devices {
        device.expect_closed(4004).await;
        check(began, SILENCE, "silence");
    }
}

#[tokio::test]
async fn only_heartbeats_count_as_signs_of_life() {
    let stack = chatty().await;
    let talk = frame(1, 4, 1, b"talk");
    let mut watched = Vec::new();
    for way in ALL {
        let others = match way.speaks {
            Transport::Tcp => vec![talk.clone(), frame(1, 3, 1, b"")],
            Transport::Json => {
                let talk = br#"{"type":"message","op":4,"data":"talk"}"#;
                vec![masked(FIN | TEXT, talk), masked(FIN | TEXT, b"{")]
            }
            _ => vec![masked(FIN | BINARY, &talk), masked(FIN | PING, b"ping")],
        };
        for bytes in others {
            let began = Instant::now();
            let mut device = stack.device(way, &Who::key(&id("key"))).await;
            watched.push(async move {
                nag(&mut device, &bytes).await;
                check(began, SILENCE, "talk without heartbeats");
            });
        }
    }
    join_all(watched).await;
}

#[tokio::test]
async fn a_device_that_sends_heartbeats_stays() {
    let stack = chatty().await;
    let mut watched = Vec::new();
    for transport in EVERY {
        let mut device = stack.device(transport, &Who::key(&id("key"))).await;
        watched.push(async move {
            let ends = Instant::now() + SILENCE * 2;
            while Instant::now() < ends {
                device.beat().await;
                sleep(SILENCE / 5).await;
            }
            device.beat().await;
        });
    }
    join_all(watched).await;
}

#[tokio::test]
async fn a_logic_that_cannot_be_reached_is_a_handshake_that_takes_too_long() {
    let mut stack = brisk().await;
    let link = crate::link::Link::to(stack.logic.edge_address).await;
    stack.start_comet("behind-a-link", Some(link.address)).await;
    link.hold(true);
    let doors = stack.comets[1];
    let watched = ALL.map(async |way| {
        let began = Instant::now();
        let mut device = Device::begin(Wire::open(&doors, way).await, &Who::default()).await;
        device.expect_closed(4005).await;
        check(began, HANDSHAKE, "a handshake without logic");
    });
    join_all(watched).await;
    link.hold(false);
    until("devices are let in again", async || {
        let wire = Wire::open(&doors, Transport::Tcp).await;
        let mut device = Device::begin(wire, &Who::default()).await;
        soon("an answer or the end", device.wire.unit()).await.is_some()
    })
    .await;
}
