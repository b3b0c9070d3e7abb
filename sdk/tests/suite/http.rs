//! A device over HTTP, against a script: which requests it makes, and what it makes of the answers.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use orrery_host::{Host, Listener, Stream, Task};
use orrery_sdk::{ConnectError, Device, Event, Options, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// One request that is expected, by the beginning of its first line, and what it is answered with.
type Line = (&'static str, Act);

#[derive(Clone)]
enum Act {
    /// These bytes.
    Say(String),
    /// The same, and the end of the connection.
    SayAndHang(String),
    /// Nothing, ever.
    Wait,
}

/// A comet that follows a script. Requests may come over any number of connections.
struct Script {
    host: Host,
    address: String,
    /// The heads and bodies of all requests, in order.
    asked: Arc<Mutex<Vec<String>>>,
    _task: Task,
}

impl Script {
    async fn start(lines: Vec<Line>) -> Self {
        let host = Host::system();
        let listener = host.net.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (lines, asked) = (Arc::new(Mutex::new(lines)), Arc::new(Mutex::default()));
        let (script, log) = (lines, asked.clone());
        let task = host.tasks.spawn("script", accept(listener, script, log));
        Self { host, address, asked, _task: task }
    }

    fn options(&self, transport: Transport) -> Options {
        let mut options = Options::new(transport, &self.address).user("5");
        options.answer_timeout = Duration::from_secs(5);
        options
    }

    async fn connect(&self, transport: Transport) -> Result<Device, ConnectError> {
        Device::connect(&self.host.net, self.options(transport)).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn accept(
    listener: Box<dyn Listener>,
    lines: Arc<Mutex<Vec<Line>>>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut serving = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        serving.spawn(serve(stream, lines.clone(), asked.clone()));
    }
}

async fn serve(
    mut stream: Box<dyn Stream>,
    lines: Arc<Mutex<Vec<Line>>>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    while let Some(request) = request(&mut stream).await {
        let act = {
            let mut lines = lines.lock().unwrap();
            let at = lines.iter().position(|(line, _)| request.starts_with(line));
            let at = at.unwrap_or_else(|| panic!("not in the script: {request}"));
            lines.remove(at).1
        };
        asked.lock().unwrap().push(request);
        match act {
            Act::Say(bytes) => stream.write_all(bytes.as_bytes()).await.unwrap(),
            Act::SayAndHang(bytes) => {
                stream.write_all(bytes.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
                return;
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

const WELCOME: &str = r#"{"session":"S","cursor":"1","wait_ms":25000,"events":[{"type":"welcome","key":"k","heartbeat_ms":1000,"heartbeat_max_ms":2000}]}"#;

fn welcome() -> Line {
    ("POST /sub/poll HTTP/1.1", Act::Say(answer("200 OK", WELCOME)))
}

fn events(cursor: &str, events: &str) -> String {
    answer("200 OK", &format!(r#"{{"cursor":"{cursor}","events":[{events}]}}"#))
}

fn message(data: &str) -> String {
    format!(r#"{{"type":"message","op":9,"data":"{data}"}}"#)
}

fn chunks(pieces: &[&str]) -> String {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    let pieces = pieces.iter().map(|piece| format!("{:x}\r\n{piece}\r\n", piece.len()));
    head.to_owned() + &pieces.collect::<String>()
}

async fn next(device: &mut Device) -> Event {
    timeout(Duration::from_secs(10), device.next()).await.expect("an event")
}

async fn expect(device: &mut Device, body: &'static str) {
    let event = next(device).await;
    assert_eq!(event, Event::Message { op: 9, body: body.into() });
}

#[tokio::test]
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

#[tokio::test]
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

#[tokio::test]
async fn what_it_says_goes_while_it_waits_and_its_end_is_told() {
    let joined = r#"{"type":"joined","id":2,"rooms":["r"]}"#;
    let close = r#"{"type":"close","code":4001,"reason":"replaced"}"#;
    let script = Script::start(vec![
        welcome(),
        ("POST /sub/send?session=S ", Act::Say("HTTP/1.1 204 No Content\r\n\r\n".to_owned())),
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

#[tokio::test]
async fn a_session_that_is_gone_is_an_end_and_so_is_a_comet_that_stays_away() {
    let gone = r#"{"type":"error","code":"NO_SUCH_SESSION","message":"gone"}"#;
    let script =
        Script::start(vec![welcome(), ("GET /sub/poll", Act::Say(answer("410 Gone", gone)))]).await;
    let mut device = script.connect(Transport::Poll).await.unwrap();
    let closed = Event::Closed { code: None, reason: "gone".to_owned() };
    assert_eq!(next(&mut device).await, closed);

    let nothing = || ("GET /sub/events", Act::SayAndHang(String::new()));
    let lines = vec![welcome(), nothing(), nothing(), nothing(), nothing(), nothing(), nothing()];
    let script = Script::start(lines).await;
    let mut device = script.connect(Transport::Sse).await.unwrap();
    assert!(matches!(next(&mut device).await, Event::Closed { code: None, .. }));
    assert_eq!(script.asked().len(), 7, "the hello, and six times for events");
}

#[tokio::test]
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

#[tokio::test]
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

#[tokio::test]
async fn a_device_says_goodbye_over_http() {
    let script = Script::start(vec![
        welcome(),
        ("POST /sub/close?session=S ", Act::Say("HTTP/1.1 204 No Content\r\n\r\n".to_owned())),
    ])
    .await;
    let device = script.connect(Transport::Poll).await.unwrap();
    device.close().await;
    assert_eq!(script.asked().len(), 2);
}
