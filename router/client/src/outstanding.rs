//! Outstanding: the requests of one session that wait to be sent or answered.
//!
//! It knows of each request whether a byte of it may have left, which is what separates "not carried
//! out" from "unknown" when the session breaks or the caller stops waiting.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use orrery_proto::registry::{Request, Response, SessionRequest, response};
use parking_lot::Mutex;
use prost::Message as _;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::limits::{MESSAGE_BYTES, MESSAGE_REQUESTS_MAX, UNANSWERED_MAX};

/// What a node answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) kind: Option<response::Kind>,
    pub(crate) log_index: u64,
}

/// No answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Whether the request may have reached the node.
    pub(crate) sent: bool,
    pub(crate) why: &'static str,
}

/// Why a request was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotTaken {
    /// The session has ended.
    Closed,
    /// Too many requests wait already.
    Full,
}

/// The requests of one session.
pub(crate) struct Outstanding {
    state: Mutex<State>,
    /// Wakes the sender when there is something to send.
    queued: Notify,
}

#[derive(Default)]
struct State {
    /// In order of submission. Holds at most as many as `waiting` and those given up unsent.
    queue: VecDeque<Request>,
    waiting: HashMap<u64, Waiting>,
    next_id: u64,
    closed_at: Option<Instant>,
}

struct Waiting {
    sent: bool,
    answer: oneshot::Sender<Result<Answer, Lost>>,
}

impl Outstanding {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), queued: Notify::new() })
    }

    /// Queues a request, in order of the calls, and gives it its id.
    pub(crate) fn submit(self: &Arc<Self>, mut request: Request) -> Result<Pending, NotTaken> {
        let (answer, answered) = oneshot::channel();
        let mut state = self.state.lock();
        if state.closed_at.is_some() {
            return Err(NotTaken::Closed);
        }
        if state.waiting.len().max(state.queue.len()) >= UNANSWERED_MAX {
            return Err(NotTaken::Full);
        }
        state.next_id += 1;
        let id = state.next_id;
        request.id = id;
        state.queue.push_back(request);
        state.waiting.insert(id, Waiting { sent: false, answer });
        drop(state);
        self.queued.notify_one();
        Ok(Pending { id, answered, session: self.clone() })
    }

    /// The next message to send: as many waiting requests as fit. `None` once closed.
    pub(crate) async fn next_message(&self) -> Option<SessionRequest> {
        loop {
            let message = {
                let mut state = self.state.lock();
                if state.closed_at.is_some() {
                    return None;
                }
                state.pack()
            };
            if !message.requests.is_empty() {
                return Some(message);
            }
            self.queued.notified().await;
        }
    }

    /// Hands answers to those who wait; answers nobody waits for any more are dropped.
    pub(crate) fn answer(&self, responses: Vec<Response>) {
        let mut state = self.state.lock();
        for response in responses {
            let Some(waiting) = state.waiting.remove(&response.id) else { continue };
            let answer = Answer { kind: response.kind, log_index: response.log_index };
            // The caller may be gone between its deadline and giving up.
            let _ = waiting.answer.send(Ok(answer));
        }
    }

    /// Ends the session: whoever still waits learns that no answer will come.
    pub(crate) fn close(&self, why: &'static str) {
        let mut state = self.state.lock();
        state.closed_at.get_or_insert_with(Instant::now);
        state.queue.clear();
        for (_, waiting) in state.waiting.drain() {
            let _ = waiting.answer.send(Err(Lost { sent: waiting.sent, why }));
        }
        drop(state);
        self.queued.notify_one();
    }

    pub(crate) fn closed_at(&self) -> Option<Instant> {
        self.state.lock().closed_at
    }

    /// Takes a request back; returns whether it may have reached the node.
    fn give_up(&self, id: u64) -> bool {
        self.state.lock().waiting.remove(&id).is_none_or(|waiting| waiting.sent)
    }
}

