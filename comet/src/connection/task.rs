//! Task: drives one connection from its arrival to its end.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use orrery_comet_core::{Action, Close, Decoder, Dialect, Session};
use orrery_host::Stream;
use orrery_model::message::{CloseReason, Message};
use orrery_proto::edge::Received;
use orrery_proto::edge::edge_request::Kind as Request;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;

use super::budget::{Budget, Flood};
use super::changes::{Changes, Moved};
use super::member::Member;
use super::{Change, Connection};
use crate::admission::Place;
use crate::http;
use crate::limits::FLUSH_TIMEOUT;
use crate::listen::{Shaken, shake_hands};
use crate::mailbox::{Arrival, Transport};
use crate::unread::drain;
use crate::worker::Worker;

/// How a connection ended.
pub(super) enum End {
    /// By us.
    Closed(Close),
    /// The device said goodbye; what to answer.
    Goodbye(Bytes),
    /// The device went without a word.
    Gone,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> Self {
        Self::Gone
    }
}

/// What an input leads to.
pub(super) enum Next {
    Continue,
    /// Logic is to be asked who this is.
    Authenticate(Bytes),
    End(End),
}

/// One connection under way.
pub(super) struct Task {
    pub(super) worker: Rc<Worker>,
    pub(super) connection: Rc<Connection>,
    pub(super) member: Member,
    decoder: Decoder,
    budget: Budget,
    /// The count last reported; goim goes on reporting it after a room was left.
    room_count: i32,
}

/// Runs a connection to its end.
pub(crate) async fn run(worker: Rc<Worker>, arrival: Arrival) {
    let Arrival { stream, remote, transport, tls, place, deadline } = arrival;
    let Place { connection: permit, handshake, remote: _counted } = place;
    let Ok(stream) = stream.adopt() else { return };
    let (stream, dialect) = match (transport, tls) {
        (Transport::Tcp, None) => (stream, Dialect::Tcp),
        (Transport::Http, _) => (stream, Dialect::Http),
        (transport, tls) => {
            let shaken = Box::pin(shake_hands(&worker.comet, stream, transport, tls, deadline));
            match worker.closing.run_until_cancelled(shaken).await {
                Some(Some(Shaken::Hands(stream, dialect))) => (stream, dialect),
                // Whatever it opens is a connection of its own.
                Some(Some(Shaken::Http(stream, read))) => {
                    return Box::pin(http::serve(&worker, stream, read, remote, handshake)).await;
                }
                Some(None) | None => {
                    worker.comet.metrics.handshakes_failed.inc();
                    return;
                }
            }
        }
    };
    // The word to close went to those that were connections by then.
    if worker.closing.is_cancelled() {
        return;
    }
    let mut registration = worker.comet.presence.begin(worker.index, permit);
    let session = Session::new(dialect, worker.ms_of(deadline));
    let limits = worker.comet.outbox_limits();
    let (turn, coalescing) = (worker.turn.clone(), worker.coalescing.clone());
    let connection = Connection::new(registration.conn(), session, limits, turn, coalescing);
    let connection = Rc::new(connection);
    connection.stream.replace(Some(stream));
    let mut task = Task::new(worker.clone(), connection);
    // Boxed, as the other short steps are: their memory is not kept while the connection idles.
    let greeted = Box::pin(task.greet(&mut registration, remote.ip(), deadline)).await;
    drop(handshake);
    let end = match greeted {
        Ok(()) => {
            let _connected = worker.comet.metrics.connected(dialect);
            task.serve(Changes::new(registration)).await
        }
        Err(end) => {
            worker.comet.metrics.handshakes_failed.inc();
            drop(registration);
            end
        }
    };
    // Nobody finds it any more, and its goodbye is on its way, before the device is waited for.
    let Task { member, connection, .. } = task;
    drop(member);
    if let Some(stream) = connection.stream.take() {
        Box::pin(finish(&worker, stream, &connection, end)).await;
    }
}

impl Task {
    fn new(worker: Rc<Worker>, connection: Rc<Connection>) -> Self {
        let config = &worker.comet.config;
        Self {
            decoder: Decoder::new(connection.dialect(), config.json_message_bytes),
            budget: Budget::full(config, worker.now_ms()),
            member: Member::new(worker.clone(), connection.clone()),
            worker,
            connection,
            room_count: 0,
        }
    }

    /// Serves a device that was greeted.
    async fn serve(&mut self, mut changes: Changes) -> End {
        poll_fn(|cx| self.poll_serve(&mut changes, cx)).await
    }

    fn poll_serve(&mut self, changes: &mut Changes, cx: &mut Context<'_>) -> Poll<End> {
        self.connection.register(cx);
        loop {
            // A close overtakes everything.
            if let Some(close) = self.connection.take_closing() {
                return Poll::Ready(End::Closed(close));
            }
            let io = match self.poll_io(cx) {
                Poll::Ready(Next::End(end)) => return Poll::Ready(end),
                io => io,
            };
            // What the device wished for just now begins at once; what is done makes answers.
            match changes.poll(&self.connection, &mut self.member, cx) {
                Moved::End(end) => return Poll::Ready(end),
                Moved::Not if io.is_pending() => return Poll::Pending,
                Moved::On | Moved::Not => {}
            }
        }
    }

