//! Web: a device over HTTP, request by request: long-poll and SSE.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::device::Who;
pub(crate) use crate::reply::Reply;
use crate::soon;
use crate::stack::{Doors, shared};
use crate::wire::{HTTP, Transport, Way, Wire};

/// Where a device over HTTP has got.
#[derive(Default)]
pub(crate) struct Visit {
    pub(crate) session: String,
    pub(crate) cursor: String,
    /// Told in the answer to the hello.
    pub(crate) wait_ms: u64,
    events: VecDeque<Value>,
    asked: bool,
    /// Whether an answer is being read that is a stream.
    streams: bool,
    text: String,
    over: bool,
    /// What the device says goes over a connection of its own.
    post: Option<Box<Wire>>,
}

impl Wire {
    /// Sends a request.
    pub(crate) async fn ask(&mut self, method: &str, target: &str, body: &[u8]) {
        self.ask_with("", method, target, body).await;
    }

    /// The same with more headers, each with its end of line.
    pub(crate) async fn ask_with(
        &mut self,
        headers: &str,
        method: &str,
        target: &str,
        body: &[u8],
    ) {
        let length = match method {
            "POST" => format!("Content-Length: {}\r\n", body.len()),
            _ => String::new(),
        };
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{length}{headers}\r\n");
        self.send_bytes(&[head.as_bytes(), body].concat()).await;
    }

    /// An answer, of a stream only its head; none at the end. Nothing is lost where it is not waited for.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        let end = loop {
            let end = self.unread.windows(4).position(|window| window == b"\r\n\r\n");
            match end {
                Some(end) => break end + 4,
                None => self.fill(self.unread.len() + 1).await?,
            }
        };
        let head = String::from_utf8(self.unread[..end].to_vec()).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut reply = Reply { status, head, body: String::new() };
        let len = match reply.header("content-length") {
            "" => 0,
            len => len.parse().unwrap(),
        };
        self.fill(end + len).await?;
        self.unread.drain(..end);
        reply.body = String::from_utf8(self.unread.drain(..len).collect()).unwrap();
        Some(reply)
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn fetch(&mut self, method: &str, target: &str, body: &[u8]) -> Reply {
        self.ask(method, target, body).await;
        soon("an answer", self.reply()).await.expect("an answer, not the end")
    }

    /// A piece of a stream; empty at its end, none at that of the connection.
    pub(crate) async fn chunk(&mut self) -> Option<String> {
        let end = loop {
            match self.unread.windows(2).position(|window| window == b"\r\n") {
                Some(end) => break end + 2,
                None => self.fill(self.unread.len() + 1).await?,
            }
        };
        let len = std::str::from_utf8(&self.unread[..end - 2]).unwrap();
        let len = usize::from_str_radix(len, 16).unwrap();
        self.fill(end + len + 2).await?;
        let piece = self.unread[end..end + len].to_vec();
        self.unread.drain(..end + len + 2);
        Some(String::from_utf8(piece).unwrap())
    }

    /// Says a message; the first one is the hello.
    pub(super) async fn say(&mut self, message: &[u8]) {
        if self.visit.session.is_empty() && !self.visit.asked {
            self.visit.asked = true;
            self.ask("POST", "/sub/poll", message).await;
            return;
        }
        let target = format!("/sub/send?session={}", self.visit.session);
        let mut post = match self.visit.post.take() {
            Some(post) => post,
            None => Box::new(self.another().await),
        };
        post.ask("POST", &target, message).await;
        let mut reply = post.reply().await;
        if reply.is_none() {
            // A connection on which nothing is asked is closed after a while.
            *post = self.another().await;
            post.ask("POST", &target, message).await;
            reply = post.reply().await;
        }
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, 204, "{reply:?}");
        self.visit.post = Some(post);
    }

    /// One more connection to the same door.
    pub(crate) async fn another(&self) -> Self {
        Self::silent(&self.doors.expect("its door is known"), self.transport).await
    }

    /// The target of the next request for events.
    pub(crate) fn target(&self) -> String {
        let Visit { session, cursor, .. } = &self.visit;
        match self.transport.speaks {
            Transport::Events => format!("/sub/events?session={session}&cursor={cursor}"),
            _ => format!("/sub/poll?session={session}&cursor={cursor}"),
        }
    }

    /// The next event; none at the end of the session. Nothing is lost where it is not waited for.
    pub(super) async fn event(&mut self) -> Option<Vec<u8>> {
        let mut repeated = false;
        loop {
            if let Some(event) = self.visit.events.pop_front() {
                self.visit.over |= event["type"] == "close";
                return Some(event.to_string().into_bytes());
            }
            if self.visit.over {
                return None;
            }
            if self.visit.streams {
                match self.chunk().await {
                    Some(piece) if !piece.is_empty() => self.take_text(&piece),
                    _ => self.visit.streams = false,
                }
                continue;
            }
            if !self.visit.asked {
                self.ask("GET", &self.target(), b"").await;
                self.visit.asked = true;
            }
            let reply = self.reply().await;
            self.visit.asked = false;
            match reply {
                Some(reply) if is_stream(&reply) => self.visit.streams = true,
                Some(reply) => self.take_reply(&reply),
                None if repeated || self.visit.session.is_empty() => return None,
                None => {
                    // A connection on which nothing is asked is closed after a while.
                    let another = self.another().await;
                    (self.stream, self.unread) = (another.stream, another.unread);
                    repeated = true;
                }
            }
        }
    }

    fn take_reply(&mut self, reply: &Reply) {
        let body = reply.json();
        self.visit.over |= reply.status != 200;
        if let Some(session) = body["session"].as_str() {
            self.visit.session = session.to_owned();
            self.visit.wait_ms = body["wait_ms"].as_u64().unwrap();
        }
        if let Some(cursor) = body["cursor"].as_str() {
            self.visit.cursor = cursor.to_owned();
        }
        self.visit.events.extend(body["events"].as_array().cloned().unwrap_or_default());
    }

    /// Reads the lines of a stream, as a browser does.
    fn take_text(&mut self, piece: &str) {
        self.visit.text += piece;
        while let Some((block, rest)) = self.visit.text.split_once("\n\n") {
            for line in block.lines() {
                match line.split_once(": ") {
                    Some(("id", id)) => self.visit.cursor = id.to_owned(),
                    Some(("data", data)) => {
                        self.visit.events.push_back(serde_json::from_str(data).unwrap());
                    }
                    _ => assert!(line == ":" || line.starts_with("retry: "), "{line}"),
                }
            }
            self.visit.text = rest.to_owned();
        }
    }
}

