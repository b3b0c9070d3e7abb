//! Device: what all transports have in common. It is authenticated, is pushed to, and gives signs of life.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::bytes::{CLOSE, FIN, TEXT, frame, token};
use crate::soon;
use crate::stack::CometDoors;
use crate::wire::{Transport, Way, Wire};

/// Who a device says it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Who {
    /// 0: nobody.
    pub(crate) mid: i64,
    /// Empty: a key is drawn.
    pub(crate) key: String,
    /// Empty: none.
    pub(crate) room: String,
    pub(crate) accepts: Vec<i32>,
}

impl Who {
    /// Reached by this key only.
    pub(crate) fn key(key: &str) -> Self {
        Self { key: key.to_owned(), accepts: vec![1000], ..Self::default() }
    }

    /// A user with a key.
    pub(crate) fn user(mid: i64, key: &str) -> Self {
        Self { mid, ..Self::key(key) }
    }

    /// Somebody in a room.
    pub(crate) fn member(room: &str) -> Self {
        Self { room: room.to_owned(), ..Self::default() }
    }

    pub(crate) fn accepts(mut self, ops: &[i32]) -> Self {
        self.accepts = ops.to_vec();
        self
    }

    fn hello(&self) -> Value {
        let mut hello = json!({"type": "hello", "accepts": self.accepts});
        if self.mid > 0 {
            hello["user"] = json!(self.mid.to_string());
        }
        if !self.key.is_empty() {
            hello["key"] = json!(self.key);
        }
        if !self.room.is_empty() {
            hello["rooms"] = json!([self.room]);
        }
        hello
    }
}

/// An authenticated device.
pub(crate) struct Device {
    pub(crate) wire: Wire,
    beats: i32,
    /// Pushes that came in the same message as the last one.
    unwrapped: VecDeque<Vec<u8>>,
}

impl Device {
    /// Connects and is let in.
    pub(crate) async fn connect(doors: &CometDoors, way: impl Into<Way>, who: &Who) -> Self {
        let mut device = Self::begin(Wire::open(doors, way).await, who).await;
        device.let_in().await;
        device
    }

    /// Sends the credentials over a connection and does not wait for the answer.
    pub(crate) async fn begin(mut wire: Wire, who: &Who) -> Self {
        if wire.transport.speaks.is_json() {
            wire.send(who.hello().to_string().as_bytes()).await;
        } else {
            let token = token(who.mid, &who.key, &who.room, &who.accepts);
            wire.send(&frame(1, 7, 42, &token)).await;
        }
        Self::over(wire)
    }

    /// Whoever is at this end of a connection.
    pub(crate) fn over(wire: Wire) -> Self {
        Self { wire, beats: 0, unwrapped: VecDeque::new() }
    }

    /// Waits for the answer to the credentials.
    pub(crate) async fn let_in(&mut self) {
        if self.wire.transport.speaks.is_json() {
            let welcome = self.json().await;
            assert_eq!(welcome["type"], "welcome", "{welcome}");
        } else {
            self.wire.expect(&frame(1, 8, 42, b"")).await;
        }
    }

