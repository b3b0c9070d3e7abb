//! Places: devices that come in and do not go on, with nothing said or with half of it.

use std::time::Duration;

use orrery_host::Stream;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::doors::{Doors, WAYS, Way, check_growth, resident, rest};
use crate::support::device::{Device, Transport, frame};

/// Connections of each way that do not go on.
const EACH: usize = 100;
const PLACES: usize = EACH * WAYS.len();

/// Memory that one of them may take at this side and at the other: the longest head of a request, or a record of TLS
/// and what it is made into, twice for buffers that grow, and the connection.
const EACH_BYTES: usize = 64 << 10;

async fn check_bystander(bystander: &mut Device) {
    bystander.send(frame(2, 1, b"")).await;
    assert_eq!(bystander.receive().await.op, 3, "who was let in is served");
}

/// No more are taken, at any door.
async fn check_full(doors: &Doors, limit: &str) {
    let before = doors.refused(limit);
    for (counted, way) in (1..).zip(WAYS) {
        if let Ok(mut stream) = doors.stage.host.net.connect(&doors.address(way).to_string()).await
        {
            rest(&mut stream).await;
        }
        assert_eq!(doors.refused(limit), before + counted, "{way:?}");
    }
    assert_eq!(doors.handshakes(), PLACES as u64);
}

/// All of them end, and all places are free.
async fn check_free(doors: &Doors, streams: &mut [Box<dyn Stream>]) {
    for stream in streams {
        rest(stream).await;
    }
    doors.until_handshakes(0).await;
    assert!(doors.lets_in(WAYS[0]).await && doors.lets_in(WAYS[2]).await);
}

#[tokio::test]
async fn half_open_connections_have_their_places_for_a_time_and_no_more_than_there_are() {
    let doors = Doors::with(|config| {
        config.handshakes_max = PLACES;
        config.handshake_ms = 3000;
    })
    .await;
    let mut bystander = doors.device(WAYS[0], "{}").await;
    doors.until_handshakes(0).await;
    let before = resident();
    let began = Instant::now();
    let mut held = Vec::new();
    for way in WAYS {
        for _ in 0..EACH {
            held.push(doors.silent(way).await);
        }
    }
    doors.until_handshakes(PLACES as u64).await;
    check_full(&doors, "handshakes").await;
    check_bystander(&mut bystander).await;
    check_growth(before, PLACES * (16 << 10), "connections that are silent");
    check_free(&doors, &mut held).await;
    assert!(began.elapsed() >= Duration::from_secs(3));
    check_bystander(&mut bystander).await;
}

/// As much of a handshake as is kept before it is whole.
fn beginning(way: Way) -> Vec<u8> {
    match (way.transport, way.secured) {
        // A token that lacks its last bytes.
        (Transport::Tcp, false) => frame(7, 1, &[b' '; 4096]).encode()[..4000].to_vec(),
        (Transport::WebSocket, false) => {
            [&b"GET /sub HTTP/1.1\r\nX-Filler: "[..], &[b'x'; 15 << 10]].concat()
        }
        // A hello of 16 KiB less four in a record of that length, which lacks its last bytes.
        (_, true) => [&[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3][..], &[7; 15 << 10]].concat(),
    }
}

#[tokio::test]
async fn slow_handshakes_have_a_bounded_memory_and_end_in_time() {
    const HANDSHAKE: Duration = Duration::from_secs(4);
    let doors = Doors::with(|config| {
        config.handshakes_max = PLACES;
        config.handshake_ms = HANDSHAKE.as_millis() as u64;
    })
    .await;
    let mut bystander = doors.device(WAYS[0], "{}").await;
    doors.until_handshakes(0).await;
    let before = resident();
    let began = Instant::now();
    let mut held = Vec::new();
    for way in WAYS {
        for _ in 0..EACH {
            let mut stream = doors.silent(way).await;
            stream.write_all(&beginning(way)).await.unwrap();
            held.push(stream);
        }
    }
    doors.until_handshakes(PLACES as u64).await;
    check_full(&doors, "handshakes").await;
    // A byte now and then, for as long as anybody listens.
    while began.elapsed() < HANDSHAKE {
        for stream in &mut held {
            let _ = stream.write_all(b"x").await;
        }
        check_bystander(&mut bystander).await;
        check_growth(before, PLACES * EACH_BYTES, "handshakes that are slow");
        sleep(Duration::from_millis(100)).await;
    }
    check_free(&doors, &mut held).await;
    check_bystander(&mut bystander).await;
}