/// The text of a hello for a key.
pub(crate) fn hello(key: &str) -> Vec<u8> {
    json!({"type": "hello", "key": key}).to_string().into_bytes()
}

/// The ways of long-poll.
pub(crate) const POLLS: [Way; 2] = [HTTP[0], HTTP[2]];

/// A device that was let in, and has asked for nothing more.
pub(crate) async fn device(way: Way, key: &str) -> Wire {
    shared().device(way, &Who::key(key)).await.wire
}

/// Asks for events, and gives the answer.
pub(crate) async fn poll(wire: &mut Wire) -> Reply {
    let target = wire.target();
    wire.fetch("GET", &target, b"").await
}

/// The bodies of pushes in an answer; its cursor is taken as a device takes it.
pub(crate) fn bodies(wire: &mut Wire, reply: &Reply) -> Vec<String> {
    assert_eq!(reply.status, 200, "{reply:?}");
    let body = reply.json();
    wire.visit.cursor = body["cursor"].as_str().unwrap().to_owned();
    let events = body["events"].as_array().unwrap().iter();
    events.map(|event| event["data"].as_str().unwrap_or_default().to_owned()).collect()
}

/// Pushes to a key, and waits for nothing.
pub(crate) async fn push(key: &str, body: &str) {
    let mut http = shared().http().await;
    http.push(&format!("keys?operation=1000&keys={key}"), body).await;
}

/// Pushes and waits until the kernel of a connection has it, or not for any longer.
pub(crate) async fn push_written(key: &str, body: &str) -> Value {
    let request = json!({
        "target": {"keys": {"ids": [key]}}, "op": 1000, "body": body, "wait_for": "written",
    });
    shared().http().await.push_v1(request).await["summary"].clone()
}

/// How many connections a key has, as the registry knows it.
pub(crate) async fn connections(stack: &Doors, key: &str) -> usize {
    let path = format!("/v1/keys/{key}/connections");
    let list = stack.http().await.get(&path).await.json();
    list["connections"].as_array().unwrap().len()
}

fn is_stream(reply: &Reply) -> bool {
    reply.header("transfer-encoding") == "chunked"
}
