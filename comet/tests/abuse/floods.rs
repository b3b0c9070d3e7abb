//! Floods: devices that send too much, in frames, parts, pings or bytes.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::doors::{Doors, WAYS, check_growth, into_stream, masked, pour, resident};
use crate::support::device::{Transport, frame};

/// What a few connections and the buffers between them may take.
const SLACK: usize = 8 << 20;

#[tokio::test]
async fn parts_of_messages_count_as_frames() {
    let doors = Doors::with(|config| {
        config.frames_burst = 60;
        config.frames_per_second = 1;
    })
    .await;
    // Fewer than a message may have, so that nothing else ends it; no message is ever whole.
    let parts = |first: u8| [masked(first, b"{"), masked(0x00, b" ").repeat(89)].concat();
    let mut counted = 0;
    for way in WAYS.into_iter().filter(|way| way.transport == Transport::WebSocket) {
        let device = doors.device(way, "{}").await;
        pour(into_stream(device), &parts(0x02), 1).await;
        let mut json = doors.json(way.secured).await;
        json.send_raw(&parts(0x01)).await;
        assert_eq!(json.closed().await, 1002);
        counted += 2;
        assert_eq!(doors.floods("frames"), counted, "{way:?}");
    }
    assert_eq!(doors.floods("bytes"), 0);
}

#[tokio::test]
async fn a_flood_of_parts_in_whole_messages_is_closed_and_kept_nowhere() {
    let doors = Doors::with(|_| {}).await;
    let mut bystander = doors.device(WAYS[0], "{}").await;
    let message = {
        let heartbeat = frame(2, 1, b"").encode();
        [masked(0x02, b""), masked(0x00, b"").repeat(98), masked(0x80, &heartbeat)].concat()
    };
    let before = resident();
    for (counted, way) in (1..).zip(WAYS.into_iter().filter(|way| way.transport != Transport::Tcp))
    {
        let device = doors.device(way, "{}").await;
        let sent = pour(into_stream(device), &message, 100_000).await;
        assert!(sent < 16 << 20, "{way:?} was read for {sent} bytes");
        assert_eq!(doors.floods("frames"), counted, "{way:?}");
    }
    check_growth(before, SLACK, "parts");
    bystander.send(frame(2, 1, b"")).await;
    assert_eq!(bystander.receive().await.op, 3);
}

#[tokio::test]
async fn more_bytes_than_allowed_are_closed_and_fewer_are_not() {
    const BURST: u32 = 64 << 10;
    let doors = Doors::with(|config| {
        config.bytes_burst = BURST;
        config.bytes_per_second = 1;
    })
    .await;
    let large = frame(4, 1, &[b'x'; 4096]);
    let mut counted = 0;
    for way in WAYS {
        let mut device = doors.device(way, "{}").await;
        for _ in 0..12 {
            device.send(large.clone()).await;
            assert_eq!(device.receive().await.op, 4, "{way:?}");
        }
        let bytes = match way.transport {
            Transport::Tcp => large.encode().to_vec(),
            Transport::WebSocket => masked(0x82, &large.encode()),
        };
        pour(into_stream(device), &bytes, 8).await;
        counted += 1;
        assert_eq!(doors.floods("bytes"), counted, "{way:?}");
        if way.transport == Transport::WebSocket {
            let mut json = doors.json(way.secured).await;
            let text = format!(r#"{{"type":"message","op":4,"data":"{:x>8000}"}}"#, "");
            json.send_raw(&masked(0x81, text.as_bytes()).repeat(10)).await;
            assert_eq!(json.closed().await, 1002);
            counted += 1;
            assert_eq!(doors.floods("bytes"), counted, "{way:?}");
        }
    }
    assert_eq!(doors.floods("frames"), 0);
}

#[tokio::test]
async fn large_frames_are_cut_off_and_kept_nowhere() {
    const POURED: usize = 256 << 20;
    let doors = Doors::with(|_| {}).await;
    let mut bystander = doors.device(WAYS[0], "{}").await;
    let before = resident();
    for way in WAYS {
        // The largest that is taken, for as long as it is. A heartbeat, which goes no further.
        let large = frame(2, 1, &[b'x'; 4096]).encode();
        // One that claims gigabytes and sends them.
        let (piece, huge) = match way.transport {
            Transport::Tcp => (large.to_vec(), i32::MAX.to_be_bytes().to_vec()),
            Transport::WebSocket => {
                let claim = [&[0x82, 0xff][..], &(8u64 << 30).to_be_bytes(), &[0; 4]].concat();
                (masked(0x82, &large), claim)
            }
        };
        let device = doors.device(way, "{}").await;
        let sent = pour(into_stream(device), &piece, POURED / piece.len()).await;
        assert!(sent < 32 << 20, "{way:?} was read for {sent} bytes");
        let mut stream = into_stream(doors.device(way, "{}").await);
        stream.write_all(&huge).await.unwrap();
        let sent = pour(stream, &[b'x'; 16 << 10], POURED / (16 << 10)).await;
        assert!(sent < 32 << 20, "{way:?} was read for {sent} bytes");
    }
    assert_eq!(doors.floods("bytes"), 4);
    check_growth(before, SLACK, "large frames");
    bystander.send(frame(2, 1, b"")).await;
    assert_eq!(bystander.receive().await.op, 3);
}

#[tokio::test]
async fn pings_of_a_device_that_reads_no_pongs_are_read_no_more() {
    const POURED: usize = 256 << 20;
    // However many it may send.
    let doors = Doors::with(|config| {
        config.frames_burst = u32::MAX;
        config.bytes_burst = u32::MAX;
    })
    .await;
    let mut bystander = doors.device(WAYS[0], "{}").await;
    let pings = masked(0x89, &[b'p'; 125]).repeat(100);
    let before = resident();
    let mut held = Vec::new();
    for way in WAYS.into_iter().filter(|way| way.transport == Transport::WebSocket) {
        let mut stream = into_stream(doors.device(way, "{}").await);
        let mut sent = 0;
        // Nobody is read from while this waits: it would go on for as long as it is poured.
        while sent < POURED
            && let Ok(Ok(())) = timeout(Duration::from_secs(1), stream.write_all(&pings)).await
        {
            sent += pings.len();
        }
        assert!(sent < POURED / 4, "{way:?} was read for {sent} bytes");
        held.push(stream);
        bystander.send(frame(2, 1, b"")).await;
        assert_eq!(bystander.receive().await.op, 3);
    }
    check_growth(before, SLACK, "pings");
}

#[tokio::test]
async fn whoever_goes_on_after_the_last_word_is_not_listened_to_for_long() {
    const PIECES: usize = (256 << 20) / PIECE.len();
    const PIECE: &[u8] = &[b'x'; 16 << 10];
    let doors = Doors::with(|_| {}).await;
    let few =
        |sent: usize, what: &str| assert!(sent < 32 << 20, "{what} was read for {sent} bytes");
    for way in WAYS.into_iter().filter(|way| way.transport == Transport::WebSocket) {
        let mut refused = doors.open(way).await;
        refused.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        refused.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 404");
        few(pour(refused, PIECE, PIECES).await, "who was refused");
        let mut json = doors.json(way.secured).await;
        json.send_raw(&masked(0x8f, b"no such frame")).await;
        few(pour(json.0.into_inner(), PIECE, PIECES).await, "who broke the protocol");
    }
}