    /// Takes what the device said, writes what waits for it, then reads: one round of it.
    pub(super) fn poll_io(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        while self.may_take() {
            let polled = self.decoder.poll();
            let now_ms = self.worker.now_ms();
            let frames = self.decoder.take_parts() + u32::from(matches!(polled, Ok(Some(_))));
            if let Err(flood) = self.budget.take_frames(frames, &self.worker.comet.config, now_ms) {
                return Poll::Ready(Next::End(self.flooded(flood)));
            }
            match polled {
                Ok(None) => break,
                Ok(Some(input)) => {
                    let action = self.connection.session.borrow_mut().handle_input(input, now_ms);
                    match self.carry_out(action) {
                        Next::Continue => {}
                        next => return Poll::Ready(next),
                    }
                }
                Err(violation) => {
                    let close = self.connection.session.borrow_mut().handle_violation(&violation);
                    return Poll::Ready(Next::End(End::Closed(close)));
                }
            }
        }
        let stopped = !self.may_take();
        if let Poll::Ready(Err(error)) = self.connection.poll_write(cx) {
            return Poll::Ready(Next::End(error.into()));
        }
        match (stopped, self.may_take()) {
            (false, _) => self.poll_read(cx),
            // What made us stop has gone out; there may be more to take that was read before.
            (true, true) => Poll::Ready(Next::Continue),
            (true, false) => Poll::Pending,
        }
    }

    /// Reads into the worker's buffer, so that a connection that is idle needs none.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut scratch = self.worker.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        let mut stream = self.connection.stream.borrow_mut();
        let Some(stream) = &mut *stream else { return Poll::Pending };
        match Pin::new(stream).poll_read(cx, &mut buffer) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Next::End(End::Gone)),
            Poll::Ready(Ok(())) => {
                let (bytes, now_ms) = (buffer.filled(), self.worker.now_ms());
                match self.budget.take_bytes(bytes.len(), &self.worker.comet.config, now_ms) {
                    Ok(()) => {
                        self.decoder.feed(bytes);
                        Poll::Ready(Next::Continue)
                    }
                    Err(flood) => Poll::Ready(Next::End(self.flooded(flood))),
                }
            }
            Poll::Ready(Err(error)) => Poll::Ready(Next::End(error.into())),
        }
    }

    /// Whether the device may be listened to: it takes its answers, and its changes are carried out.
    fn may_take(&self) -> bool {
        !self.connection.is_stuffed() && self.connection.may_change()
    }

    fn carry_out(&mut self, action: Action) -> Next {
        let connection = &self.connection;
        match action {
            Action::Nothing => {}
            Action::Reply(bytes) | Action::Subscribed(bytes) => connection.answer(bytes),
            Action::Heartbeat(answer) => {
                if let Some(room) = self.member.only_room() {
                    self.room_count = self.worker.comet.room_count(&room);
                }
                connection.answer(answer.with_count(self.room_count));
            }
            Action::ChangeRoom { room, answer } => connection.change(Change::Room(room, answer)),
            Action::Join { rooms, answer } => connection.change(Change::Join(rooms, answer)),
            Action::Leave { rooms, answer } => connection.change(Change::Leave(rooms, answer)),
            Action::Upstream { message, reply } => {
                self.send_upstream(&message);
                connection.answer(reply);
            }
            Action::Authenticate { credentials } => return Next::Authenticate(credentials),
            Action::Close(close) => return Next::End(End::Closed(close)),
            Action::Goodbye(farewell) => return Next::End(End::Goodbye(farewell)),
        }
        Next::Continue
    }

    fn send_upstream(&self, message: &Message) {
        if let Some(names) = &*self.connection.names.borrow() {
            let (address, seq) = &names.primary;
            self.worker.comet.edge.tell(Request::Received(Received {
                address: Some(address.into()),
                seq: seq.0,
                message: Some(message.into()),
            }));
        }
    }

    fn flooded(&self, flood: Flood) -> End {
        self.worker.comet.metrics.flooded(flood);
        self.close(CloseReason::BadProtocol)
    }

    pub(super) fn close(&self, reason: CloseReason) -> End {
        End::Closed(self.connection.session.borrow_mut().close(reason))
    }
}

impl Connection {
    fn change(&self, change: Change) {
        self.changes.borrow_mut().push_back(change);
    }
}

/// Lets the device have what waits for it and a last word, for a short time.
async fn finish(worker: &Worker, mut stream: Box<dyn Stream>, connection: &Connection, end: End) {
    let (last_word, drained) = match end {
        End::Gone => return,
        End::Goodbye(farewell) => (farewell, false),
        End::Closed(Close { reason, farewell }) => {
            worker.comet.metrics.closed(reason);
            (farewell, reason == CloseReason::Drain)
        }
    };
    if connection.dialect() == Dialect::Http {
        return finish_apart(stream, connection, &last_word).await;
    }
    // Whoever did nothing wrong gets what it was sent, whatever it says meanwhile.
    let listens = drained || !last_word.is_empty();
    connection.answer(last_word);
    let flush = async {
        poll_fn(|cx| connection.outbox.borrow_mut().poll_write(&mut stream, cx)).await?;
        stream.shutdown().await?;
        if listens { drain(&mut stream).await } else { Ok(()) }
    };
    if timeout(FLUSH_TIMEOUT, flush).await.is_err() {
        stream.reset_on_drop();
    }
}

/// The same where nobody may ask for what waits: the last word is kept until somebody does.
async fn finish_apart(mut stream: Box<dyn Stream>, connection: &Connection, last_word: &[u8]) {
    let flush = poll_fn(|cx| connection.outbox.borrow_mut().poll_write(&mut stream, cx));
    // What is not taken in time is lost, and was not written.
    let _ = timeout(FLUSH_TIMEOUT, flush).await;
    // Writing to memory waits for nothing.
    if stream.shutdown().await.is_ok() {
        let _ = stream.write_all(last_word).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, F>(_: fn(A, B) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_takes_about_two_kilobytes() {
        let bytes = size_of_future(run) + size_of::<Connection>();
        assert!(bytes <= 2048, "{bytes}");
    }
}
