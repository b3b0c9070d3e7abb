//! Taking: what a device makes of the answers to its requests.

use std::time::Duration;

use futures_util::FutureExt;
use orrery_comet_core::close::codes;
use orrery_comet_core::json::ServerMessage;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::HttpWire;
use super::ending::Over;
use super::event_stream::Block;
use super::exchange::{Received, Unsaid, read};
use super::link::Answer;
use super::retry::Retry;
use super::words::Words;
use crate::limits::{HTTP_GRACE, HTTP_OVER_FAILING_MAX, HTTP_WAIT_MAX};
use crate::wire::Incoming;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered {
    session: Option<String>,
    cursor: Option<String>,
    wait_ms: Option<u64>,
    events: Vec<Value>,
}

impl HttpWire {
    pub(super) fn take(&mut self, received: Received) {
        match received {
            Received::Answer(link, answer) => {
                self.events = link;
                self.take_answer(&answer);
            }
            Received::Stream(link, body, piece) => {
                if let Some(piece) = piece {
                    self.take_text(&piece);
                }
                let silence_max = self.wait + HTTP_GRACE;
                self.receiving = Some(read(link, body, silence_max).boxed());
            }
            Received::Ended(link) => {
                self.events = Some(link);
                // It ends now and then, for us to come back; but a comet always says something.
                if self.stream.is_empty() {
                    self.fail("a stream had no word in it".to_owned());
                }
            }
            Received::Failed(why) => self.fail(why),
        }
    }

    /// Asks again with the same cursor, as long as the session may be there.
    fn fail(&mut self, why: String) {
        // A hello is not said twice: its session may be there.
        if self.session.is_none() || !self.retry.failed(Instant::now()) {
            self.give_up(why);
        }
    }

    fn take_answer(&mut self, answer: &Answer) {
        let is_refused = answer.status != 200;
        if self.session.is_none() && is_refused {
            self.retry_after = answer.retry_after;
        }
        let told = || format!("answered with {}", answer.status);
        let answered = serde_json::from_slice::<Answered>(&answer.body).unwrap_or_default();
        if let (false, Some(cursor)) = (is_refused, answered.cursor) {
            self.session = answered.session.or(self.session.take());
            self.cursor = cursor;
            let wait = answered.wait_ms.map_or(self.wait, Duration::from_millis);
            self.wait = wait.min(HTTP_WAIT_MAX);
            self.retry.succeeded();
        } else if answered.events.is_empty() {
            // Too much was asked for at once, which says nothing of the session.
            match Words::of(answer).filter(|_| answer.status != 429) {
                Some(Words::Over(code, reason)) => return self.end(code, reason),
                Some(Words::Wrong(code, message)) => {
                    // It is the hello that cannot be taken, by any comet and at any time.
                    if self.session.is_none() && matches!(answer.status, 400 | 413) {
                        let refused = ServerMessage::error(code, &message, None);
                        self.arrived.push_back(Incoming::Json(refused));
                    }
                    return self.give_up(message);
                }
                None => {}
            }
            self.pause_min = answer.retry_after;
            return match self.session {
                None if answer.status == 503 => self.end(Some(codes::TRY_AGAIN_LATER), told()),
                // A proxy's word, or that of a comet that has no place for the connection.
                _ => self.fail(told()),
            };
        }
        answered.events.into_iter().for_each(|event| self.take_event(event));
    }

    /// Nobody knows whether it was carried out: it is not said twice.
    pub(super) fn take_unsaid(&mut self, unsaid: Unsaid) {
        let answer = match unsaid {
            Unsaid::Failed(why) => return self.give_up(why),
            Unsaid::Answered(answer) => answer,
        };
        match Words::of(&answer) {
            // There may be an answer on its way, or more to ask for, its end among it.
            Some(Words::Over(code, reason)) => {
                let until = sleep(self.retry.longest()).boxed();
                self.retry.shorten(HTTP_OVER_FAILING_MAX);
                self.over = Some(Over { code, reason, until });
            }
            Some(Words::Wrong(_, why)) => self.give_up(why),
            None => self.give_up(format!("what was said was answered with {}", answer.status)),
        }
    }

    fn take_text(&mut self, piece: &[u8]) {
        let Ok(blocks) = self.stream.take(piece) else {
            return self.give_up("an event is too long".to_owned());
        };
        for Block { cursor, event } in blocks {
            // The stream is one of a session that lives.
            self.retry.succeeded();
            if let Some(cursor) = cursor {
                self.cursor = cursor;
            }
            if let Some(event) = event {
                self.take_event(event);
            }
        }
    }

    fn take_event(&mut self, event: Value) {
        if self.ended.is_some() {
            return;
        }
        match ServerMessage::deserialize(event) {
            Ok(ServerMessage::Close { code, reason }) => self.end(Some(code), reason),
            Ok(ServerMessage::Other) => {}
            Ok(message) => {
                if let ServerMessage::Welcome { heartbeat_max_ms, .. } = &message {
                    self.silence_max = Duration::from_millis((*heartbeat_max_ms).into());
                    let session = self.session.as_deref().unwrap_or("");
                    self.retry = Retry::new(session, self.silence_max);
                }
                self.arrived.push_back(Incoming::Json(message));
            }
            Err(error) => self.give_up(format!("unreadable message: {error}")),
        }
    }
}