    /// Gives a sign of life and expects its answer next: nothing else came in between.
    pub(crate) async fn beat(&mut self) {
        if self.wire.transport.speaks.is_json() {
            self.wire.send(br#"{"type":"ping"}"#).await;
            assert_eq!(self.json().await, json!({"type": "pong"}));
        } else {
            self.count().await;
        }
    }

    /// The number of people in the room, as goim's heartbeat tells it.
    pub(crate) async fn count(&mut self) -> i32 {
        self.beats += 1;
        let seq = self.beats;
        self.wire.send(&frame(1, 2, seq, b"")).await;
        let answer = self.frame().await;
        assert_eq!(answer[..16], frame(1, 3, seq, &[0; 4])[..16], "{:?}", self.wire.transport);
        i32::from_be_bytes(answer[16..].try_into().unwrap())
    }

    /// The next push: its operation and body. Anything else is a failure.
    pub(crate) async fn pushed(&mut self) -> (i32, Vec<u8>) {
        if self.wire.transport.speaks.is_json() {
            let message = self.json().await;
            assert_eq!(message["type"], "message", "{message}");
            let op = i32::try_from(message["op"].as_i64().unwrap()).unwrap();
            let body = match message["data"].as_str() {
                Some(text) => text.as_bytes().to_vec(),
                None => STANDARD.decode(message["data_base64"].as_str().unwrap()).unwrap(),
            };
            return (op, body);
        }
        let inner = match self.unwrapped.pop_front() {
            Some(inner) => inner,
            None => self.first_push().await,
        };
        let op = i32::from_be_bytes(inner[8..12].try_into().unwrap());
        let body = inner[16..].to_vec();
        assert_eq!(inner, crate::bytes::pushed(op, &body));
        (op, body)
    }

    /// How many pushes came in the same message as the last one.
    pub(crate) fn unwrapped(&self) -> usize {
        self.unwrapped.len()
    }

    /// The next frame of a push; those that are in the same message wait.
    async fn first_push(&mut self) -> Vec<u8> {
        let message = self.frame().await;
        if self.wire.transport != Transport::WebSocket {
            return message;
        }
        let len = i32::try_from(message.len()).unwrap();
        assert_eq!(message[..16], crate::bytes::claiming(len, 16, 1, 9, 0, b""));
        let mut rest = &message[16..];
        while let Some((len, _)) = rest.split_first_chunk() {
            let (inner, more) = rest.split_at(i32::from_be_bytes(*len).try_into().unwrap());
            self.unwrapped.push_back(inner.to_vec());
            rest = more;
        }
        self.unwrapped.pop_front().expect("a wrapper is around something")
    }

    /// Expects this push next.
    pub(crate) async fn expect(&mut self, op: i32, body: &[u8]) {
        let transport = self.wire.transport;
        let (found, text) = self.pushed().await;
        // Compared as texts: large bodies of numbers are not read by anybody.
        let (text, body) = (String::from_utf8_lossy(&text), String::from_utf8_lossy(body));
        assert_eq!((found, text), (op, body), "{transport:?}");
    }

    /// The word of a comet that goes away, where the protocol has one, and the end.
    pub(crate) async fn expect_sent_away(&mut self) {
        if self.wire.transport == Transport::Json {
            assert_eq!(self.json().await["type"], "drain");
        }
        self.expect_closed(1012).await;
    }

    /// Expects the end: without a word on goim's protocol, with this code in JSON.
    pub(crate) async fn expect_closed(&mut self, code: u16) {
        if self.wire.transport.speaks.is_http() {
            let close = self.json().await;
            assert_eq!((&close["type"], &close["code"]), (&json!("close"), &json!(code)));
        } else if self.wire.transport.speaks.is_json() {
            let (first, payload) = self.wire.socket_frame().await;
            assert_eq!(first, FIN | CLOSE, "{payload:?}");
            let found = u16::from_be_bytes(payload[..2].try_into().unwrap());
            assert_eq!(found, code, "{}", String::from_utf8_lossy(&payload[2..]));
        }
        self.wire.expect_end().await;
    }

    /// The next JSON message.
    pub(crate) async fn json(&mut self) -> Value {
        if self.wire.transport.speaks.is_http() {
            let event = soon("an event", self.wire.unit()).await.expect("an event, not the end");
            return serde_json::from_slice(&event).unwrap();
        }
        let (first, payload) = self.wire.socket_frame().await;
        assert_eq!(first, FIN | TEXT, "{payload:?}");
        serde_json::from_slice(&payload).unwrap()
    }

    /// The next goim frame, out of its message where there is one.
    async fn frame(&mut self) -> Vec<u8> {
        assert!(self.unwrapped.is_empty(), "a push came before: {:?}", self.unwrapped);
        if self.wire.transport == Transport::Tcp {
            return soon("a frame", self.wire.unit()).await.expect("a frame, not the end");
        }
        let (first, payload) = self.wire.socket_frame().await;
        assert_eq!(first, FIN | crate::bytes::BINARY);
        payload
    }
}
