//! Web: requests of a device over HTTP, one connection or as many as it likes.

use std::net::SocketAddr;

use orrery_host::{Host, Stream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub(crate) use super::reply::Reply;
use super::soon;

/// A connection of HTTP.
pub(crate) struct Web {
    stream: Box<dyn Stream>,
    unread: Vec<u8>,
}

impl Web {
    pub(crate) async fn connect(host: &Host, address: SocketAddr) -> Self {
        let stream = host.net.connect(&address.to_string()).await.expect("the comet listens");
        Self::over(stream)
    }

    pub(crate) fn over(stream: Box<dyn Stream>) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn fetch(&mut self, method: &str, target: &str, body: &str) -> Reply {
        self.fetch_with("", method, target, body).await
    }

    /// The same with more headers, each with its end of line.
    pub(crate) async fn fetch_with(
        &mut self,
        headers: &str,
        method: &str,
        target: &str,
        body: &str,
    ) -> Reply {
        self.ask(headers, method, target, body).await;
        self.reply().await
    }

    /// Sends a request and waits for nothing.
    pub(crate) async fn ask(&mut self, headers: &str, method: &str, target: &str, body: &str) {
        let len = body.len();
        let request = format!(
            "{method} {target} HTTP/1.1\r\nHost: comet.test\r\nContent-Length: {len}\r\n{headers}\r\n{body}"
        );
        self.say(&request).await;
    }

    /// Sends a part of a request.
    pub(crate) async fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.expect("the comet reads");
    }

    /// The next answer; of a stream only its head.
    pub(crate) async fn reply(&mut self) -> Reply {
        let end = self.read_to("\r\n\r\n").await;
        let head = String::from_utf8(self.unread.drain(..end).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut reply = Reply { status, head, body: String::new() };
        let len = reply.header("content-length").parse().unwrap_or(0);
        while self.unread.len() < len {
            self.read_more().await;
        }
        reply.body = String::from_utf8(self.unread.drain(..len).collect()).unwrap();
        reply
    }

    /// What comes up to a text and with it.
    pub(crate) async fn text_to(&mut self, text: &str) -> String {
        let end = self.read_to(text).await;
        String::from_utf8(self.unread.drain(..end).collect()).unwrap()
    }

    /// Waits until something of an answer is there.
    pub(crate) async fn begun(&mut self) {
        while self.unread.is_empty() {
            self.read_more().await;
        }
    }

    /// Waits until the comet has closed the connection, without another word.
    pub(crate) async fn ended(&mut self) {
        assert_eq!(soon("the end", self.stream.read_buf(&mut self.unread)).await.unwrap(), 0);
        assert!(self.unread.is_empty());
    }

    /// Reads until a text is there; tells where it ends.
    async fn read_to(&mut self, text: &str) -> usize {
        loop {
            let found = self.unread.windows(text.len()).position(|it| it == text.as_bytes());
            match found {
                Some(at) => return at + text.len(),
                None => self.read_more().await,
            }
        }
    }

    async fn read_more(&mut self) {
        let read = soon("more of an answer", self.stream.read_buf(&mut self.unread)).await.unwrap();
        assert!(read > 0, "it ended: {}", String::from_utf8_lossy(&self.unread));
    }
}
