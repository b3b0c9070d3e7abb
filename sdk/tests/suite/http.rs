//! A device over HTTP, against a script: which requests it makes, and what it makes of the answers.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orrery_host::{Host, Listener, LocalStream, Net, Stream, Task};
use orrery_sdk::{ConnectError, Device, Event, Options, RequestError, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

/// Bytes on their way in one direction of a connection.
const PIPE_BYTES: usize = 64 * 1024;

/// One request that is expected, by the beginning of its first line, and what it is answered with.
type Line = (&'static str, Act);

#[derive(Clone)]
enum Act {
    /// These bytes.
    Say(String),
    /// The same, and the end of the connection.
    SayAndHang(String),
    /// The same, and the connection ends just when something else is asked on it.
    SayAndMiss(String),
    /// Each of them after so long.
    SaySlowly(Duration, Vec<String>),
    /// Nothing, ever.
    Wait,
}

/// Connections in memory, of which the clock knows, so that time passes only where all wait for it.
struct Pipes(mpsc::UnboundedSender<Box<dyn Stream>>);

impl Net for Pipes {
    fn listen(&self, _: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        unreachable!("the script takes connections by itself")
    }

    fn connect(&self, _: &str) -> BoxFuture<'static, io::Result<Box<dyn Stream>>> {
        let (device, comet) = tokio::io::duplex(PIPE_BYTES);
        self.0.send(Box::new(LocalStream(comet))).unwrap();
        let device: Box<dyn Stream> = Box::new(LocalStream(device));
        async { Ok(device) }.boxed()
    }
}

/// A comet that follows a script. Requests may come over any number of connections.
struct Script {
    net: Arc<dyn Net>,
    /// The heads and bodies of all requests, in order, each with its connection's number.
    asked: Arc<Mutex<Vec<(usize, String)>>>,
    _task: Task,
}

impl Script {
    async fn start(lines: Vec<Line>) -> Self {
        let (connections, accepted) = mpsc::unbounded_channel();
        let (lines, asked) = (Arc::new(Mutex::new(lines)), Arc::new(Mutex::default()));
        let (script, log) = (lines, asked.clone());
        let task = Host::system().tasks.spawn("script", accept(accepted, script, log));
        Self { net: Arc::new(Pipes(connections)), asked, _task: task }
    }

    fn options(&self, transport: Transport) -> Options {
        let mut options = Options::new(transport, "comet:1").user("5");
        options.answer_timeout = Duration::from_secs(5);
        options
    }

    async fn connect(&self, transport: Transport) -> Result<Device, ConnectError> {
        Device::connect(&self.net, self.options(transport)).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(_, asked)| asked.clone()).collect()
    }

    /// Over how many connections requests of this kind came.
    fn connections(&self, line: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        let of_kind = asked.iter().filter(|(_, asked)| asked.starts_with(line));
        of_kind.map(|(connection, _)| connection).collect::<BTreeSet<_>>().len()
    }
}

async fn accept(
    mut accepted: mpsc::UnboundedReceiver<Box<dyn Stream>>,
    lines: Arc<Mutex<Vec<Line>>>,
    asked: Arc<Mutex<Vec<(usize, String)>>>,
) {
    let mut serving = tokio::task::JoinSet::new();
    let mut number = 0;
    while let Some(stream) = accepted.recv().await {
        serving.spawn(serve(stream, number, lines.clone(), asked.clone()));
        number += 1;
    }
}

