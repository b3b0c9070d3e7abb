//! Device: one connection to a comet, from its authentication to its end.

mod connect;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use orrery_comet_core::json::{ClientMessage, RequestId, ServerMessage};
use orrery_comet_core::{Frame, ops};
use orrery_model::message::Message;
use tokio::time::{Instant, sleep_until, timeout};

use crate::error::RequestError;
use crate::event::Event;
use crate::limits::WAITING_EVENTS_MAX;
use crate::options::Transport;
use crate::wire::{Incoming, Outgoing, Wire};

/// What the comet said of the connection. goim's protocol tells none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Welcome {
    /// The connection's key.
    pub key: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The connection's seq.
    pub seq: Option<u64>,
    /// How often to give a sign of life.
    pub heartbeat: Option<Duration>,
    /// How long silence may last.
    pub heartbeat_max: Option<Duration>,
}

/// A connected device. Call [`Device::next`] all the time: pushes, automatic heartbeats and the answers
/// to the transport's pings happen inside it. Dropping it closes the connection without a goodbye.
pub struct Device {
    transport: Transport,
    wire: Wire,
    welcome: Welcome,
    heartbeat: Option<Duration>,
    heartbeat_due: Instant,
    answer_timeout: Duration,
    /// Number of the last request; goim's pushes have 0.
    seq: i32,
    /// What arrived while a request waited for its answer.
    waiting: VecDeque<Event>,
    closed: Option<Event>,
}

impl Device {
    /// What the comet said of the connection.
    pub fn welcome(&self) -> &Welcome {
        &self.welcome
    }

    /// Waits for the next event, sending heartbeats as they fall due. Cancel-safe. Once the connection
    /// is closed it says so again and again.
    pub async fn next(&mut self) -> Event {
        if let Some(event) = self.waiting.pop_front() {
            return event;
        }
        let incoming = self.receive().await;
        self.event(incoming)
    }

    /// Sends a heartbeat; the answer is an event.
    ///
    /// # Errors
    /// [`RequestError::Closed`].
    pub async fn heartbeat(&mut self) -> Result<(), RequestError> {
        self.queue_heartbeat();
        self.flush().await
    }

    /// Changes the room on goim's protocol, or leaves it, and waits for the answer.
    ///
    /// # Errors
    /// [`RequestError`]; goim's protocol does not tell whether the change succeeded.
    pub async fn change_room(&mut self, room: Option<&str>) -> Result<(), RequestError> {
        let body = Bytes::copy_from_slice(room.unwrap_or_default().as_bytes());
        self.ask_goim(ops::CHANGE_ROOM, body, "change of room").await
    }

