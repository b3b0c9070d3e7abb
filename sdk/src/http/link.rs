//! Link: one connection to a comet, on which requests follow one another.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use orrery_host::Net;
use tokio::time::{Instant, timeout};

use crate::limits::{ANSWER_BYTES_MAX, LINK_IDLE_MAX};

/// The connection's own work, until it ends.
type Connection = Option<BoxFuture<'static, ()>>;

/// Where a comet is.
pub(super) struct Door {
    pub(super) net: Arc<dyn Net>,
    pub(super) address: String,
}

/// One connection.
pub(super) struct Link {
    requests: SendRequest<Full<Bytes>>,
    pub(super) connection: Connection,
    /// Since when nothing is asked on it.
    idle_since: Instant,
}

/// An answer that is no stream.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
    pub(super) retry_after: Option<Duration>,
    /// Whether the connection stays for more.
    pub(super) keeps: bool,
}

impl Door {
    /// A connection: this one if it is still there, else a new one.
    pub(super) async fn link(&self, link: Option<Link>) -> Result<Link, String> {
        if let Some(mut link) = link {
            // A comet closes a connection on which nothing is asked for a while, maybe right now: what is said
            // then is lost, and nobody knows that it was not carried out.
            link.look();
            let is_fresh = link.idle_since.elapsed() < LINK_IDLE_MAX;
            if is_fresh && link.connection.is_some() && link.requests.is_ready() {
                return Ok(link);
            }
        }
        let stream = self.net.connect(&self.address).await.map_err(|error| error.to_string())?;
        let (requests, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // What is wrong with it is what its requests say.
        let connection = connection.map(|_| ()).boxed();
        let mut link = Link { requests, connection: Some(connection), idle_since: Instant::now() };
        let ready = link.requests.ready();
        drive(&mut link.connection, ready).await.map_err(|error| error.to_string())?;
        Ok(link)
    }
}

impl Link {
    /// Lets the connection notice that it has ended.
    fn look(&mut self) {
        if let Some(connection) = &mut self.connection
            && connection.now_or_never().is_some()
        {
            self.connection = None;
        }
    }

    /// Nothing is asked on it any more.
    pub(super) fn rest(&mut self) {
        self.idle_since = Instant::now();
    }

    /// Sends a request and waits for the head of its answer.
    pub(super) async fn ask(
        &mut self,
        door: &Door,
        method: &'static str,
        target: &str,
        last_event_id: &str,
        body: String,
    ) -> Result<Response<Incoming>, String> {
        let mut request = Request::builder().method(method).uri(target).header(HOST, &door.address);
        if !last_event_id.is_empty() {
            request = request.header(HeaderName::from_static("last-event-id"), last_event_id);
        }
        let request =
            request.body(Full::new(Bytes::from(body))).map_err(|error| error.to_string())?;
        let response = self.requests.send_request(request);
        drive(&mut self.connection, response).await.map_err(|error| error.to_string())
    }

    /// Reads all of an answer. Silence for too long is a failure.
    pub(super) async fn collect(
        &mut self,
        response: Response<Incoming>,
        silence_max: Duration,
    ) -> Result<Answer, String> {
        let status = response.status().as_u16();
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        let seconds = header(RETRY_AFTER).and_then(|text| text.parse().ok());
        let keeps = header(CONNECTION) != Some("close");
        let mut pieces = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
        let mut body = BytesMut::new();
        loop {
            let piece = drive(&mut self.connection, pieces.frame());
            let Some(piece) = within(silence_max, piece).await? else { break };
            let piece = piece.map_err(|error| error.to_string())?;
            body.extend_from_slice(piece.data_ref().map_or(&[], |data| data.as_ref()));
        }
        self.rest();
        let retry_after = seconds.map(Duration::from_secs);
        Ok(Answer { status, body: body.freeze(), retry_after, keeps })
    }
}

/// Whether an answer is a stream of events.
pub(super) fn is_stream(response: &Response<Incoming>) -> bool {
    let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    // Networks in between may add parameters, or write it in their own way (RFC 9110, 8.3.1).
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("text/event-stream")
}

/// Waits for some work, but not for ever: a network that forgot a connection says nothing of it.
pub(super) async fn within<T>(
    silence_max: Duration,
    work: impl Future<Output = T>,
) -> Result<T, String> {
    let done = timeout(silence_max, work).await;
    done.map_err(|_| format!("nothing came within {silence_max:?}"))
}

/// Does some work over a connection, which lives only while it is looked after.
pub(super) async fn drive<T>(connection: &mut Connection, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|cx| {
        if let Some(living) = connection
            && living.poll_unpin(cx).is_ready()
        {
            *connection = None;
        }
        // It may have come with the end.
        match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
