//! JSON device: speaks `orrery.json.v1`.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use orrery_host::{Host, Stream};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::soon;

pub(crate) struct JsonDevice(pub(crate) WebSocketStream<Box<dyn Stream>>);

impl JsonDevice {
    pub(crate) async fn connect(host: &Host, address: SocketAddr) -> Self {
        let stream = host.net.connect(&address.to_string()).await.expect("the comet listens");
        Self::over(stream).await
    }

    pub(crate) async fn over(stream: Box<dyn Stream>) -> Self {
        let mut request = "ws://comet.test/sub".into_client_request().unwrap();
        let offer = "chat, orrery.json.v1".parse().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", offer);
        let (socket, response) = client_async(request, stream).await.expect("it upgrades");
        let selected = response.headers().get("sec-websocket-protocol").unwrap();
        assert_eq!(selected, "orrery.json.v1");
        Self(socket)
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).await.unwrap();
    }

    pub(crate) async fn receive(&mut self) -> Value {
        match soon("a message", self.0.next()).await {
            Some(Ok(Message::Text(text))) => serde_json::from_str(&text).unwrap(),
            other => panic!("a text message, not {other:?}"),
        }
    }

    /// Says hello and takes the welcome.
    pub(crate) async fn hello(&mut self, hello: Value) -> Value {
        self.send(hello).await;
        let welcome = self.receive().await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        welcome
    }

    /// Takes the word of a comet that goes away, and its close.
    pub(crate) async fn sent_away(&mut self) -> Value {
        let hint = self.receive().await;
        assert_eq!(self.closed().await, 1012);
        hint
    }

    /// Waits for the close frame; gives its code.
    pub(crate) async fn closed(&mut self) -> u16 {
        match soon("a close", self.0.next()).await {
            Some(Ok(Message::Close(Some(close)))) => close.code.into(),
            other => panic!("a close, not {other:?}"),
        }
    }
}