    /// Accepts these operations too, on goim's protocol, and waits for the answer.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn subscribe(&mut self, more: &[i32]) -> Result<(), RequestError> {
        self.ask_goim(ops::SUBSCRIBE, ops::format_list(more).into(), "subscription").await
    }

    /// Accepts these operations no longer, on goim's protocol, and waits for the answer.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn unsubscribe(&mut self, fewer: &[i32]) -> Result<(), RequestError> {
        self.ask_goim(ops::UNSUBSCRIBE, ops::format_list(fewer).into(), "subscription").await
    }

    /// Joins rooms on `orrery.json.v1` and waits until the cluster knows.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn join(&mut self, rooms: &[&str]) -> Result<(), RequestError> {
        let rooms = connect::ids(rooms).map_err(RequestError::BadRequest)?;
        self.ask_json(|id| ClientMessage::Join { id, rooms }, "join").await
    }

    /// Leaves rooms on `orrery.json.v1` and waits until the cluster knows.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn leave(&mut self, rooms: &[&str]) -> Result<(), RequestError> {
        let rooms = connect::ids(rooms).map_err(RequestError::BadRequest)?;
        self.ask_json(|id| ClientMessage::Leave { id, rooms }, "leave").await
    }

    /// Sends a message to the backend. goim's protocol echoes it as an [`Event::Frame`].
    ///
    /// # Errors
    /// [`RequestError::Closed`].
    pub async fn send(&mut self, op: i32, body: &[u8]) -> Result<(), RequestError> {
        let outgoing = match self.transport {
            transport if transport.is_json() => Outgoing::Json(ClientMessage::message(op, body)),
            _ => {
                let seq = self.next_seq();
                let body = Bytes::copy_from_slice(body);
                Outgoing::Frame(Frame { version: 1, op, seq, body })
            }
        };
        self.wire.queue(outgoing);
        self.flush().await
    }

    /// Sends a frame of goim's protocol as it is. With a seq other than 0 its answer is told from a push.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn send_frame(&mut self, frame: Frame) -> Result<(), RequestError> {
        if self.transport.is_json() {
            return Err(RequestError::NotInProtocol("frame"));
        }
        self.wire.queue(Outgoing::Frame(frame));
        self.flush().await
    }

    /// Sends a text on `orrery.json.v1` as it is.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn send_text(&mut self, text: impl Into<String>) -> Result<(), RequestError> {
        if !self.transport.is_json() {
            return Err(RequestError::NotInProtocol("text"));
        }
        self.wire.queue(Outgoing::Text(text.into()));
        self.flush().await
    }

    /// Says goodbye, where the protocol has a word for it, and closes. Bounded by the answer timeout.
    pub async fn close(mut self) {
        // A comet that does not take the goodbye in time sees the connection end all the same.
        let _ = timeout(self.answer_timeout, self.wire.close()).await;
    }

    /// Has the kernel reset the connection when the device is dropped: no port stays taken for a minute, and
    /// the comet sees what it would see of a device that lost its network and came back. Over HTTP there is none to
    /// reset: the session falls silent.
    pub fn reset_on_drop(&self) {
        self.wire.reset_on_drop();
    }

    /// Since when nothing has come through though the connection is not lost yet, or was lost for it.
    pub(crate) fn failing_since(&self) -> Option<Instant> {
        self.wire.failing_since()
    }

    async fn receive(&mut self) -> Incoming {
        if let Some(Event::Closed { code, reason }) = &self.closed {
            return Incoming::Closed { code: *code, reason: reason.clone() };
        }
        loop {
            let Some(every) = self.heartbeat else { return self.wire.receive().await };
            tokio::select! {
                biased;
                // A heartbeat that is due must not wait for a quiet moment.
                () = sleep_until(self.heartbeat_due) => {
                    self.queue_heartbeat();
                    self.heartbeat_due = Instant::now() + every;
                }
                incoming = self.wire.receive() => return incoming,
            }
        }
    }

    fn event(&mut self, incoming: Incoming) -> Event {
        match incoming {
            Incoming::Pushed(Message { op, body }) => Event::Message { op, body },
            Incoming::Frame(frame) => match (frame.op, frame.body.first_chunk::<4>()) {
                (ops::HEARTBEAT_REPLY, Some(count)) => {
                    Event::HeartbeatReply { count: Some(i32::from_be_bytes(*count)) }
                }
                _ => Event::Frame(frame),
            },
            Incoming::Json(ServerMessage::Message { op, payload }) => match payload.body() {
                Ok(body) => Event::Message { op, body },
                Err(error) => self.closed(None, error.to_owned()),
            },
            Incoming::Json(ServerMessage::Pong { .. }) => Event::HeartbeatReply { count: None },
            Incoming::Json(message) => Event::Json(message),
            Incoming::Closed { code, reason } => self.closed(code, reason),
        }
    }

    fn closed(&mut self, code: Option<u16>, reason: String) -> Event {
        let event = Event::Closed { code, reason };
        self.closed = Some(event.clone());
        event
    }

    fn queue_heartbeat(&mut self) {
        let seq = self.next_seq();
        self.wire.queue(match self.transport {
            transport if transport.is_json() => Outgoing::Json(ClientMessage::Ping { id: None }),
            _ => Outgoing::Frame(Frame { version: 1, op: ops::HEARTBEAT, seq, body: Bytes::new() }),
        });
    }

    fn next_seq(&mut self) -> i32 {
        self.seq = self.seq.checked_add(1).unwrap_or(1);
        self.seq
    }

    async fn flush(&mut self) -> Result<(), RequestError> {
        if self.closed.is_some() {
            return Err(RequestError::Closed);
        }
        // Why it failed is what the next read finds.
        self.wire.flush().await.map_err(|_| RequestError::Closed)
    }

    async fn ask_goim(
        &mut self,
        op: i32,
        body: Bytes,
        what: &'static str,
    ) -> Result<(), RequestError> {
        if self.transport.is_json() {
            return Err(RequestError::NotInProtocol(what));
        }
        let seq = self.next_seq();
        self.wire.queue(Outgoing::Frame(Frame { version: 1, op, seq, body }));
        self.wait(|event| match event {
            Event::Frame(frame) if frame.op == op + 1 && frame.seq == seq => Some(Ok(())),
            _ => None,
        })
        .await
    }

    async fn ask_json(
        &mut self,
        message: impl FnOnce(Option<RequestId>) -> ClientMessage,
        what: &'static str,
    ) -> Result<(), RequestError> {
        if !self.transport.is_json() {
            return Err(RequestError::NotInProtocol(what));
        }
        let asked = Some(RequestId::Number(i64::from(self.next_seq())));
        self.wire.queue(Outgoing::Json(message(asked.clone())));
        self.wait(|event| match event {
            Event::Json(ServerMessage::Joined { id, .. } | ServerMessage::Left { id, .. })
                if *id == asked =>
            {
                Some(Ok(()))
            }
            Event::Json(ServerMessage::Error { id, code, message }) if *id == asked => {
                Some(Err(RequestError::Refused { code: *code, message: message.clone() }))
            }
            _ => None,
        })
        .await
    }

    /// Waits for the event that answers a request, keeping all others for [`Device::next`].
    async fn wait(
        &mut self,
        answers: impl Fn(&Event) -> Option<Result<(), RequestError>>,
    ) -> Result<(), RequestError> {
        let deadline = Instant::now() + self.answer_timeout;
        loop {
            if self.closed.is_some() {
                return Err(RequestError::Closed);
            }
            if self.waiting.len() >= WAITING_EVENTS_MAX {
                return Err(RequestError::EventsWaiting);
            }
            let incoming = tokio::time::timeout_at(deadline, self.receive())
                .await
                .map_err(|_| RequestError::Timeout)?;
            let event = self.event(incoming);
            match answers(&event) {
                Some(answer) => return answer,
                None => self.waiting.push_back(event),
            }
        }
    }
}
