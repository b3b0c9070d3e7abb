//! HTTP: a session by long-poll or SSE, over as many requests and connections as it takes.

mod event_stream;
mod exchange;
mod link;
mod retry;
mod words;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orrery_comet_core::close::codes;
use orrery_comet_core::json::ServerMessage;
use orrery_host::Net;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use self::event_stream::{Block, EventStream};
use self::exchange::{Received, Unsaid, fetch, read, send};
use self::link::{Answer, Door, Link};
use self::retry::Retry;
use self::words::Words;
use crate::limits::{
    HTTP_ARRIVED_MAX, HTTP_GOODBYE_MAX, HTTP_GRACE, HTTP_OVER_FAILING_MAX, HTTP_WAIT,
};
use crate::wire::{Incoming, Outgoing};

/// How events are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Poll,
    Sse,
}

/// What a device says is heard by nobody any more. Reading finds out why, behind what is left to be read.
pub(crate) struct Unheard;

/// What a comet said of a session that is over, to a device that had something to say.
struct Over {
    code: Option<u16>,
    reason: String,
    /// How long the device asks for the rest: the comet keeps it for a minute.
    until: BoxFuture<'static, ()>,
}

pub(crate) struct HttpWire {
    door: Arc<Door>,
    kind: Kind,
    /// Once the hello is answered.
    session: Option<String>,
    cursor: String,
    /// How long the comet lets a poll wait, or is quiet on a stream.
    wait: Duration,
    /// How long the answer to what is said may take.
    answer_timeout: Duration,
    outgoing: VecDeque<String>,
    arrived: VecDeque<Incoming>,
    receiving: Option<BoxFuture<'static, Received>>,
    sending: Option<BoxFuture<'static, Result<Link, Unsaid>>>,
    /// Connections that nothing is asked on: of events, and of what the device says.
    events: Option<Link>,
    posts: Option<Link>,
    /// The stream that is open.
    stream: EventStream,
    retry: Retry,
    /// After how long the comet asked to come back for events.
    pause_min: Option<Duration>,
    /// How long the device may be silent; nothing before it is welcome.
    silence_max: Duration,
    /// Nothing more can be said, and there may be more to hear.
    over: Option<Over>,
    /// Why there is no more, and the goodbye that is said before anybody learns of it.
    ended: Option<(Option<u16>, String)>,
    leaving: Option<BoxFuture<'static, ()>>,
    retry_after: Option<Duration>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answered {
    session: Option<String>,
    cursor: Option<String>,
    wait_ms: Option<u64>,
    events: Vec<Value>,
}

impl HttpWire {
    pub(crate) fn new(
        net: Arc<dyn Net>,
        address: &str,
        kind: Kind,
        answer_timeout: Duration,
    ) -> Self {
        Self {
            door: Arc::new(Door { net, address: address.to_owned() }),
            kind,
            session: None,
            cursor: "0".to_owned(),
            wait: HTTP_WAIT,
            answer_timeout,
            outgoing: VecDeque::new(),
            arrived: VecDeque::new(),
            receiving: None,
            sending: None,
            events: None,
            posts: None,
            stream: EventStream::default(),
            retry: Retry::new("", Duration::ZERO),
            pause_min: None,
            silence_max: Duration::ZERO,
            over: None,
            ended: None,
            leaving: None,
            retry_after: None,
        }
    }

    /// When the comet asked to come back, if it had no place.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Since when asking for events fails, if it does.
    pub(crate) fn failing_since(&self) -> Option<Instant> {
        self.retry.since()
    }

    pub(crate) fn queue(&mut self, outgoing: Outgoing) {
        self.outgoing.push_back(match outgoing {
            Outgoing::Json(message) => message.to_text(),
            Outgoing::Text(text) => text,
            Outgoing::Frame(_) => unreachable!("HTTP carries JSON only"),
        });
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Unheard>> {
        loop {
            if self.over.is_some() || ready!(self.poll_end(cx)).is_some() {
                self.outgoing.clear();
                return Poll::Ready(Err(Unheard));
            }
            if let Some(sending) = &mut self.sending {
                let Poll::Ready(sent) = sending.poll_unpin(cx) else {
                    // It may take long, and there is nobody else who hears what the comet says meanwhile.
                    while self.has_room() && self.poll_events(cx).is_ready() {}
                    if self.ended.is_some() {
                        continue;
                    }
                    return Poll::Pending;
                };
                self.sending = None;
                match sent {
                    Ok(link) => self.posts = Some(link),
                    Err(unsaid) => {
                        self.hear(cx);
                        self.take_unsaid(unsaid);
                        continue;
                    }
                }
            }
            // The hello is sent by whoever waits for its answer.
            let (Some(session), false) = (&self.session, self.outgoing.is_empty()) else {
                return Poll::Ready(Ok(()));
            };
            let target = format!("/sub/send?session={session}");
            let text = self.outgoing.pop_front().unwrap_or_default();
            let retry = Retry::new(session, self.silence_max);
            self.sending = Some(self.say(target, text, Some(retry)));
        }
    }

    pub(crate) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        loop {
            if let Some(incoming) = self.arrived.pop_front() {
                return Poll::Ready(incoming);
            }
            if let Some(end) = ready!(self.poll_end(cx)) {
                return Poll::Ready(end);
            }
            if self.poll_events(cx).is_pending() {
                ready!(self.poll_late(cx));
            }
        }
    }

