//! Storms: more devices than there are places, all at once and again and again.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use orrery_host::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::doors::{Doors, WAYS, Way, check_growth, resident};
use crate::support::device::{Transport, frame};
use crate::support::soon;

const CONNECTIONS: u64 = 60;
const HANDSHAKES: u64 = 20;
const DEVICES: usize = 400;

/// What became of one device of a storm.
enum Became {
    /// With its connection, which ends when this is dropped.
    LetIn { _stream: Box<dyn Stream> },
    /// Told to come back after so many seconds.
    Told(u64),
    /// Without a word.
    SentAway,
}

/// Comes in over plain TCP or WebSocket as a device does that was cut off: it speaks at once.
async fn come(doors: &Doors, way: Way) -> Became {
    let address = doors.address(way).to_string();
    let Ok(mut stream) = doors.stage.host.net.connect(&address).await else {
        return Became::SentAway;
    };
    let first = match way.transport {
        Transport::Tcp => frame(7, 1, b"{}").encode().to_vec(),
        Transport::WebSocket => b"GET /sub HTTP/1.1\r\nHost: comet.test\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\n\r\n"
            .to_vec(),
    };
    let _ = stream.write_all(&first).await;
    let mut answer = [0; 512];
    match soon("an answer or the end", stream.read(&mut answer)).await {
        Ok(len @ 1..) => {
            let told = String::from_utf8_lossy(&answer[..len]).into_owned();
            match told.split_once("Retry-After: ") {
                Some((_, rest)) => {
                    assert!(told.starts_with("HTTP/1.1 503 "), "{told}");
                    Became::Told(rest.split("\r\n").next().unwrap().parse().unwrap())
                }
                None => Became::LetIn { _stream: stream },
            }
        }
        Ok(0) | Err(_) => Became::SentAway,
    }
}

// On several threads, as a comet runs: a door refuses a connection before the system has said that it can be written to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_devices_that_come_back_takes_the_places_there_are_and_leaves_them_free() {
    let doors = Doors::with(|config| {
        config.connections_max = CONNECTIONS as usize;
        config.handshakes_max = HANDSHAKES as usize;
    })
    .await;
    let [tcp, websocket, tls_tcp, tls_websocket] = WAYS;
    let mut bystander = doors.device(tls_websocket, "{}").await;
    let before = resident();
    let mut hints = BTreeSet::new();
    for wave in 0..5 {
        let refused = || doors.refused("connections") + doors.refused("handshakes");
        let refused_before = refused();
        let coming = (0..DEVICES).map(|n| come(&doors, if n % 2 == 0 { tcp } else { websocket }));
        let became = join_all(coming).await;
        assert!(doors.handshakes() <= HANDSHAKES, "wave {wave}");
        let let_in = became.iter().filter(|became| matches!(became, Became::LetIn { .. })).count();
        // Who came over WebSocket, the odd ones, was told, whether the request had come by then or not.
        for (n, became) in became.iter().enumerate() {
            match became {
                Became::LetIn { .. } => {}
                Became::Told(after_s) => _ = hints.insert(*after_s),
                Became::SentAway => assert!(n % 2 == 0, "wave {wave}: {n} heard nothing"),
            }
        }
        assert!(let_in > 0 && let_in < CONNECTIONS as usize, "wave {wave}: {let_in} were let in");
        assert_eq!(refused() - refused_before, (DEVICES - let_in) as u64, "wave {wave}");
        bystander.send(frame(2, 1, b"")).await;
        assert_eq!(bystander.receive().await.op, 3, "wave {wave}");
        check_growth(before, 8 << 20, "a storm");
        // All that were let in are cut off, and the next wave comes when they are gone.
        drop(became);
        doors.until_handshakes(0).await;
        soon(
            "the goodbyes",
            doors.stage.logic.until("the goodbyes", |logic| logic.routes().len() == 1),
        )
        .await;
    }
    assert!(hints.iter().all(|after_s| (5..=15).contains(after_s)), "{hints:?}");
    assert!(hints.len() > 5, "they would come back as they came: {hints:?}");
    soon("a place for who comes back", async {
        while !(doors.lets_in(tcp).await && doors.lets_in(tls_tcp).await) {}
    })
    .await;
}

#[tokio::test]
async fn a_storm_over_tls_is_reset_before_a_byte_of_it() {
    let doors = Doors::with(|config| config.handshakes_max = HANDSHAKES as usize).await;
    let [_, _, tls_tcp, tls_websocket] = WAYS;
    let mut bystander = doors.device(tls_tcp, "{}").await;
    doors.until_handshakes(0).await;
    let mut held = Vec::new();
    for _ in 0..HANDSHAKES {
        held.push(doors.silent(tls_websocket).await);
    }
    doors.until_handshakes(HANDSHAKES).await;
    let before = resident();
    let come = async |way: Way| {
        let Ok(mut stream) = doors.stage.host.net.connect(&doors.address(way).to_string()).await
        else {
            return;
        };
        let wrote = stream.write_all(&[22, 3, 1, 0, 200]).await;
        let mut bytes = Vec::new();
        let read = soon("the reset", stream.read_to_end(&mut bytes)).await;
        // The kernel tells of a reset once.
        assert!(wrote.is_err() || read.is_err(), "{way:?} only ended");
        assert!(bytes.is_empty(), "{way:?}: {bytes:?}");
    };
    join_all((0..DEVICES).map(|n| come(if n % 2 == 0 { tls_tcp } else { tls_websocket }))).await;
    assert_eq!(doors.refused("handshakes"), DEVICES as u64);
    assert_eq!(doors.handshakes(), HANDSHAKES);
    check_growth(before, 8 << 20, "a storm over tls");
    bystander.send(frame(2, 1, b"")).await;
    assert_eq!(bystander.receive().await.op, 3);
    drop(held);
    doors.until_handshakes(0).await;
    doors.device(tls_websocket, "{}").await;
}
