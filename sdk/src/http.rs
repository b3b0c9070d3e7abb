//! HTTP: a session by long-poll or SSE, over as many requests and connections as it takes.

mod link;
mod retry;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::body::Incoming as Body;
use orrery_comet_core::close::codes;
use orrery_comet_core::json::{ErrorCode, ServerMessage};
use orrery_host::Net;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use self::link::{Answer, Door, Link, drive, within};
use self::retry::Retry;
use crate::limits::{HTTP_GOODBYE_MAX, HTTP_GRACE, HTTP_WAIT, STREAM_LINE_BYTES_MAX};
use crate::wire::{Incoming, Outgoing};

/// How events are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Poll,
    Sse,
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
    /// The beginning of an event of a stream.
    text: BytesMut,
    /// Whether no event and no comment came on the stream that is open.
    is_empty: bool,
    retry: Retry,
    /// After how long the comet asked to come back for events.
    pause_min: Option<Duration>,
    /// How long the device may be silent; nothing before it is welcome.
    silence_max: Duration,
    /// Why there is no more, and the goodbye that is said before anybody learns of it.
    ended: Option<(Option<u16>, String)>,
    leaving: Option<BoxFuture<'static, ()>>,
    retry_after: Option<Duration>,
}

/// What came of asking for events.
enum Received {
    Answer(Option<Link>, Answer),
    /// More of a stream.
    Stream(Link, Body, Option<Bytes>),
    Ended(Link),
    Failed(String),
}

