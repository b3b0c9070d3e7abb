//! HTTP: a session by long-poll or SSE, over as many requests and connections as it takes.

mod ending;
mod event_stream;
mod exchange;
mod link;
mod retry;
mod taking;
mod words;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use orrery_host::Net;
use tokio::time::{Instant, sleep};

use self::ending::Over;
use self::event_stream::EventStream;
pub(crate) use self::event_stream::read_in_pieces;
use self::exchange::{Received, Unsaid, fetch, send};
use self::link::{Door, Link};
use self::retry::Retry;
use crate::limits::{HTTP_ARRIVED_MAX, HTTP_GRACE, HTTP_WAIT};
use crate::wire::{Incoming, Outgoing};

/// How events are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Poll,
    Sse,
}

/// What a device says is heard by nobody any more. Reading finds out why, behind what is left to be read.
pub(crate) struct Unheard;

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
}
