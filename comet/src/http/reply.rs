//! Reply: the body of a response: all of it at once, or a stream of events.

use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use orrery_comet_core::http::{self, Cursor};
use tokio::time::{Instant, Sleep, sleep_until};

use super::session::{Next, PollSession};
use super::socket::{Given, OnFlush};

/// The body of a response.
pub(super) enum Reply {
    /// At once, and what it gives.
    Whole(Option<Whole>),
    /// As long as it lasts.
    Stream(Box<EventStream>),
}

/// A body that is there.
pub(super) struct Whole {
    bytes: Bytes,
    given: Option<(Rc<OnFlush>, Given)>,
}

impl Reply {
    /// A body that gives no events.
    pub(super) fn plain(bytes: Bytes) -> Self {
        Self::Whole(Some(Whole { bytes, given: None }))
    }

    /// A body that gives events.
    pub(super) fn giving(bytes: Bytes, on_flush: Rc<OnFlush>, given: Given) -> Self {
        Self::Whole(Some(Whole { bytes, given: Some((on_flush, given)) }))
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let chunk = match self.get_mut() {
            Self::Stream(stream) => stream.poll_chunk(cx),
            Self::Whole(whole) => Poll::Ready(whole.take().map(|Whole { bytes, given }| {
                if let Some((on_flush, given)) = given {
                    on_flush.add(given);
                }
                bytes
            })),
        };
        chunk.map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.as_ref().is_none_or(|whole| whole.bytes.is_empty()),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => {
                SizeHint::with_exact(whole.as_ref().map_or(0, |whole| whole.bytes.len() as u64))
            }
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// A session's events as they come, until another request wants them, its time is over, or the session.
pub(super) struct EventStream {
    session: Arc<PollSession>,
    turn: u64,
    after: Cursor,
    on_flush: Rc<OnFlush>,
    has_begun: bool,
    /// Whether it had events or a comment.
    has_spoken: bool,
    ends: Instant,
    /// How long the stream may be quiet.
    quiet_max: Duration,
    quiet: Pin<Box<Sleep>>,
}

impl EventStream {
    pub(super) fn new(
        session: Arc<PollSession>,
        turn: u64,
        after: Cursor,
        on_flush: Rc<OnFlush>,
        quiet_max: Duration,
    ) -> Self {
        let now = Instant::now();
        let ends = now + session.stay();
        let quiet = Box::pin(sleep_until(ends.min(now + quiet_max)));
        Self {
            session,
            turn,
            after,
            on_flush,
            has_begun: false,
            has_spoken: false,
            ends,
            quiet_max,
            quiet,
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if !self.has_begun {
            self.has_begun = true;
            let retry_ms = self.session.retry().as_millis();
            return Poll::Ready(Some(http::begin_stream(
                u64::try_from(retry_ms).unwrap_or(u64::MAX),
            )));
        }
        // The next events only when a socket has taken these: it wakes whoever waits for them.
        let next = match self.on_flush.has(&self.session) {
            true => self.session.poll_after_flush(self.turn, cx),
            false => self.session.poll_next(self.turn, self.after, cx),
        };
        match next {
            Poll::Ready(Next::Events(events, upto, underway)) => {
                let text = http::stream(self.after, &events);
                let session = self.session.clone();
                self.on_flush.add(Given { session, upto, underway, orphan: None });
                self.after = upto;
                self.was_busy();
                return Poll::Ready(Some(text));
            }
            Poll::Ready(Next::Superseded | Next::Over) => return Poll::Ready(None),
            Poll::Pending => {}
        }
        std::task::ready!(self.quiet.as_mut().poll(cx));
        // One that ends with nothing in it would look as if something were wrong with it.
        if self.has_spoken && Instant::now() >= self.ends {
            return Poll::Ready(None);
        }
        self.was_busy();
        Poll::Ready(Some(Bytes::from_static(http::COMMENT)))
    }

    fn was_busy(&mut self) {
        self.has_spoken = true;
        let until = self.ends.min(Instant::now() + self.quiet_max);
        self.quiet.as_mut().reset(until);
    }
}
