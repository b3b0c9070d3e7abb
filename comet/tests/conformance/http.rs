//! HTTP: a client that sees an answer as it comes over the wire.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::reply::Reply;
use crate::soon;

/// A connection to a logic's HTTP port; requests follow one another.
pub(crate) struct Http {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Http {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, unread: Vec::new() }
    }

    pub(crate) async fn get(&mut self, target: &str) -> Reply {
        self.request("GET", target, b"").await
    }

    pub(crate) async fn post(&mut self, target: &str, body: impl AsRef<[u8]>) -> Reply {
        self.request("POST", target, body.as_ref()).await
    }

    /// A push over one of goim's paths, which must be answered as goim answers it.
    pub(crate) async fn push(&mut self, target: &str, body: impl AsRef<[u8]>) {
        let answer = self.post(&format!("/goim/push/{target}"), body).await;
        assert_eq!(answer.body, r#"{"code":0,"message":""}"#, "{target}: {answer:?}");
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
    }

    /// A push over `/v1/push`; gives the receipt.
    pub(crate) async fn push_v1(&mut self, request: Value) -> Value {
        let answer = self.post("/v1/push", request.to_string()).await;
        assert_eq!(answer.status, 200, "{request}: {answer:?}");
        answer.json()
    }

    pub(crate) async fn request(&mut self, method: &str, target: &str, body: &[u8]) -> Reply {
        self.request_with("", method, target, body).await
    }

    /// The same with more headers, each with its end of line.
    pub(crate) async fn request_with(
        &mut self,
        headers: &str,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Reply {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n{headers}\r\n",
            body.len()
        );
        let bytes = [head.as_bytes(), body].concat();
        // A body that is refused half way is answered all the same.
        let _ = self.stream.write_all(&bytes).await;
        soon("an HTTP answer", self.answer()).await
    }

    async fn answer(&mut self) -> Reply {
        let end = loop {
            let end = self.unread.windows(4).position(|window| window == b"\r\n\r\n");
            match end {
                Some(end) => break end,
                None => self.more().await,
            }
        };
        let head: Vec<u8> = self.unread.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let status = head[9..12].parse().unwrap();
        let mut reply = Reply { status, head, body: String::new() };
        let len: usize =
            reply.header("content-length").parse().expect("every answer tells its length");
        while self.unread.len() < len {
            self.more().await;
        }
        reply.body = String::from_utf8(self.unread.drain(..len).collect()).unwrap();
        reply
    }

    async fn more(&mut self) {
        let read = self.stream.read_buf(&mut self.unread).await.unwrap();
        assert!(
            read > 0,
            "the answer breaks off after {:?}",
            String::from_utf8_lossy(&self.unread)
        );
    }
}
