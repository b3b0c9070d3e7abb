//! Session: the state of one connection's conversation, from its first input to its close.
//!
//! Before authentication goim's protocol ignores everything else; `orrery.json.v1` answers with an
//! error. Afterwards only a heartbeat (op 2; on `orrery.json.v1` a ping, of either kind; over HTTP any
//! request) moves the deadline: other traffic says that the network works, not that the device means to
//! stay.

mod goim;
mod json;

use bytes::Bytes;
use orrery_model::message::CloseReason;
use orrery_model::{Id, Seq};

use crate::accepts::{Accepts, Audience};
use crate::action::{Action, Close};
use crate::close::code_and_word;
use crate::decoder::Input;
use crate::dialect::Dialect;
use crate::error::Violation;
use crate::json::{ErrorCode, RequestId, ServerMessage};
use crate::websocket_frame;

/// What logic decided about a device, once its routes are bound.
#[derive(Debug, Clone, Copy)]
pub struct Established<'a> {
    /// The user, where there is one.
    pub user: Option<&'a Id>,
    /// The connection's key.
    pub key: &'a Id,
    /// The connection's seq on its primary address.
    pub seq: Seq,
    /// How often the device should give a sign of life, in milliseconds.
    pub heartbeat_ms: u32,
    /// How long it may stay silent, in milliseconds.
    pub heartbeat_max_ms: u32,
}

/// One connection's conversation. Small, since a comet holds one for each of its connections.
#[derive(Debug)]
pub struct Session {
    dialect: Dialect,
    phase: Phase,
    heartbeat_max_ms: u32,
    deadline_ms: u64,
    accepts: Accepts,
}

#[derive(Debug)]
enum Phase {
    /// Nothing accepted yet.
    Handshake,
    /// Logic has been asked; what the answer must echo.
    Authenticating(Asked),
    /// Known to the cluster.
    Ready,
    /// Over: every input is ignored.
    Closed,
}

#[derive(Debug)]
enum Asked {
    Goim { version: i16, seq: i32 },
    Json(Option<Box<RequestId>>),
}

impl Session {
    /// A session that must be established before `handshake_deadline_ms`.
    pub fn new(dialect: Dialect, handshake_deadline_ms: u64) -> Self {
        Self {
            dialect,
            phase: Phase::Handshake,
            heartbeat_max_ms: 0,
            deadline_ms: handshake_deadline_ms,
            accepts: Accepts::default(),
        }
    }