async fn serve(
    mut stream: Box<dyn Stream>,
    number: usize,
    lines: Arc<Mutex<Vec<Line>>>,
    asked: Arc<Mutex<Vec<(usize, String)>>>,
) {
    while let Some(request) = request(&mut stream).await {
        let act = {
            let mut lines = lines.lock().unwrap();
            let at = lines.iter().position(|(line, _)| request.starts_with(line));
            let at = at.unwrap_or_else(|| panic!("not in the script: {request}"));
            lines.remove(at).1
        };
        asked.lock().unwrap().push((number, request));
        match act {
            Act::Say(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
            Act::SayAndHang(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                return;
            }
            Act::SayAndMiss(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                let _ = stream.read(&mut [0]).await;
                return;
            }
            Act::SaySlowly(pause, pieces) => {
                for piece in pieces {
                    sleep(pause).await;
                    stream.write_all(piece.as_bytes()).await.unwrap();
                }
            }
            Act::Wait => std::future::pending().await,
        }
    }
}

/// A request with its body.
async fn request(stream: &mut Box<dyn Stream>) -> Option<String> {
    let mut text = String::new();
    loop {
        let mut byte = [0];
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        text.push(byte[0].into());
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() == length.map_or(0, |length| length.parse().unwrap()) {
            return Some(text);
        }
    }
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

const WELCOME: &str = r#"{"session":"S","cursor":"1","wait_ms":25000,"events":[{"type":"welcome","key":"k","heartbeat_ms":240000,"heartbeat_max_ms":480000}]}"#;

const SENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// The goodbye of a device that gives its session up.
fn goodbye() -> Line {
    ("POST /sub/close?session=S ", Act::Say(SENT.to_owned()))
}

fn welcome() -> Line {
    ("POST /sub/poll HTTP/1.1", Act::Say(answer("200 OK", WELCOME)))
}

fn events(cursor: &str, events: &str) -> String {
    answer("200 OK", &format!(r#"{{"cursor":"{cursor}","events":[{events}]}}"#))
}

fn message(data: &str) -> String {
    format!(r#"{{"type":"message","op":9,"data":"{data}"}}"#)
}

const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";

fn chunk(piece: &str) -> String {
    format!("{:x}\r\n{piece}\r\n", piece.len())
}

fn chunks(pieces: &[&str]) -> String {
    STREAM.to_owned() + &pieces.iter().map(|piece| chunk(piece)).collect::<String>()
}

/// The next event, or a failure where none would ever come.
async fn next(device: &mut Device) -> Event {
    timeout(Duration::from_secs(3600), device.next()).await.expect("an event")
}

async fn expect(device: &mut Device, body: &'static str) {
    let event = next(device).await;
    assert_eq!(event, Event::Message { op: 9, body: body.into() });
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_breaks_off_is_repeated_with_the_same_cursor() {
    let half = events("3", &message("lost"));
    let half = half[..half.len() - 5].to_owned();
    let script = Script::start(vec![
        welcome(),
        ("GET /sub/poll?session=S&cursor=1 ", Act::Say(events("2", &message("one")))),
        ("GET /sub/poll?session=S&cursor=2 ", Act::Say(events("2", ""))),
        ("GET /sub/poll?session=S&cursor=2 ", Act::SayAndHang(half)),
        ("GET /sub/poll?session=S&cursor=2 ", Act::SayAndHang(String::new())),
        (
            "GET /sub/poll?session=S&cursor=2 ",
            Act::Say(events("4", &[message("two"), message("three")].join(","))),
        ),
        ("GET /sub/poll?session=S&cursor=4 ", Act::Wait),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    assert_eq!(device.welcome().key.as_deref(), Some("k"));
    for body in ["one", "two", "three"] {
        expect(&mut device, body).await;
    }
    let hello = &script.asked()[0];
    assert!(hello.ends_with(r#"{"type":"hello","user":"5"}"#), "{hello}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_taken_up_where_it_broke_however_it_was_cut() {
    let one = format!("retry: 1000\n\nid: 2\ndata: {}\n\n:\n\nid: 3\nda", message("one"));
    let rest = format!("ta: {}\n\n", message("two"));
    let lost = format!("id: 4\ndata: {}", message("lost"));
    let again = format!("id: 4\ndata: {}\n\n", message("three"));
    let script = Script::start(vec![
        welcome(),
        ("GET /sub/events?session=S&cursor=1 ", Act::SayAndHang(chunks(&[&one, &rest, &lost]))),
        ("GET /sub/events?session=S&cursor=3 ", Act::Say(chunks(&[&again, ""]))),
        ("GET /sub/events?session=S&cursor=4 ", Act::Wait),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Sse).await.unwrap();
    for body in ["one", "two", "three"] {
        expect(&mut device, body).await;
    }
    let none = timeout(Duration::from_millis(300), device.next()).await;
    assert!(none.is_err(), "{none:?}");
    assert!(script.asked()[2].contains("last-event-id: 3\r\n"), "{}", script.asked()[2]);
}

#[tokio::test(start_paused = true)]
async fn what_it_says_goes_while_it_waits_and_its_end_is_told() {
    let joined = r#"{"type":"joined","id":2,"rooms":["r"]}"#;
    let close = r#"{"type":"close","code":4001,"reason":"replaced"}"#;
    let script = Script::start(vec![
        welcome(),
        ("POST /sub/send?session=S ", Act::Say(SENT.to_owned())),
        ("GET /sub/poll?session=S&cursor=1 ", Act::Say(events("2", joined))),
        ("GET /sub/poll?session=S&cursor=2 ", Act::Say(events("3", close))),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    device.join(&["r"]).await.unwrap();
    let closed = Event::Closed { code: Some(4001), reason: "replaced".to_owned() };
    assert_eq!(next(&mut device).await, closed);
    assert_eq!(next(&mut device).await, closed, "it says so again and again");
    let sent = script.asked().into_iter().find(|asked| asked.contains("/sub/send")).unwrap();
    assert!(sent.ends_with(r#"{"type":"join","id":2,"rooms":["r"]}"#), "{sent}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_gone_is_an_end() {
    let gone = r#"{"type":"error","code":"NO_SUCH_SESSION","message":"gone"}"#;
    let script =
        Script::start(vec![welcome(), ("GET /sub/poll", Act::Say(answer("410 Gone", gone)))]).await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let closed = Event::Closed { code: None, reason: "gone".to_owned() };
    assert_eq!(next(&mut device).await, closed);
}

#[tokio::test(start_paused = true)]
async fn a_comet_that_stays_away_is_asked_for_a_minute_with_growing_pauses() {
    let hang = || Act::SayAndHang(String::new());
    for (kind, nothing) in [
        (Transport::Poll, ("GET /sub/poll", hang())),
        (Transport::Sse, ("GET /sub/events", hang())),
        (Transport::Sse, ("GET /sub/events", Act::Say(chunks(&[""])))),
        (Transport::Sse, ("GET /sub/events", Act::Say(chunks(&["retry: 1000\n\n", ""])))),
        (Transport::Sse, ("GET /sub/events", Act::SayAndHang(chunks(&["retry: 1000\n\n"])))),
    ] {
        let mut lines = vec![welcome(), goodbye()];
        lines.extend(std::iter::repeat_n(nothing, 1000));
        let script = Script::start(lines).await;
        let mut device = script.connect(kind).await.unwrap();
        let began = Instant::now();
        assert!(matches!(next(&mut device).await, Event::Closed { code: None, .. }));
        let lasted = began.elapsed();
        assert!((60..=65).contains(&lasted.as_secs()), "{lasted:?}");
        // Pauses of up to five seconds, 2.5 on average.
        let asked = script.asked().len();
        assert!((15..=60).contains(&asked), "{asked} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_the_network_forgot_is_repeated_with_the_same_cursor() {
    let without = WELCOME.replace(r#""wait_ms":25000,"#, "");
    let short = WELCOME.replace("25000", "1000");
    for (welcome, silence_s) in [(WELCOME, 35), (&without, 35), (&short, 11)] {
        let script = Script::start(vec![
            ("POST /sub/poll HTTP/1.1", Act::Say(answer("200 OK", welcome))),
            ("GET /sub/poll?session=S&cursor=1 ", Act::Wait),
            ("GET /sub/poll?session=S&cursor=1 ", Act::Say(events("2", &message("one")))),
        ]);
        let script = script.await;
        let mut device = script.connect(Transport::Poll).await.unwrap();
        let began = Instant::now();
        expect(&mut device, "one").await;
        assert_eq!(began.elapsed().as_secs(), silence_s, "{welcome}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_take_long_as_long_as_more_of_it_comes() {
    let whole = events("2", &message("one"));
    let pieces =
        whole.as_bytes().chunks(20).map(|piece| String::from_utf8(piece.to_vec()).unwrap());
    let script = Script::start(vec![
        welcome(),
        ("GET /sub/poll", Act::SaySlowly(Duration::from_secs(10), pieces.collect())),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let began = Instant::now();
    expect(&mut device, "one").await;
    assert!(began.elapsed().as_secs() > 35, "{:?} is what silence may last", began.elapsed());
    assert_eq!(script.asked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_is_taken_up_and_a_quiet_one_is_left_alone() {
    let one = format!("id: 2\ndata: {}\n\n", message("one"));
    let two = format!("id: 3\ndata: {}\n\n", message("two"));
    let mut quiet = vec![STREAM.to_owned()];
    quiet.extend(std::iter::repeat_n(chunk(":\n\n"), 10));
    quiet.push(chunk(&two));
    let script = Script::start(vec![
        welcome(),
        ("GET /sub/events?session=S&cursor=1 ", Act::Say(chunks(&[&one]))),
        ("GET /sub/events?session=S&cursor=2 ", Act::SaySlowly(Duration::from_secs(25), quiet)),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Sse).await.unwrap();
    expect(&mut device, "one").await;
    let began = Instant::now();
    expect(&mut device, "two").await;
    assert_eq!(began.elapsed().as_secs(), 35 + 12 * 25);
    assert_eq!(script.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_proxy_says_in_place_of_the_comet_is_no_end() {
    let says = |status, body| ("GET /sub/", Act::Say(answer(status, body)));
    for kind in [Transport::Poll, Transport::Sse] {
        let script = Script::start(vec![
            welcome(),
            says("502 Bad Gateway", "<html>bad gateway</html>"),
            says("504 Gateway Timeout", ""),
            says("503 Service Unavailable", r#"{"error":"no upstream"}"#),
            says("200 OK", "<html>do you accept our terms?</html>"),
            says("200 OK", r#"{"cursor":"2","events":[{"type":"message","op":9,"data":"one"}]}"#),
        ]);
        let script = script.await;
        let mut device = script.connect(kind).await.unwrap();
        expect(&mut device, "one").await;
        assert!(script.asked()[5].contains("cursor=1 "), "{}", script.asked()[5]);
    }
    // Before there is a session it is one.
    let script = Script::start(vec![(
        "POST /sub/poll",
        Act::Say(answer("502 Bad Gateway", "<html>bad gateway</html>")),
    )])
    .await;
    let error = script.connect(Transport::Poll).await.err().unwrap();
    assert!(matches!(&error, ConnectError::Closed { .. }) && error.may_retry(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_post_does_not_meet_the_end_of_a_connection_that_was_idle() {
    let send = |act: fn(String) -> Act| ("POST /sub/send", act(SENT.to_owned()));
    let script = Script::start(vec![
        welcome(),
        send(Act::Say),
        send(Act::SayAndMiss),
        send(Act::SayAndMiss),
        send(Act::Say),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    device.send(4, b"one").await.unwrap();
    device.send(4, b"two").await.unwrap();
    assert_eq!(script.connections("POST /sub/send"), 1, "one right after the other");
    for (body, connections) in [(b"three", 2), (b"fours", 3)] {
        sleep(Duration::from_secs(5)).await;
        device.send(4, body).await.unwrap();
        assert_eq!(script.connections("POST /sub/send"), connections);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_said_and_never_answered_is_not_said_twice_and_ends_the_connection() {
    let script = Script::start(vec![
        welcome(),
        ("POST /sub/send", Act::Wait),
        ("GET /sub/poll", Act::Wait),
        goodbye(),
    ]);
    let script = script.await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let began = Instant::now();
    let sent = timeout(Duration::from_secs(3600), device.send(4, b"one")).await.unwrap();
    assert!(matches!(sent, Err(RequestError::Closed)), "{sent:?}");
    assert_eq!(began.elapsed().as_secs(), 5, "the answer timeout");
    let Event::Closed { code: None, reason } = next(&mut device).await else {
        panic!("not the end")
    };
    assert!(reason.contains("in time"), "{reason}");
    assert_eq!(script.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn events_of_an_unknown_type_are_ignored_and_unreadable_ones_are_not() {
    let weather = r#"{"type":"weather","is":{"hot":[1]}}"#;
    let broken = r#"{"type":"message","op":"nine"}"#;
    let all = [weather, &message("one"), broken].join(",");
    let stream = format!(
        "id: 2\ndata: {weather}\n\nid: 3\ndata: {}\n\nid: 4\ndata: {broken}\n\n",
        message("one")
    );
    for (kind, said) in [(Transport::Poll, events("4", &all)), (Transport::Sse, chunks(&[&stream]))]
    {
        let script = Script::start(vec![welcome(), ("GET /sub/", Act::Say(said)), goodbye()]).await;
        let mut device = script.connect(kind).await.unwrap();
        expect(&mut device, "one").await;
        let end = next(&mut device).await;
        let Event::Closed { code: None, reason } = end else { panic!("{end:?}") };
        assert!(reason.contains("unreadable"), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_hello_and_a_full_comet_are_told_apart() {
    let refused = r#"{"events":[{"type":"error","code":"UNAUTHORIZED","message":"no"},{"type":"close","code":4006,"reason":"unauthorized"}]}"#;
    let script =
        Script::start(vec![("POST /sub/poll", Act::Say(answer("401 Unauthorized", refused)))])
            .await;
    let error = script.connect(Transport::Poll).await.err().unwrap();
    assert!(matches!(&error, ConnectError::Refused { .. }) && !error.may_retry(), "{error}");

    let full = r#"{"type":"close","code":1013,"reason":"overload"}"#;
    let no_words =
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
    let words = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{full}",
        full.len()
    );
    for answer in [no_words.to_owned(), words] {
        let script = Script::start(vec![("POST /sub/poll", Act::Say(answer))]).await;
        let error = script.connect(Transport::Sse).await.err().unwrap();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)), "{error}");
        assert!(error.may_retry());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hello_that_is_sent_elsewhere_says_where_and_when() {
    let away = r#"{"events":[{"type":"drain","retry_after_ms":300,"nodes":["c2:3102"]},{"type":"close","code":1012,"reason":"drain"}]}"#;
    let said = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{away}",
        away.len()
    );
    let script = Script::start(vec![("POST /sub/poll", Act::Say(said))]).await;
    let error = script.connect(Transport::Poll).await.err().unwrap();
    let ConnectError::SentAway { retry_after, nodes } = &error else { panic!("{error}") };
    assert_eq!(
        (*retry_after, &nodes[..]),
        (Duration::from_millis(300), &["c2:3102".to_owned()][..])
    );
}

#[tokio::test(start_paused = true)]
async fn giving_up_on_an_event_over_http_loses_nothing() {
    let pieces: Vec<String> =
        (2..50).map(|id| format!("id: {id}\ndata: {}\n\n", message("x"))).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let script =
        Script::start(vec![welcome(), ("GET /sub/events", Act::Say(chunks(&pieces)))]).await;
    let mut device = script.connect(Transport::Sse).await.unwrap();
    let mut got = 0;
    let all = async {
        while got < 48 {
            match timeout(Duration::ZERO, device.next()).await {
                Ok(event) => {
                    assert!(matches!(event, Event::Message { .. }), "{event:?}");
                    got += 1;
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        }
    };
    timeout(Duration::from_secs(10), all).await.expect("all of them");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_is_given_up_is_closed_before_its_end_is_told() {
    let passed = r#"{"type":"error","code":"BAD_CURSOR","message":"not kept any more"}"#;
    let broken = events("2", r#"{"type":"message","op":"nine"}"#);
    for (close, least_s) in [(goodbye().1, 0), (Act::SayAndHang(String::new()), 0), (Act::Wait, 2)]
    {
        for said in [answer("410 Gone", passed), answer("400 Bad Request", passed), broken.clone()]
        {
            let script = Script::start(vec![
                welcome(),
                ("GET /sub/poll", Act::Say(said)),
                ("POST /sub/close?session=S ", close.clone()),
            ]);
            let script = script.await;
            let mut device = script.connect(Transport::Poll).await.unwrap();
            let began = Instant::now();
            // Whoever waits for the end may give up on it, and the goodbye goes on.
            let early = timeout(Duration::from_millis(1), device.next()).await;
            assert_eq!(early.is_err(), least_s > 0, "{early:?}");
            assert!(matches!(next(&mut device).await, Event::Closed { code: None, .. }));
            assert_eq!(began.elapsed().as_secs(), least_s);
            assert_eq!(script.asked().len(), 3, "{:?}", script.asked());
            device.close().await;
            assert_eq!(script.asked().len(), 3, "it is said once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_for_a_comet_is_said_again_for_a_minute() {
    let busy = r#"{"type":"error","code":"UNAVAILABLE","message":"too much"}"#;
    let busy = format!(
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{busy}",
        busy.len()
    );
    let again = ("GET /sub/poll?session=S&cursor=1 ", Act::Say(events("2", &message("one"))));
    let script = vec![welcome(), ("GET /sub/poll", Act::SayAndHang(busy.clone())), again];
    let script = Script::start(script).await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let began = Instant::now();
    expect(&mut device, "one").await;
    assert_eq!(began.elapsed().as_secs(), 5);

    let busy = || ("POST /sub/send", Act::SayAndHang(busy.clone()));
    let sent = ("POST /sub/send", Act::Say(SENT.to_owned()));
    let script = Script::start(vec![welcome(), busy(), busy(), sent]).await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let began = Instant::now();
    device.send(4, b"one").await.unwrap();
    assert!((10..12).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let asked = script.asked();
    assert!(asked.len() == 4 && asked[1] == asked[2] && asked[1] == asked[3], "{asked:?}");

    let mut lines = vec![welcome(), goodbye()];
    lines.extend(std::iter::repeat_n(busy(), 100));
    let script = Script::start(lines).await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let began = Instant::now();
    let sent = timeout(Duration::from_secs(3600), device.send(4, b"one")).await.unwrap();
    assert!(matches!(sent, Err(RequestError::Closed)), "{sent:?}");
    assert!((60..70).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    let closed = Event::Closed { code: None, reason: "too much".to_owned() };
    assert_eq!(next(&mut device).await, closed);
}

#[tokio::test(start_paused = true)]
async fn whoever_says_something_to_a_session_that_is_over_learns_why_it_is() {
    let close = r#"{"type":"close","code":4001,"reason":"replaced"}"#;
    let send = ("POST /sub/send", Act::Say(answer("410 Gone", close)));
    let script = Script::start(vec![welcome(), send]).await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let sent = device.send(4, b"one").await;
    assert!(matches!(sent, Err(RequestError::Closed)), "{sent:?}");
    let closed = Event::Closed { code: Some(4001), reason: "replaced".to_owned() };
    assert_eq!(next(&mut device).await, closed);
    assert_eq!(script.asked().len(), 2, "there is nothing to say goodbye to");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_one_however_its_type_is_written() {
    let one = format!("id: 2\ndata: {}\n\n", message("one"));
    for kind in ["text/event-stream; charset=utf-8", "Text/Event-Stream ;charset=UTF-8"] {
        let stream = chunks(&[&one]).replace("text/event-stream", kind);
        let script = Script::start(vec![welcome(), ("GET /sub/events", Act::Say(stream))]).await;
        let mut device = script.connect(Transport::Sse).await.unwrap();
        expect(&mut device, "one").await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_heartbeats_are_sent_over_http_where_none_are_needed() {
    for (transport, events) in [(Transport::Poll, "GET /sub/poll"), (Transport::Sse, "GET /sub/ev")]
    {
        let script = Script::start(vec![welcome(), (events, Act::Wait)]).await;
        let options = script.options(transport).heartbeat(Duration::from_secs(1));
        let mut device = Device::connect(&script.net, options).await.unwrap();
        let none = timeout(Duration::from_secs(10), device.next()).await;
        assert!(none.is_err(), "{none:?}");
        assert_eq!(script.asked().len(), 2, "{:?}", script.asked());
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_says_goodbye_over_http() {
    let script =
        Script::start(vec![welcome(), ("POST /sub/close?session=S ", Act::Say(SENT.to_owned()))])
            .await;
    let device = script.connect(Transport::Poll).await.unwrap();
    device.close().await;
    assert_eq!(script.asked().len(), 2);
}
