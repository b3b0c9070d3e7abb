//! Visit: what is answered to the requests of one connection of HTTP.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderName};
use hyper::{Request, Response, StatusCode};
use orrery_comet_core::http::{self, Cursor, Refusal, SessionId, Verdict};
use orrery_comet_core::json::{BadMessage, ClientMessage};
use tokio::time::{Instant, timeout, timeout_at};

use super::body;
use super::reply::{EventStream, Reply};
use super::response::{self, close, empty, events, json, preflight};
use super::session::{Next, PollSession};
use super::socket::{Given, OnFlush, Orphan};
use crate::admission::{Handshake, Refused};
use crate::comet::Comet;
use crate::limits::{UNREAD_MAX, UNREAD_TIMEOUT};
use crate::mailbox::{Arrival, Transport};
use crate::worker::Worker;

type Answer = Result<Response<Reply>, Refusal>;

/// One connection of HTTP.
pub(super) struct Visit {
    worker: Rc<Worker>,
    remote: SocketAddr,
    on_flush: Rc<OnFlush>,
    /// Its place among those that are not authenticated, and until when it may have it; kept until it brings a hello or
    /// names a session.
    unnamed: RefCell<Option<(Handshake, Instant)>>,
}

impl Visit {
    pub(super) fn new(
        worker: Rc<Worker>,
        remote: SocketAddr,
        on_flush: Rc<OnFlush>,
        unnamed: (Handshake, Instant),
    ) -> Self {
        Self { worker, remote, on_flush, unnamed: RefCell::new(Some(unnamed)) }
    }