    /// Whether more may arrive before what has is taken.
    fn has_room(&self) -> bool {
        self.ended.is_none() && self.arrived.len() < HTTP_ARRIVED_MAX
    }

    /// Ends a session that is over where nothing that is heard does so for too long.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(over) = &mut self.over else { return Poll::Pending };
        ready!(over.until.poll_unpin(cx));
        let (code, reason) = (over.code, over.reason.clone());
        self.end(code, reason);
        Poll::Ready(())
    }

    /// Takes what has been received by now, be there room for it or not: it might be the last.
    fn hear(&mut self, cx: &mut Context<'_>) {
        while self.receiving.is_some() && self.poll_events(cx).is_ready() && self.has_room() {}
    }

    /// Asks for events, or for a session, and takes what is received.
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.receiving.is_none() {
            self.ask();
        }
        // Nothing is said yet, and whoever says something flushes it.
        let Some(receiving) = &mut self.receiving else { return Poll::Pending };
        let received = ready!(receiving.poll_unpin(cx));
        self.receiving = None;
        self.take(received);
        Poll::Ready(())
    }

    /// Says goodbye.
    pub(crate) async fn close(&mut self) {
        if let Some(leaving) = self.leaving.take() {
            return leaving.await;
        }
        if self.over.is_some() {
            return;
        }
        let Some(session) = self.session.take() else { return };
        let target = format!("/sub/close?session={session}");
        // The session ends all the same, only later.
        let _ = self.say(target, String::new(), None).await;
    }

    /// Says something, again as long as the retry lasts where it was not carried out.
    fn say(
        &mut self,
        target: String,
        text: String,
        retry: Option<Retry>,
    ) -> BoxFuture<'static, Result<Link, Unsaid>> {
        let (door, link, limit) = (self.door.clone(), self.posts.take(), self.answer_timeout);
        async move { send(&door, link, &target, &text, limit, retry).await }.boxed()
    }

    /// Begins to ask for events, or for a session, if there is anything to ask.
    fn ask(&mut self) {
        let (door, link) = (self.door.clone(), self.events.take());
        let silence_max = self.wait + HTTP_GRACE;
        let Some(session) = &self.session else {
            let Some(hello) = self.outgoing.pop_front() else { return };
            let hello = async move {
                fetch(&door, link, "POST", "/sub/poll", "", hello, silence_max).await
            };
            self.receiving = Some(hello.boxed());
            return;
        };
        let (cursor, pause) = (&self.cursor, self.retry.pause(self.pause_min.take()));
        let (target, last_event_id) = match self.kind {
            Kind::Poll => (format!("/sub/poll?session={session}&cursor={cursor}"), String::new()),
            Kind::Sse => {
                self.stream = EventStream::default();
                (format!("/sub/events?session={session}&cursor={cursor}"), cursor.clone())
            }
        };
        let asking = async move {
            sleep(pause).await;
            fetch(&door, link, "GET", &target, &last_event_id, String::new(), silence_max).await
        };
        self.receiving = Some(asking.boxed());
    }

    fn take(&mut self, received: Received) {
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
            self.wait = answered.wait_ms.map_or(self.wait, Duration::from_millis);
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
    fn take_unsaid(&mut self, unsaid: Unsaid) {
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

    /// Ends a session that may be there: its comet is told, for which it would be bound until it is silent for too long.
    fn give_up(&mut self, reason: String) {
        if self.ended.is_none() {
            self.end(None, reason);
            if self.over.is_none()
                && let Some(session) = self.session.take()
            {
                let target = format!("/sub/close?session={session}");
                let said = timeout(HTTP_GOODBYE_MAX, self.say(target, String::new(), None));
                self.leaving = Some(said.map(drop).boxed());
            }
        }
    }

    fn end(&mut self, code: Option<u16>, reason: String) {
        self.ended.get_or_insert((code, reason));
    }

    /// The end, where there is one and the goodbye is said.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        let Some((mut code, mut reason)) = self.ended.clone() else { return Poll::Ready(None) };
        if let Some(leaving) = &mut self.leaving {
            ready!(leaving.poll_unpin(cx));
            self.leaving = None;
        }
        // What ended without a code says less than the comet did to what was said.
        if let (None, Some(over)) = (code, &self.over) {
            (code, reason) = (over.code, over.reason.clone());
        }
        Poll::Ready(Some(Incoming::Closed { code, reason }))
    }
}
