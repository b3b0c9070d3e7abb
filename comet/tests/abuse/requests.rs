//! Requests: devices over HTTP that do not go on with one, never end one, read no answers, or do not come back.

use std::time::Duration;

use orrery_host::Stream;
use orrery_model::{Address, Id};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use crate::doors::{Doors, WAYS, Way, check_growth, pour, resident, rest};
use crate::support::device::{Device, frame};
use crate::support::session::Session;
use crate::support::web::{Reply, Web};

const HTTP: [Way; 2] = [WAYS[1], WAYS[3]];

/// What a few connections and the buffers between them may take.
const SLACK: usize = 8 << 20;

/// A session, and how far its device has got.
struct Visit {
    session: String,
    cursor: String,
}

impl Visit {
    fn of(welcome: &Reply) -> Self {
        assert_eq!(welcome.status, 200, "{welcome:?}");
        let welcome = welcome.json();
        let value = |name: &str| welcome[name].as_str().unwrap().to_owned();
        Self { session: value("session"), cursor: value("cursor") }
    }

    fn post(&self) -> String {
        format!("/sub/send?session={}", self.session)
    }

    fn events(&self, how: &str) -> String {
        format!("/sub/{how}?session={}&cursor={}", self.session, self.cursor)
    }
}

async fn greet(web: &mut Web, user: &str) -> Reply {
    let hello = json!({"type": "hello", "user": user}).to_string();
    web.fetch("POST", "/sub/poll", &hello).await
}

/// A device that was let in at a door.
async fn visit(doors: &Doors, way: Way, user: &str) -> Visit {
    Visit::of(&greet(&mut web(doors, way).await, user).await)
}

async fn web(doors: &Doors, way: Way) -> Web {
    Web::over(doors.open(way).await)
}

/// The head of a request, with what it says of its body.
fn head(target: &str, body: &str) -> Vec<u8> {
    format!("POST {target} HTTP/1.1\r\nHost: comet.test\r\n{body}\r\n\r\n").into()
}

/// Who was let in: a device over TCP, and one with a stream of events at each door.
struct Bystanders {
    device: Device,
    streams: Vec<(Web, Address)>,
    session: Session,
}

impl Bystanders {
    async fn new(doors: &Doors) -> Self {
        let device = doors.device(WAYS[0], "{}").await;
        let mut streams = Vec::new();
        for (number, way) in HTTP.into_iter().enumerate() {
            let mut web = web(doors, way).await;
            let user = format!("bystander-{number}");
            let visit = Visit::of(&greet(&mut web, &user).await);
            assert_eq!(web.fetch("GET", &visit.events("events"), "").await.status, 200);
            streams.push((web, Address::user(Id::new(user).unwrap())));
        }
        Self { device, streams, session: doors.stage.session().await }
    }

    /// All of them are served.
    async fn check(&mut self, doors: &Doors) {
        self.device.send(frame(2, 1, b"")).await;
        assert_eq!(self.device.receive().await.op, 3);
        for (web, user) in &mut self.streams {
            let route = doors.stage.logic.route(user);
            self.session.push(5, b"served", &[&route]).await;
            web.text_to("served").await;
        }
    }
}

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

/// Sends a piece again and again and reads nothing, until nobody reads that for a second or it ends; gives the bytes
/// that were taken.
async fn stuff(stream: &mut Box<dyn Stream>, piece: &[u8], most: usize) -> usize {
    let mut sent = 0;
    while sent < most
        && let Ok(Ok(())) = timeout(Duration::from_secs(1), stream.write_all(piece)).await
    {
        sent += piece.len();
    }
    sent
}

#[tokio::test]
async fn requests_of_a_device_that_reads_no_answers_are_read_no_more() {
    const POURED: usize = 64 << 20;
    // However much it may send.
    let doors = Doors::with(|config| {
        config.frames_burst = u32::MAX;
        config.bytes_burst = u32::MAX;
    })
    .await;
    let mut bystanders = Bystanders::new(&doors).await;
    let mut held = Vec::new();
    let before = resident();
    for way in HTTP {
        let visit = visit(&doors, way, "stuffed").await;
        let post = |text: &str| {
            let length = format!("Content-Length: {}", text.len());
            [&head(&visit.post(), &length), text.as_bytes()].concat()
        };
        let target = visit.events("poll");
        let poll = format!("GET {target}&wait_ms=0 HTTP/1.1\r\nHost: comet.test\r\n\r\n");
        for (what, request) in [
            ("messages", post(r#"{"type":"message","op":4}"#)),
            ("pings", post(r#"{"type":"ping"}"#)),
            ("polls", poll.into_bytes()),
        ] {
            let mut stream = doors.open(way).await;
            let sent = stuff(&mut stream, &request.repeat(100), POURED).await;
            assert!(sent < POURED / 2, "{way:?}, {what}: {sent} bytes were read");
            held.push(stream);
            check_growth(before, SLACK, what);
            bystanders.check(&doors).await;
        }
    }
}