    /// The protocol spoken.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether the device is known to the cluster and not yet closed.
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready)
    }

    /// Whether input is to be left undecoded until logic has answered.
    pub fn is_authenticating(&self) -> bool {
        matches!(self.phase, Phase::Authenticating(_))
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether a push goes to this device.
    pub fn admits(&self, audience: Audience, op: i32) -> bool {
        self.accepts.admits(audience, op)
    }

    /// The operations the device accepts now.
    pub fn accepts(&self) -> &Accepts {
        &self.accepts
    }

    /// When to call [`Session::handle_deadline`]; it may be later by the time it comes.
    pub fn deadline_ms(&self) -> Option<u64> {
        (!self.is_closed()).then_some(self.deadline_ms)
    }

    /// Takes what the device said.
    pub fn handle_input(&mut self, input: Input, now_ms: u64) -> Action {
        if self.is_closed() {
            return Action::Nothing;
        }
        match input {
            Input::Frame(frame) if !self.dialect.is_json() => self.handle_frame(frame, now_ms),
            Input::Text(text) if self.dialect.is_json() => self.handle_text(text, now_ms),
            Input::Ping(payload) => {
                if self.dialect.is_json() {
                    self.refresh(now_ms);
                }
                match self.dialect {
                    Dialect::Http => Action::Nothing,
                    _ => Action::Reply(websocket_frame::pong(&payload)),
                }
            }
            Input::Pong => Action::Nothing,
            Input::Close(code) => self.handle_goodbye(code),
            // A decoder of the session's own dialect never gives these.
            Input::Frame(_) | Input::Text(_) => Action::Close(self.close(CloseReason::BadProtocol)),
        }
    }

    /// Takes logic's consent, once the connection is bound. Returns what to write, or none when there
    /// is nothing to consent to: the session is over by now, and the caller unbinds.
    pub fn handle_established(
        &mut self,
        established: &Established<'_>,
        accepts: Accepts,
        now_ms: u64,
    ) -> Option<Bytes> {
        let asked = match &mut self.phase {
            Phase::Authenticating(Asked::Goim { version, seq }) => {
                Asked::Goim { version: *version, seq: *seq }
            }
            Phase::Authenticating(Asked::Json(id)) => Asked::Json(id.take()),
            Phase::Handshake | Phase::Ready | Phase::Closed => return None,
        };
        self.phase = Phase::Ready;
        self.accepts = accepts;
        self.heartbeat_max_ms = established.heartbeat_max_ms;
        self.refresh(now_ms);
        Some(match asked {
            Asked::Goim { version, seq } => self.auth_reply(version, seq),
            Asked::Json(id) => ServerMessage::Welcome {
                id: id.map(|id| *id),
                key: established.key.to_string(),
                user: established.user.map(Id::to_string),
                seq: Some(established.seq.0),
                heartbeat_ms: established.heartbeat_ms,
                heartbeat_max_ms: established.heartbeat_max_ms,
            }
            .frame(self.dialect),
        })
    }

    /// Takes logic's refusal. `detail` is told to devices of `orrery.json.v1`.
    pub fn handle_refused(&mut self, detail: &str) -> Close {
        let error = match &mut self.phase {
            Phase::Authenticating(Asked::Json(id)) => {
                let id = id.take().map(|id| *id);
                ServerMessage::error(ErrorCode::Unauthorized, detail, id).frame(self.dialect)
            }
            _ => Bytes::new(),
        };
        let mut close = self.close(CloseReason::Unauthorized);
        close.farewell = [error, close.farewell].concat().into();
        close
    }

    /// Takes a violation that the decoder found.
    pub fn handle_violation(&mut self, violation: &Violation) -> Close {
        let detail = violation.to_string();
        self.close_with(CloseReason::BadProtocol, violation.close_code(), &detail)
    }

    /// Takes the time. Returns how to close when the deadline has passed.
    pub fn handle_deadline(&mut self, now_ms: u64) -> Option<Close> {
        let reason = match self.phase {
            _ if now_ms < self.deadline_ms => return None,
            Phase::Closed => return None,
            Phase::Ready => CloseReason::Silent,
            Phase::Handshake | Phase::Authenticating(_) => CloseReason::HandshakeTimeout,
        };
        Some(self.close(reason))
    }

    /// Ends the session for a reason of the caller's.
    pub fn close(&mut self, reason: CloseReason) -> Close {
        let (code, word) = code_and_word(reason);
        self.close_with(reason, code, word)
    }

    /// Ends the session because the comet goes away. A device that has a protocol for it is told when to come back, and
    /// where else.
    pub fn drain(&mut self, retry_after_ms: u32, nodes: Vec<String>) -> Close {
        let mut close = self.close(CloseReason::Drain);
        if !close.farewell.is_empty() {
            let hint = ServerMessage::Drain { retry_after_ms, nodes }.frame(self.dialect);
            close.farewell = [hint, close.farewell].concat().into();
        }
        close
    }

    fn close_with(&mut self, reason: CloseReason, code: u16, words: &str) -> Close {
        let over = std::mem::replace(&mut self.phase, Phase::Closed);
        let farewell = match self.dialect {
            _ if matches!(over, Phase::Closed) => Bytes::new(),
            Dialect::Tcp | Dialect::WebSocket => Bytes::new(),
            Dialect::Json => websocket_frame::close(code, words),
            Dialect::Http => {
                ServerMessage::Close { code, reason: words.to_owned() }.frame(self.dialect)
            }
        };
        Close { reason, farewell }
    }

    fn handle_goodbye(&mut self, code: Option<u16>) -> Action {
        self.phase = Phase::Closed;
        Action::Goodbye(match (self.dialect, code) {
            (Dialect::Json, Some(code)) => websocket_frame::close(code, ""),
            (Dialect::Json, None) => websocket_frame::close_empty(),
            // goim ends the connection without a close frame.
            (Dialect::Tcp | Dialect::WebSocket | Dialect::Http, _) => Bytes::new(),
        })
    }

    /// Moves the deadline of an established session.
    fn refresh(&mut self, now_ms: u64) {
        if self.is_ready() {
            self.deadline_ms = now_ms.saturating_add(u64::from(self.heartbeat_max_ms));
        }
    }
}
