//! Requests: devices over HTTP that do not go on with one, never end one, or read no answers.

use std::cell::Cell;
use std::time::Duration;

use orrery_host::Stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use crate::doors::{Doors, check_growth, pour, resident, rest};
use crate::visits::{Bystanders, HTTP, get, head, visit};

/// What a few connections and the buffers between them may take.
const SLACK: usize = 8 << 20;

/// Each byte comes in a packet of its own, and keeps no more than itself.
#[tokio::test]
async fn bodies_that_trickle_have_a_bounded_memory_and_end_in_time() {
    const HANDSHAKE: Duration = Duration::from_secs(4);
    const EACH: usize = 10;
    // As long as one may be, and what is still read of one that is longer.
    const TAKEN: usize = 8192;
    const UNREAD: usize = 64 << 10;
    // What is read at once, what came by then, and what the other side keeps.
    const EACH_BYTES: usize = 96 << 10;
    let doors = Doors::with(|config| config.handshake_ms = HANDSHAKE.as_millis() as u64).await;
    let mut bystanders = Bystanders::new(&doors).await;
    let mut held = Vec::new();
    let mut visits = Vec::new();
    for way in HTTP {
        visits.push(visit(&doors, way, "trickling").await);
    }
    let before = resident();
    let began = Instant::now();
    for (way, visit) in HTTP.into_iter().zip(&visits) {
        for (target, first, len, status) in [
            ("/sub/poll", 0, TAKEN, 408),
            (&*visit.post(), 0, TAKEN, 408),
            (&*visit.post(), TAKEN + 1, TAKEN + UNREAD, 413),
        ] {
            for _ in 0..EACH {
                let mut stream = doors.open(way).await;
                let head = head(target, &format!("Content-Length: {len}"));
                stream.write_all(&[&head, &vec![b' '; first][..]].concat()).await.unwrap();
                held.push((stream, status));
            }
        }
    }
    for _ in 1..TAKEN {
        if began.elapsed() >= HANDSHAKE {
            break;
        }
        for (stream, _) in &mut held {
            let _ = stream.write_all(b" ").await;
            let _ = stream.flush().await;
        }
        bystanders.check(&doors).await;
        check_growth(before, held.len() * EACH_BYTES, "bodies that trickle");
    }
    for (stream, status) in &mut held {
        let (told, _) = rest(stream).await;
        let told = String::from_utf8(told).unwrap();
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{told}");
    }
    assert!(began.elapsed() >= HANDSHAKE);
    bystanders.check(&doors).await;
}

#[tokio::test]
async fn bodies_without_an_end_are_cut_off_and_kept_nowhere() {
    const POURED: usize = 256 << 20;
    let doors = Doors::with(|_| {}).await;
    let mut bystanders = Bystanders::new(&doors).await;
    let chunk = [&b"4000\r\n"[..], &[b'x'; 0x4000], b"\r\n"].concat();
    // How it begins, and how it goes on.
    let bodies: [(&str, &[u8], &[u8]); 4] = [
        ("large chunks", b"", &chunk),
        ("small chunks", b"", &b"1\r\nx\r\n".repeat(1000)),
        ("the rest of a chunk's head", b"1;", &[b'x'; 16 << 10]),
        ("what follows the last chunk", b"0\r\n", &b"x: y\r\n".repeat(1000)),
    ];
    let before = resident();
    for way in HTTP {
        let visit = visit(&doors, way, "endless").await;
        for target in ["/sub/poll".to_owned(), visit.post()] {
            for (what, first, piece) in bodies {
                let mut stream = doors.open(way).await;
                let head = head(&target, "Transfer-Encoding: chunked");
                stream.write_all(&[&head, first].concat()).await.unwrap();
                let sent = pour(stream, piece, POURED / piece.len()).await;
                assert!(sent < 32 << 20, "{way:?}, {what}: {sent} bytes were read");
            }
            bystanders.check(&doors).await;
        }
    }
    check_growth(before, SLACK, "bodies without an end");
}

/// Sends a request again and again and reads no answer, until nobody reads that or carries it out for a second, or it
/// ends; gives the bytes that were taken.
async fn stuff(
    stream: &mut Box<dyn Stream>,
    request: &[u8],
    most: usize,
    carried_out: Option<&Cell<usize>>,
) -> usize {
    let mut requests = 0;
    let sending = async {
        while requests * request.len() < most {
            timeout(Duration::from_secs(1), stream.write_all(request)).await.ok()?.ok()?;
            requests += 1;
            // Faster than they are carried out they would be refused.
            let is_slow =
                || carried_out.is_some_and(|carried_out| carried_out.get() + 500 < requests);
            let slow = async {
                while is_slow() {
                    yield_now().await
                }
            };
            timeout(Duration::from_secs(1), slow).await.ok()?;
        }
        Some(())
    };
    sending.await;
    requests * request.len()
}

#[tokio::test]
async fn requests_whose_answers_nobody_reads_are_read_no_more() {
    const POURED: usize = 64 << 20;
    // However much it may send.
    let doors = Doors::with(|config| {
        config.frames_burst = u32::MAX;
        config.bytes_burst = u32::MAX;
        config.allow_origins = vec!["*".to_owned()];
    })
    .await;
    let mut bystanders = Bystanders::new(&doors).await;
    // Each answer repeats it.
    let origin = format!("Origin: {}\r\n", "x".repeat(4000));
    let mut held = Vec::new();
    let before = resident();
    for way in HTTP {
        // What its posts have for it comes on a stream, which it reads.
        let posting = visit(&doors, way, "posting").await;
        let mut events = doors.open(way).await;
        events.write_all(&get(&posting.events("events"), "")).await.unwrap();
        let pongs = Cell::new(0);
        let taking = async {
            let mut bytes = [0; 16 << 10];
            while let Ok(len @ 1..) = events.read(&mut bytes).await {
                pongs.set(pongs.get() + bytes[..len].iter().filter(|byte| **byte == b'{').count());
            }
        };
        let ping = r#"{"type":"ping"}"#;
        let length = format!("{origin}Content-Length: {}", ping.len());
        let post = [&head(&posting.post(), &length), ping.as_bytes()].concat();
        let polling = visit(&doors, way, "polling").await.events("poll") + "&wait_ms=0";
        let stuffing = async {
            for (what, request, carried_out) in
                [("posts", post, Some(&pongs)), ("polls", get(&polling, &origin), None)]
            {
                let mut stream = doors.open(way).await;
                let sent = stuff(&mut stream, &request, POURED, carried_out).await;
                assert!(sent < POURED / 2, "{way:?}, {what}: {sent} bytes were read");
                held.push(stream);
                check_growth(before, SLACK, what);
            }
        };
        tokio::select! {
            () = stuffing => {}
            () = taking => panic!("its stream goes on"),
        }
        bystanders.check(&doors).await;
    }
}
