//! Shares: how many connections one address may have, and how whoever has them is refused at each door.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

use crate::doors::{Doors, WAYS, rest};
use crate::support::device::{Device, Transport, frame};
use crate::support::soon;

#[tokio::test]
async fn an_address_that_has_its_share_is_refused_at_each_door_and_others_are_not() {
    let doors = Doors::with(|config| config.connections_per_address_max = 1).await;
    let mut first = doors.device(WAYS[0], "{}").await;
    for (counted, way) in (1..).zip(WAYS) {
        // It may be reset before this side has noticed that it is connected.
        let refused = doors.stage.host.net.connect(&doors.address(way).to_string()).await;
        let (told, was_reset) = match refused {
            Ok(mut stream) => rest(&mut stream).await,
            Err(_) => (Vec::new(), true),
        };
        let told = String::from_utf8(told).unwrap();
        match (way.transport, way.secured) {
            (Transport::WebSocket, false) => {
                assert!(told.starts_with("HTTP/1.1 503 ") && told.contains("Retry-After: "));
                assert!(!was_reset, "it was told in full");
            }
            _ => assert!(told.is_empty() && was_reset, "{way:?}: {told}"),
        }
        assert_eq!(doors.refused("address"), counted, "{way:?}");
    }
    assert_eq!((doors.refused("connections"), doors.refused("handshakes")), (0, 0));
    assert_eq!(doors.handshakes(), 0, "who is refused takes no place");

    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = soon("a connection", socket.connect(doors.address(WAYS[0]))).await.unwrap();
    other.write_all(&frame(7, 1, b"{}").encode()).await.unwrap();
    let mut answer = [0; 16];
    soon("an answer", other.read_exact(&mut answer)).await.unwrap();
    assert_eq!(answer[..], frame(8, 1, b"").encode()[..]);

    first.send(frame(2, 1, b"")).await;
    assert_eq!(first.receive().await.op, 3, "nobody who was let in noticed");
}

#[tokio::test]
async fn an_address_has_its_place_back_however_a_connection_ends() {
    let doors = Doors::with(|config| {
        config.connections_per_address_max = 1;
        config.handshake_ms = 500;
    })
    .await;
    let [tcp, websocket, tls_tcp, tls_websocket] = WAYS;
    let again = async |what: &str| {
        soon(what, async { while !doors.lets_in(tcp).await {} }).await;
        // That one has hung up: its place is free when the comet has noticed.
        soon(what, async { while !doors.lets_in(tls_tcp).await {} }).await;
    };
    again("a first place").await;
    let bad_token = frame(7, 1, b"no token").encode();
    for (way, said) in [
        (tcp, &b""[..]),
        (websocket, b""),
        (tls_tcp, b""),
        (tls_websocket, b""),
        (tcp, &bad_token),
        (tcp, &[0xff; 16]),
        (websocket, b"GET / HTTP/1.1\r\n\r\n"),
        (tls_tcp, b"no tls at all"),
        (tls_websocket, &[22, 3, 1, 0, 4, 1, 0, 0, 0]),
    ] {
        let failed = || doors.stage.counted("handshakes_failed");
        let failed_before = failed();
        soon("a handshake that fails", async {
            // It takes its place when that is free.
            while failed() == failed_before {
                let Ok(mut stream) = doors.try_silent(way).await else { continue };
                let _ = stream.write_all(said).await;
                if !said.is_empty() {
                    let _ = stream.shutdown().await;
                }
                rest(&mut stream).await;
            }
        })
        .await;
        again("a place after a handshake that failed").await;
    }
    soon("a broken frame", async {
        loop {
            let Ok(stream) = doors.try_silent(tcp).await else { continue };
            let mut device = Device::over(stream, Transport::Tcp).await;
            if device.try_authenticate("{}").await {
                device.send_raw(&[0xff; 16]).await;
                return device.ended().await;
            }
        }
    })
    .await;
    again("a place after a protocol that was broken").await;
}