impl State {
    fn pack(&mut self) -> SessionRequest {
        let mut requests = Vec::new();
        let mut bytes = 0;
        while requests.len() < MESSAGE_REQUESTS_MAX
            && bytes < MESSAGE_BYTES
            && let Some(request) = self.queue.pop_front()
        {
            // Not there: its caller gave up before it was sent, so it never is.
            let Some(waiting) = self.waiting.get_mut(&request.id) else { continue };
            waiting.sent = true;
            bytes += request.encoded_len();
            requests.push(request);
        }
        SessionRequest { requests }
    }
}

/// A submitted request. Dropping it takes the request back if it was not sent yet.
pub(crate) struct Pending {
    id: u64,
    answered: oneshot::Receiver<Result<Answer, Lost>>,
    session: Arc<Outstanding>,
}

impl Pending {
    /// The answer, once it is there or certain not to come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Answer, Lost>> {
        Pin::new(&mut self.answered).poll(cx).map(|answered| match answered {
            Ok(answer) => answer,
            Err(_) => Err(Lost { sent: true, why: "the session ended" }),
        })
    }

    /// Takes the request back; returns whether it may have reached the node.
    pub(crate) fn give_up(self) -> bool {
        self.session.give_up(self.id)
    }

    /// Waits for the answer.
    #[cfg(test)]
    async fn wait(mut self, until: Instant) -> Result<Answer, Lost> {
        match tokio::time::timeout_at(until, std::future::poll_fn(|cx| self.poll(cx))).await {
            Ok(answer) => answer,
            Err(_) => Err(Lost { sent: self.give_up(), why: "no answer in time" }),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.session.give_up(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(5)
    }

    fn response(id: u64) -> Response {
        Response { id, kind: None, log_index: id * 10 }
    }

    #[tokio::test]
    async fn requests_leave_in_order_and_answers_find_them_by_id() {
        let session = Outstanding::new();
        let first = session.submit(Request::default()).unwrap();
        let second = session.submit(Request::default()).unwrap();
        let message = session.next_message().await.unwrap();
        assert_eq!(message.requests.iter().map(|r| r.id).collect::<Vec<_>>(), [1, 2]);
        session.answer(vec![response(2), response(7), response(1)]);
        assert_eq!(first.wait(soon()).await.unwrap().log_index, 10);
        assert_eq!(second.wait(soon()).await.unwrap().log_index, 20);
    }

    #[tokio::test]
    async fn a_close_tells_what_was_sent_from_what_was_not() {
        let session = Outstanding::new();
        let sent = session.submit(Request::default()).unwrap();
        session.next_message().await.unwrap();
        let unsent = session.submit(Request::default()).unwrap();
        session.close("gone");
        assert_eq!(sent.wait(soon()).await.unwrap_err(), Lost { sent: true, why: "gone" });
        assert_eq!(unsent.wait(soon()).await.unwrap_err(), Lost { sent: false, why: "gone" });
        assert_eq!(session.submit(Request::default()).err(), Some(NotTaken::Closed));
        assert!(session.next_message().await.is_none());
    }

    #[tokio::test]
    async fn a_request_given_up_before_it_was_sent_never_is() {
        let session = Outstanding::new();
        let late = session.submit(Request::default()).unwrap();
        assert!(!late.wait(Instant::now()).await.unwrap_err().sent);
        drop(session.submit(Request::default()).unwrap());
        let _kept = session.submit(Request::default()).unwrap();
        let message = session.next_message().await.unwrap();
        assert_eq!(message.requests.iter().map(|r| r.id).collect::<Vec<_>>(), [3]);
    }

    #[tokio::test]
    async fn a_session_takes_only_so_many() {
        let session = Outstanding::new();
        let pending: Vec<_> =
            (0..UNANSWERED_MAX).map(|_| session.submit(Request::default()).unwrap()).collect();
        assert_eq!(session.submit(Request::default()).err(), Some(NotTaken::Full));
        let message = session.next_message().await.unwrap();
        assert_eq!(message.requests.len(), MESSAGE_REQUESTS_MAX);
        drop(pending);
    }
}
