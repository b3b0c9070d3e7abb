//! The session's side of goim's protocol: what each operation does and how it is answered.

use bytes::Bytes;
use orrery_model::message::Message;

use super::{Asked, Phase, Session};
use crate::action::Action;
use crate::answer::{Answer, HeartbeatAnswer, framed, room_of};
use crate::dialect::Dialect;
use crate::frame::Frame;
use crate::ops;

impl Session {
    pub(super) fn handle_frame(&mut self, frame: Frame, now_ms: u64) -> Action {
        match self.phase {
            Phase::Ready => self.handle_operation(frame, now_ms),
            Phase::Handshake if frame.op == ops::AUTH => {
                let Frame { version, seq, body, .. } = frame;
                self.phase = Phase::Authenticating(Asked::Goim { version, seq });
                Action::Authenticate { credentials: body }
            }
            Phase::Handshake | Phase::Authenticating(_) | Phase::Closed => Action::Nothing,
        }
    }

    fn handle_operation(&mut self, frame: Frame, now_ms: u64) -> Action {
        match frame.op {
            ops::HEARTBEAT => {
                self.refresh(now_ms);
                Action::Heartbeat(self.heartbeat_answer(&frame))
            }
            // goim answers this one like a heartbeat, without taking it for one.
            ops::HEARTBEAT_REPLY => Action::Heartbeat(self.heartbeat_answer(&frame)),
            ops::CHANGE_ROOM => self.change_room(frame),
            ops::SUBSCRIBE => {
                if let Some(more) = ops::parse_list(&frame.body) {
                    self.accepts.insert(&more);
                }
                Action::Subscribed(self.reply(&frame, ops::SUBSCRIBE_REPLY, frame.body.clone()))
            }
            ops::UNSUBSCRIBE => {
                if let Some(fewer) = ops::parse_list(&frame.body) {
                    self.accepts.remove(&fewer);
                }
                Action::Subscribed(self.reply(&frame, ops::UNSUBSCRIBE_REPLY, frame.body.clone()))
            }
            // A second token is a secret all the same: echoed, but handed to nobody.
            ops::AUTH => Action::Reply(self.echo(&frame)),
            op => Action::Upstream {
                reply: if op == ops::RAW && self.dialect == Dialect::Tcp {
                    Bytes::new()
                } else {
                    self.echo(&frame)
                },
                message: Message { op, body: frame.body },
            },
        }
    }

    fn change_room(&self, frame: Frame) -> Action {
        let reply = self.reply(&frame, ops::CHANGE_ROOM_REPLY, frame.body.clone());
        if frame.body.is_empty() {
            return Action::ChangeRoom { room: None, answer: Answer::goim(reply) };
        }
        match room_of(&frame.body) {
            Some(room) => Action::ChangeRoom { room: Some(room), answer: Answer::goim(reply) },
            // No room can have this name, and goim answers a change that failed like any other.
            None => Action::Reply(reply),
        }
    }

    pub(super) fn auth_reply(&self, version: i16, seq: i32) -> Bytes {
        framed(self.dialect, &Frame { version, op: ops::AUTH_REPLY, seq, body: Bytes::new() })
    }

    fn heartbeat_answer(&self, frame: &Frame) -> HeartbeatAnswer {
        HeartbeatAnswer { dialect: self.dialect, version: frame.version, seq: frame.seq }
    }

    fn echo(&self, frame: &Frame) -> Bytes {
        self.reply(frame, frame.op, Bytes::new())
    }

    fn reply(&self, to: &Frame, op: i32, body: Bytes) -> Bytes {
        framed(self.dialect, &Frame { version: to.version, op, seq: to.seq, body })
    }
}
