//! A comet over HTTP that follows a script: which requests come, and what each is answered.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orrery_host::{Host, Listener, LocalStream, Net, Stream, Task};
use orrery_sdk::{ConnectError, Device, Event, Options, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Bytes on their way in one direction of a connection.
const PIPE_BYTES: usize = 64 * 1024;

/// One request that is expected, by the beginning of its first line, and what it is answered with.
pub(crate) type Line = (&'static str, Act);

#[derive(Clone)]
pub(crate) enum Act {
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
pub(crate) struct Script {
    pub(crate) net: Arc<dyn Net>,
    /// The heads and bodies of all requests, in order, each with its connection's number.
    asked: Arc<Mutex<Vec<(usize, String)>>>,
    _task: Task,
}

impl Script {
    pub(crate) async fn start(lines: Vec<Line>) -> Self {
        let (connections, accepted) = mpsc::unbounded_channel();
        let (lines, asked) = (Arc::new(Mutex::new(lines)), Arc::new(Mutex::default()));
        let (script, log) = (lines, asked.clone());
        let task = Host::system().tasks.spawn("script", accept(accepted, script, log));
        Self { net: Arc::new(Pipes(connections)), asked, _task: task }
    }

    pub(crate) fn options(&self, transport: Transport) -> Options {
        let mut options = Options::new(transport, "comet:1").user("5");
        options.answer_timeout = Duration::from_secs(5);
        options
    }

    pub(crate) async fn connect(&self, transport: Transport) -> Result<Device, ConnectError> {
        Device::connect(&self.net, self.options(transport)).await
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(_, asked)| asked.clone()).collect()
    }

    /// The same of what the device said, its hello and goodbye among it.
    pub(crate) fn posts(&self) -> Vec<String> {
        self.asked().into_iter().filter(|asked| asked.starts_with("POST")).collect()
    }

    /// Over how many connections requests of this kind came.
    pub(crate) fn connections(&self, line: &str) -> usize {
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

pub(crate) fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

pub(crate) const WELCOME: &str = r#"{"session":"S","cursor":"1","wait_ms":25000,"events":[{"type":"welcome","key":"k","heartbeat_ms":240000,"heartbeat_max_ms":480000}]}"#;

pub(crate) const SENT: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// The goodbye of a device that gives its session up.
pub(crate) fn goodbye() -> Line {
    ("POST /sub/close?session=S ", Act::Say(SENT.to_owned()))
}

pub(crate) fn welcome() -> Line {
    ("POST /sub/poll HTTP/1.1", Act::Say(answer("200 OK", WELCOME)))
}

/// Somebody asks for events, and there are none.
pub(crate) fn waiting() -> Line {
    ("GET /sub/poll?session=S&cursor=1 ", Act::Wait)
}

pub(crate) fn events(cursor: &str, events: &str) -> String {
    answer("200 OK", &format!(r#"{{"cursor":"{cursor}","events":[{events}]}}"#))
}

pub(crate) fn message(data: &str) -> String {
    format!(r#"{{"type":"message","op":9,"data":"{data}"}}"#)
}

pub(crate) const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";

pub(crate) fn chunk(piece: &str) -> String {
    format!("{:x}\r\n{piece}\r\n", piece.len())
}

pub(crate) fn chunks(pieces: &[&str]) -> String {
    STREAM.to_owned() + &pieces.iter().map(|piece| chunk(piece)).collect::<String>()
}

/// The next event, or a failure where none would ever come.
pub(crate) async fn next(device: &mut Device) -> Event {
    timeout(Duration::from_secs(3600), device.next()).await.expect("an event")
}

pub(crate) async fn expect(device: &mut Device, body: &'static str) {
    let event = next(device).await;
    assert_eq!(event, Event::Message { op: 9, body: body.into() });
}