    /// Answers a request. After a refusal the connection closes: who sends what is refused gets no more of it for one
    /// place at the door. So it does after whatever else can be repeated without being counted. A drain is no reason: the
    /// next connection may be led to another comet, which does not know the session.
    pub(super) async fn answer(
        self: Rc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Reply>, Infallible> {
        let origin = request.headers().get(header::ORIGIN).cloned();
        let asked = read(&request);
        let expects = request.headers().contains_key(header::EXPECT);
        let mut body = request.into_body();
        let answered = match asked {
            Ok(asked) => self.carry_out(asked, &mut body).await,
            Err(refusal) => Err(refusal),
        };
        let mut response =
            answered.unwrap_or_else(|refusal| response::refused(self.comet(), &refusal));
        let is_unread = match response.status() {
            // What it has is on its way.
            StatusCode::PAYLOAD_TOO_LARGE => true,
            // It had its time.
            StatusCode::REQUEST_TIMEOUT => false,
            // Who waits to be told to go on has sent nothing, and is not told so.
            _ => !expects,
        };
        if is_unread && response.headers().contains_key(header::CONNECTION) {
            self.discard(&mut body).await;
        }
        response::finish(self.comet(), &mut response, origin);
        Ok(response)
    }

    async fn carry_out(&self, asked: http::Request, body: &mut Incoming) -> Answer {
        match asked {
            http::Request::Hello => {
                let deadline = self.deadline();
                self.greet(self.message(body, deadline).await?, deadline).await
            }
            http::Request::Poll { session, cursor, wait_ms } => {
                self.poll(&self.find(session)?, cursor, wait_ms).await
            }
            http::Request::Events { session, cursor } => {
                let session = self.find(session)?;
                let turn = session.begin(cursor, Instant::now())?;
                let is_over = session.is_over();
                let (on_flush, quiet_max) =
                    (self.on_flush.clone(), self.comet().config.poll_wait());
                let stream = EventStream::new(session, turn, cursor, on_flush, quiet_max);
                let mut response = events(Reply::Stream(Box::new(stream)));
                if is_over {
                    close(&mut response);
                }
                Ok(response)
            }
            http::Request::Send(session) => {
                let session = self.find(session)?;
                session.post(&self.message(body, self.deadline()).await?, Instant::now())?;
                Ok(empty())
            }
            http::Request::Close(session) => {
                self.find(session)?.hang_up();
                let mut response = empty();
                // Nobody counts how often a session is closed that is over.
                close(&mut response);
                Ok(response)
            }
            http::Request::Preflight => {
                let mut response = preflight();
                // It names no session, and would keep its place at the door for as long as it likes.
                close(&mut response);
                Ok(response)
            }
        }
    }

    /// Opens a session for a hello, and waits for what becomes of it until the deadline.
    async fn greet(&self, hello: Bytes, deadline: Instant) -> Answer {
        match ClientMessage::parse(&hello) {
            Ok(ClientMessage::Hello(_)) => {}
            Ok(other) => return Err(Refusal::NoHello(other.into_id())),
            Err(bad) => return Err(Refusal::BadMessage(bad)),
        }
        let comet = self.comet();
        // The session has a place of its own.
        self.unnamed.take();
        if self.worker.closing.is_cancelled() {
            return Err(Refusal::Overloaded);
        }
        let admitted = match comet.drain.is_on() {
            true => Err(Refused::Draining),
            false => comet.admission.admit(self.remote.ip()),
        };
        let place = admitted.map_err(|refused| {
            comet.metrics.refused(refused);
            Refusal::Overloaded
        })?;
        let now = Instant::now();
        let (session, stream) = comet.sessions.open();
        let orphan = Orphan::new(session.clone());
        session.post(&hello, now)?;
        let turn = session.begin(Cursor(0), now)?;
        let arrival = Arrival {
            stream: Box::new(stream),
            remote: self.remote,
            transport: Transport::Http,
            tls: None,
            place,
            deadline,
        };
        comet.workers.arrived(arrival).await;
        self.verdict(session, turn, orphan).await
    }

    async fn verdict(&self, session: Arc<PollSession>, turn: u64, orphan: Orphan) -> Answer {
        let (mut events, mut cursor) = (Vec::new(), Cursor(0));
        loop {
            let underway = match poll_fn(|cx| session.poll_next(turn, cursor, cx)).await {
                Next::Events(more, upto, underway) => {
                    events.extend(more);
                    cursor = upto;
                    underway
                }
                // Its worker took no more connections.
                Next::Superseded | Next::Over => return Err(Refusal::Overloaded),
            };
            match Verdict::of(&events) {
                Verdict::Open => {}
                Verdict::Welcome { heartbeat_max_ms } => {
                    session.welcome(Duration::from_millis(heartbeat_max_ms.into()));
                    let wait = session.wait(self.comet().config.poll_wait());
                    let until = Instant::now() + wait + self.comet().config.handshake();
                    session.has_to_be_claimed(until);
                    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                    let body = http::welcome(session.id(), cursor, wait_ms, &events);
                    let given = Given { session, upto: cursor, underway, orphan: Some(orphan) };
                    return Ok(json(StatusCode::OK, self.giving(body, given)));
                }
                Verdict::Refused(status) => {
                    let status = StatusCode::from_u16(status).expect("it is one of ours");
                    let mut response = json(status, Reply::plain(http::end(&events)));
                    if status == StatusCode::SERVICE_UNAVAILABLE {
                        response::come_back(self.comet(), &mut response);
                    }
                    close(&mut response);
                    return Ok(response);
                }
            }
        }
    }

    async fn poll(
        &self,
        session: &Arc<PollSession>,
        cursor: Cursor,
        wait_ms: Option<u64>,
    ) -> Answer {
        let turn = session.begin(cursor, Instant::now())?;
        let is_over = session.is_over();
        let longest = self.comet().config.poll_wait();
        let wait = wait_ms.map_or(longest, |ms| longest.min(Duration::from_millis(ms)));
        let next = poll_fn(|cx| session.poll_next(turn, cursor, cx));
        let reply = match timeout(session.wait(wait), next).await {
            Ok(Next::Events(events, upto, underway)) => {
                let given = Given { session: session.clone(), upto, underway, orphan: None };
                self.giving(http::events(upto, &events), given)
            }
            Ok(Next::Over) => return Err(session.refusal()),
            Ok(Next::Superseded) | Err(_) => Reply::plain(http::events(cursor, &[])),
        };
        let mut response = json(StatusCode::OK, reply);
        if is_over {
            close(&mut response);
        }
        Ok(response)
    }

    fn giving(&self, body: Bytes, given: Given) -> Reply {
        Reply::giving(body, self.on_flush.clone(), given)
    }

    fn find(&self, id: SessionId) -> Result<Arc<PollSession>, Refusal> {
        let session = self.comet().sessions.find(id).ok_or(Refusal::NoSuchSession)?;
        self.unnamed.take();
        session.claim();
        Ok(session)
    }

    /// Until when a request that begins now has to be there, and authenticated if it is a hello. For the first one of a
    /// device the time of a handshake began when it connected.
    fn deadline(&self) -> Instant {
        let of_place = self.unnamed.borrow().as_ref().map(|(_, deadline)| *deadline);
        of_place.unwrap_or_else(|| Instant::now() + self.comet().config.handshake())
    }

    /// The text of a message.
    async fn message(&self, body: &mut Incoming, deadline: Instant) -> Result<Bytes, Refusal> {
        let most = self.comet().config.json_message_bytes;
        let text = match timeout_at(deadline, body::gather(body, most)).await {
            Ok(Ok(Some(text))) => text,
            Ok(Ok(None)) => return Err(Refusal::TooLong(most)),
            Ok(Err(_)) => return Err(Refusal::BadBody),
            Err(_) => return Err(Refusal::Incomplete),
        };
        match std::str::from_utf8(&text) {
            Ok(characters) if !characters.is_empty() => Ok(text.into()),
            Ok(_) => Err(bad("there is no body")),
            Err(_) => Err(bad("the body is not UTF-8")),
        }
    }

    /// Reads what is left of a request after whose answer the connection closes: a kernel with unread input would throw
    /// the answer away. Whoever is not named yet has its place no longer than it may.
    async fn discard(&self, body: &mut Incoming) {
        let until = self.deadline().min(Instant::now() + UNREAD_TIMEOUT);
        let _ = timeout_at(until, body::discard(body, UNREAD_MAX)).await;
    }

    fn comet(&self) -> &Comet {
        &self.worker.comet
    }
}

fn read(request: &Request<Incoming>) -> Result<http::Request, Refusal> {
    let uri = request.uri();
    let last = request.headers().get(HeaderName::from_static("last-event-id"));
    let last = last.map(|last| last.to_str().unwrap_or("not a cursor"));
    http::Request::parse(
        request.method().as_str(),
        uri.path(),
        uri.query().unwrap_or_default(),
        last,
    )
}

fn bad(detail: &str) -> Refusal {
    Refusal::BadMessage(BadMessage { detail: detail.to_owned(), id: None })
}