/// Why something was not said, or nobody knows whether it was.
enum Unsaid {
    Answered(Answer),
    Failed(String),
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
            text: BytesMut::new(),
            is_empty: true,
            retry: Retry::new("", Duration::ZERO),
            pause_min: None,
            silence_max: Duration::ZERO,
            ended: None,
            leaving: None,
            retry_after: None,
        }
    }

    /// When the comet asked to come back, if it had no place.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    pub(crate) fn queue(&mut self, outgoing: Outgoing) {
        self.outgoing.push_back(match outgoing {
            Outgoing::Json(message) => message.to_text(),
            Outgoing::Text(text) => text,
            Outgoing::Frame(_) => unreachable!("HTTP carries JSON only"),
        });
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Incoming>> {
        loop {
            if let Some(end) = ready!(self.poll_end(cx)) {
                return Poll::Ready(Err(end));
            }
            if let Some(sending) = &mut self.sending {
                let sent = ready!(sending.poll_unpin(cx));
                self.sending = None;
                match sent {
                    Ok(link) => self.posts = Some(link),
                    Err(unsaid) => {
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
            if self.receiving.is_none() && !self.ask() {
                // Nothing is said yet, and whoever says something flushes it.
                return Poll::Pending;
            }
            let Some(receiving) = &mut self.receiving else { continue };
            let received = ready!(receiving.poll_unpin(cx));
            self.receiving = None;
            self.take(received);
        }
    }

    /// Says goodbye.
    pub(crate) async fn close(&mut self) {
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

    /// Begins to ask for events, or for a session; whether there is anything to ask.
    fn ask(&mut self) -> bool {
        let (door, link) = (self.door.clone(), self.events.take());
        let silence_max = self.wait + HTTP_GRACE;
        let Some(session) = &self.session else {
            let Some(hello) = self.outgoing.pop_front() else { return false };
            let hello = async move {
                fetch(&door, link, "POST", "/sub/poll", "", hello, silence_max).await
            };
            self.receiving = Some(hello.boxed());
            return true;
        };
        let (cursor, pause) = (&self.cursor, self.retry.pause(self.pause_min.take()));
        let (target, last_event_id) = match self.kind {
            Kind::Poll => (format!("/sub/poll?session={session}&cursor={cursor}"), String::new()),
            Kind::Sse => {
                self.text.clear();
                self.is_empty = true;
                (format!("/sub/events?session={session}&cursor={cursor}"), cursor.clone())
            }
        };
        let asking = async move {
            sleep(pause).await;
            fetch(&door, link, "GET", &target, &last_event_id, String::new(), silence_max).await
        };
        self.receiving = Some(asking.boxed());
        true
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
                if self.is_empty {
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
            if answer.status != 429 && self.take_words(answer) {
                return;
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

    /// Takes what a comet says in an answer of why it is not what was asked for. Returns whether it does.
    fn take_words(&mut self, answer: &Answer) -> bool {
        match ServerMessage::parse(&answer.body) {
            Ok(ServerMessage::Close { code, reason }) => self.end(Some(code), reason),
            Ok(ServerMessage::Error { code: ErrorCode::NoSuchSession, message, .. }) => {
                self.end(None, message);
            }
            Ok(ServerMessage::Error { message, .. }) => self.give_up(message),
            _ => return false,
        }
        true
    }

    /// Nobody knows whether it was carried out: it is not said twice.
    fn take_unsaid(&mut self, unsaid: Unsaid) {
        match unsaid {
            Unsaid::Failed(why) => self.give_up(why),
            Unsaid::Answered(answer) => {
                if !self.take_words(&answer) {
                    self.give_up(format!("what was said was answered with {}", answer.status));
                }
            }
        }
    }

    /// Reads the lines of a stream (WHATWG HTML, 9.2.6), as a comet writes them. The network cuts it anywhere.
    fn take_text(&mut self, piece: &[u8]) {
        if self.text.len() + piece.len() > STREAM_LINE_BYTES_MAX {
            return self.give_up("an event is too long".to_owned());
        }
        // What was there before has no end of a block in it.
        let mut from = self.text.len().saturating_sub(1);
        self.text.extend_from_slice(piece);
        while let Some(end) = self.text[from..].windows(2).position(|pair| pair == b"\n\n") {
            let block = self.text.split_to(from + end);
            self.text.advance(2);
            from = 0;
            for line in block.as_ref().split(|byte: &u8| *byte == b'\n') {
                if let Some(id) = line.strip_prefix(b"id: ") {
                    self.was_told();
                    self.cursor = String::from_utf8_lossy(id).into_owned();
                } else if let Some(data) = line.strip_prefix(b"data: ") {
                    self.take_event(serde_json::from_slice(data).unwrap_or_default());
                } else if line.starts_with(b":") {
                    self.was_told();
                }
                // Else when to come back, which it says before it knows whether there is anything to say.
            }
        }
        if self.text.is_empty() {
            self.text = BytesMut::new();
        }
    }

    /// The stream is one of a session that lives.
    fn was_told(&mut self) {
        self.is_empty = false;
        self.retry.succeeded();
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
            if let Some(session) = self.session.take() {
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
        let Some((code, reason)) = &self.ended else { return Poll::Ready(None) };
        if let Some(leaving) = &mut self.leaving {
            ready!(leaving.poll_unpin(cx));
            self.leaving = None;
        }
        Poll::Ready(Some(Incoming::Closed { code: *code, reason: reason.clone() }))
    }
}

/// Asks for something, over a connection that is there or another one. Silence for too long is a failure.
async fn fetch(
    door: &Door,
    link: Option<Link>,
    method: &'static str,
    target: &str,
    last_event_id: &str,
    body: String,
    silence_max: Duration,
) -> Received {
    let asked = async {
        let mut link = door.link(link).await?;
        let response = link.ask(door, method, target, last_event_id, body).await?;
        Ok::<_, String>((link, response))
    };
    let (mut link, response) = match within(silence_max, asked).await.flatten() {
        Ok(asked) => asked,
        Err(error) => return Received::Failed(error),
    };
    if link::is_stream(&response) {
        return Received::Stream(link, response.into_body(), None);
    }
    match link.collect(response, silence_max).await {
        Ok(answer) => Received::Answer(answer.keeps.then_some(link), answer),
        Err(error) => Received::Failed(error),
    }
}

/// Reads the next piece of a stream.
async fn read(mut link: Link, mut body: Body, silence_max: Duration) -> Received {
    match within(silence_max, drive(&mut link.connection, body.frame())).await {
        Ok(Some(Ok(frame))) => Received::Stream(link, body, frame.into_data().ok()),
        Ok(Some(Err(error))) => Received::Failed(error.to_string()),
        Ok(None) => {
            link.rest();
            Received::Ended(link)
        }
        Err(silence) => Received::Failed(silence),
    }
}

/// Says something. A comet for which it is too much has not carried it out: it is said again, after a pause.
async fn send(
    door: &Door,
    mut link: Option<Link>,
    target: &str,
    text: &str,
    limit: Duration,
    mut retry: Option<Retry>,
) -> Result<Link, Unsaid> {
    loop {
        let asked = async {
            let mut link = door.link(link.take()).await?;
            let response = link.ask(door, "POST", target, "", text.to_owned()).await?;
            let answer = link.collect(response, limit).await?;
            Ok::<_, String>((link, answer))
        };
        let asked = timeout(limit, asked).await;
        let asked =
            asked.unwrap_or_else(|_| Err("what was said was not answered in time".to_owned()));
        let (said, answer) = asked.map_err(Unsaid::Failed)?;
        match (answer.status, &mut retry) {
            (204, _) => return Ok(said),
            (429, Some(retry)) => {
                if !retry.failed(Instant::now()) {
                    return Err(Unsaid::Answered(answer));
                }
                link = answer.keeps.then_some(said);
                sleep(retry.pause(answer.retry_after)).await;
            }
            _ => return Err(Unsaid::Answered(answer)),
        }
    }
}

#[cfg(test)]
mod tests {
    use orrery_host::Host;

    use super::*;

    #[tokio::test]
    async fn a_stream_means_the_same_in_any_cut() {
        let message = r#"{"type":"message","op":9,"data":"zwölf ☃"}"#;
        let text = format!("retry: 1\n\nid: 7\ndata: {message}\n\n:\n\nid: 8\ndata: {message}\n\n");
        for cut in 0..=text.len() {
            let mut wire = HttpWire::new(Host::system().net, "nowhere:1", Kind::Sse, HTTP_WAIT);
            wire.take_text(&text.as_bytes()[..cut]);
            wire.take_text(&text.as_bytes()[cut..]);
            assert_eq!((wire.cursor.as_str(), wire.arrived.len()), ("8", 2), "{cut}");
            let expected = ServerMessage::parse(message.as_bytes()).unwrap();
            for incoming in &wire.arrived {
                assert!(matches!(incoming, Incoming::Json(found) if *found == expected), "{cut}");
            }
        }
    }

    #[tokio::test]
    async fn an_event_without_an_end_is_not_kept() {
        let mut wire = HttpWire::new(Host::system().net, "nowhere:1", Kind::Sse, HTTP_WAIT);
        wire.take_text(&vec![b'x'; STREAM_LINE_BYTES_MAX]);
        assert!(wire.arrived.is_empty());
        wire.take_text(b"x");
        assert!(wire.ended.is_some() && wire.text.len() == STREAM_LINE_BYTES_MAX);
    }
}
