//! Peer: a comet for one device, which does what the test's script says.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use orrery_comet_core::json::ErrorCode;
use orrery_comet_core::{Accepts, Action, Decoder, Dialect, Established, Session};
use orrery_host::{Host, Stream, Task};
use orrery_model::message::CloseReason;
use orrery_model::{Id, Seq};
use orrery_sdk::{Options, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

pub(crate) const ALL: [Transport; 3] = [Transport::Tcp, Transport::WebSocket, Transport::Json];

/// What the peer makes of an introduction and of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Kind,
    /// Refuses the introduction.
    Strict,
    /// Answers nothing.
    Mute,
    /// Refuses to change rooms.
    Full,
    /// Leaves the first change of rooms without an answer.
    Forgetful,
}

/// What a test tells the peer to do next.
pub(crate) enum Order {
    Write(Bytes),
    Close(CloseReason),
    /// Sends the device away with these words.
    Drain(u32, Vec<String>),
    Hang,
}

pub(crate) struct Peer {
    pub(crate) host: Host,
    pub(crate) address: String,
    pub(crate) orders: mpsc::Sender<Order>,
    /// What the device asked for.
    pub(crate) actions: mpsc::Receiver<Action>,
    _task: Task,
}

impl Peer {
    /// Listens for one device. `first` is written before the answer to the device's first request after
    /// its authentication.
    pub(crate) async fn start(transport: Transport, mood: Mood, first: Option<Bytes>) -> Self {
        let host = Host::system();
        let listener = host.net.listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (orders, orders_rx) = mpsc::channel(64);
        let (actions_tx, actions) = mpsc::channel(1024);
        let task = host.tasks.spawn("peer", async move {
            let (stream, _) = listener.accept().await.unwrap();
            let (stream, dialect) = upgrade(stream, transport).await;
            let session = Session::new(dialect, u64::MAX);
            Serving { stream, session, mood, first, actions: actions_tx }.run(orders_rx).await;
        });
        Self { host, address, orders, actions, _task: task }
    }

    pub(crate) fn options(&self, transport: Transport) -> Options {
        let mut options = Options::new(transport, &self.address).user("5");
        options.answer_timeout = Duration::from_secs(5);
        options
    }

    pub(crate) async fn order(&self, order: Order) {
        self.orders.send(order).await.ok().unwrap();
    }
}

async fn upgrade(stream: Box<dyn Stream>, transport: Transport) -> (Box<dyn Stream>, Dialect) {
    if transport == Transport::Tcp {
        return (stream, Dialect::Tcp);
    }
    let mut dialect = Dialect::WebSocket;
    #[allow(clippy::result_large_err)] // The library's own signature.
    let check = |request: &Request, mut response: Response| {
        assert_eq!(request.uri(), "/sub");
        if let Some(name) = request.headers().get("sec-websocket-protocol") {
            assert_eq!(name, Dialect::JSON_NAME);
            response.headers_mut().insert("sec-websocket-protocol", name.clone());
            dialect = Dialect::Json;
        }
        Ok(response)
    };
    let socket = tokio_tungstenite::accept_hdr_async(stream, check).await.unwrap();
    (socket.into_inner(), dialect)
}

struct Serving {
    stream: Box<dyn Stream>,
    session: Session,
    mood: Mood,
    first: Option<Bytes>,
    actions: mpsc::Sender<Action>,
}

impl Serving {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut decoder = Decoder::new(self.session.dialect(), 8192);
        let mut bytes = [0; 1024];
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Order::Write(bytes)) => self.stream.write_all(&bytes).await.unwrap(),
                    Some(Order::Close(reason)) => {
                        let close = self.session.close(reason);
                        self.stream.write_all(&close.farewell).await.unwrap();
                        return;
                    }
                    Some(Order::Drain(retry_after_ms, nodes)) => {
                        let close = self.session.drain(retry_after_ms, nodes);
                        self.stream.write_all(&close.farewell).await.unwrap();
                        return;
                    }
                    Some(Order::Hang) | None => return,
                },
                read = self.stream.read(&mut bytes) => {
                    let Ok(read @ 1..) = read else { return };
                    decoder.feed(&bytes[..read]);
                    let mut inputs = VecDeque::new();
                    while let Some(input) = decoder.poll().unwrap() {
                        inputs.push_back(input);
                    }
                    for input in inputs {
                        let action = self.session.handle_input(input, 0);
                        if self.mood == Mood::Mute {
                            self.actions.send(action).await.unwrap();
                        } else if !self.carry_out(action).await {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Returns false when the connection is over.
    async fn carry_out(&mut self, action: Action) -> bool {
        self.actions.send(action.clone()).await.unwrap();
        if self.session.is_ready()
            && let Some(first) = self.first.take()
        {
            self.stream.write_all(&first).await.unwrap();
        }
        let full = self.mood == Mood::Full;
        let bytes = match action {
            Action::Nothing => Bytes::new(),
            Action::Reply(bytes) | Action::Subscribed(bytes) => bytes,
            Action::Upstream { reply, .. } => reply,
            Action::Authenticate { .. } if self.mood == Mood::Strict => {
                let close = self.session.handle_refused("not today");
                self.stream.write_all(&close.farewell).await.unwrap();
                return false;
            }
            Action::Authenticate { .. } => self.establish(),
            Action::Heartbeat(answer) => answer.with_count(42),
            Action::ChangeRoom { answer, .. }
            | Action::Join { answer, .. }
            | Action::Leave { answer, .. } => {
                if self.mood == Mood::Forgetful {
                    self.mood = Mood::Kind;
                    return true;
                }
                if full { answer.failed(ErrorCode::TooManyRooms, "full") } else { answer.done() }
            }
            Action::Close(close) => {
                self.stream.write_all(&close.farewell).await.unwrap();
                return false;
            }
            Action::Goodbye(bytes) => {
                self.stream.write_all(&bytes).await.unwrap();
                return false;
            }
        };
        self.stream.write_all(&bytes).await.unwrap();
        true
    }

    fn establish(&mut self) -> Bytes {
        let key = Id::new("k1").unwrap();
        let user = Id::new("5").unwrap();
        let established = Established {
            user: Some(&user),
            key: &key,
            seq: Seq(9),
            heartbeat_ms: 1000,
            heartbeat_max_ms: 2000,
        };
        self.session.handle_established(&established, Accepts::All, 0).unwrap()
    }
}
