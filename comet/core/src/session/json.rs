//! The session's side of `orrery.json.v1`: what each message does and how it is answered.

use bytes::Bytes;
use orrery_model::message::Message;

use super::{Asked, Phase, Session};
use crate::action::Action;
use crate::answer::Answer;
use crate::json::{BadMessage, ClientMessage, ErrorCode, Payload, RequestId, ServerMessage, texts};

impl Session {
    /// A message that breaks a rule is answered with an error and changes nothing.
    pub(super) fn handle_text(&mut self, text: Bytes, now_ms: u64) -> Action {
        match ClientMessage::parse(&text) {
            Ok(message) if self.is_ready() => self.handle_request(message, now_ms),
            Ok(message) => self.handle_before_ready(message, text),
            Err(bad) => self.refuse_bad(bad),
        }
    }

    fn handle_before_ready(&mut self, message: ClientMessage, text: Bytes) -> Action {
        match message {
            ClientMessage::Hello(hello) if matches!(self.phase, Phase::Handshake) => {
                self.phase = Phase::Authenticating(Asked::Json(hello.id.map(Box::new)));
                Action::Authenticate { credentials: text }
            }
            ClientMessage::Hello(hello) => self.refuse_hello(hello.id),
            other => {
                let id = other.into_id();
                self.refuse(ErrorCode::NotReady, "the first message is a hello", id)
            }
        }
    }

    fn handle_request(&mut self, message: ClientMessage, now_ms: u64) -> Action {
        match message {
            ClientMessage::Hello(hello) => self.refuse_hello(hello.id),
            ClientMessage::Ping { id } => {
                self.refresh(now_ms);
                Action::Reply(ServerMessage::Pong { id }.frame(self.dialect))
            }
            ClientMessage::Join { id, rooms } => {
                let answer = Answer::joined(self.dialect, id, texts(&rooms));
                Action::Join { rooms, answer }
            }
            ClientMessage::Leave { id, rooms } => {
                let answer = Answer::left(self.dialect, id, texts(&rooms));
                Action::Leave { rooms, answer }
            }
            ClientMessage::Message { id, op, data, data_base64 } => {
                match (Payload { data, data_base64 }).body() {
                    Ok(body) => {
                        Action::Upstream { message: Message { op, body }, reply: Bytes::new() }
                    }
                    Err(detail) => self.refuse_bad(BadMessage::new(detail, id)),
                }
            }
        }
    }

    fn refuse_hello(&self, id: Option<RequestId>) -> Action {
        self.refuse(ErrorCode::AlreadyReady, "there was a hello already", id)
    }

    fn refuse_bad(&self, bad: BadMessage) -> Action {
        self.refuse(ErrorCode::BadMessage, &bad.detail, bad.id)
    }

    fn refuse(&self, code: ErrorCode, detail: &str, id: Option<RequestId>) -> Action {
        Action::Reply(ServerMessage::error(code, detail, id).frame(self.dialect))
    }
}
