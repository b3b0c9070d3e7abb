//! Task: what one connection does while it lives: reads, takes, answers, and at its end says goodbye.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use orrery_comet_core::{Action, Close, Decoder, Dialect};
use orrery_host::Stream;
use orrery_model::message::{CloseReason, Message};
use orrery_proto::edge::Received;
use orrery_proto::edge::edge_request::Kind as Request;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::task::coop::has_budget_remaining;
use tokio::time::{Instant, timeout, timeout_at};

use super::Connection;
use super::agenda::Change;
use super::budget::{Budget, Flood};
use super::changes::{Changes, Moved};
use super::member::Member;
use crate::admission::RemoteGuard;
use crate::limits::FLUSH_TIMEOUT;
use crate::unread::discard;
use crate::worker::Worker;

/// How a connection ended.
pub(super) enum End {
    /// By us.
    Closed(Close),
    /// The device said goodbye; what to answer.
    Goodbye(Bytes),
    /// The device says nothing more. Within TLS it is told the same.
    Left,
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

/// One connection under way. All of it is there while the connection idles: a comet has very many of these.
pub(super) struct Task {
    pub(super) member: Member,
    decoder: Decoder,
    budget: Budget,
    pub(super) changes: Changes,
    /// The count last reported; goim goes on reporting it after a room was left.
    room_count: i32,
    _remote: RemoteGuard,
}

impl Task {
    pub(super) fn new(worker: Rc<Worker>, connection: Rc<Connection>, remote: RemoteGuard) -> Self {
        let config = &worker.comet.config;
        Self {
            decoder: Decoder::new(connection.dialect(), config.json_message_bytes),
            budget: Budget::full(config, worker.now_ms()),
            changes: Changes::none(),
            member: Member::new(worker, connection),
            room_count: 0,
            _remote: remote,
        }
    }

    /// Lets go of all places. Nobody finds it any more, and its goodbye is on its way, before the device is waited for.
    pub(super) async fn end(self, end: End) {
        let Self { member, changes, _remote, .. } = self;
        let (worker, connection) = (member.worker.clone(), member.connection.clone());
        drop(changes);
        drop(member);
        if let Some(stream) = connection.stream.take() {
            finish(&worker, stream, &connection, end).await;
        }
    }

    /// Serves a device that was greeted.
    pub(super) fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.member.connection.register(cx);
        loop {
            // A close overtakes everything.
            if let Some(close) = self.member.connection.take_closing() {
                return Poll::Ready(End::Closed(close));
            }
            let io = match self.poll_io(cx) {
                Poll::Ready(Next::End(end)) => return Poll::Ready(end),
                io => io,
            };
            // What the device wished for just now begins at once; what is done makes answers.
            match self.changes.poll(&mut self.member, cx) {
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
            let now_ms = self.member.worker.now_ms();
            let frames = self.decoder.take_parts() + u32::from(matches!(polled, Ok(Some(_))));
            if let Err(flood) =
                self.budget.take_frames(frames, &self.member.worker.comet.config, now_ms)
            {
                return Poll::Ready(Next::End(self.flooded(flood)));
            }
            match polled {
                Ok(None) => break,
                Ok(Some(input)) => {
                    let action =
                        self.member.connection.session.borrow_mut().handle_input(input, now_ms);
                    match self.carry_out(action) {
                        Next::Continue => {}
                        next => return Poll::Ready(next),
                    }
                }
                Err(violation) => {
                    let close =
                        self.member.connection.session.borrow_mut().handle_violation(&violation);
                    return Poll::Ready(Next::End(End::Closed(close)));
                }
            }
        }
        let stopped = !self.may_take();
        if let Poll::Ready(Err(error)) = self.member.connection.poll_write(cx) {
            return Poll::Ready(Next::End(error.into()));
        }
        match (stopped, self.may_take()) {
            (false, _) => self.poll_read(cx),
            // What made us stop has gone out; there may be more to take that was read before.
            (true, true) => Poll::Ready(Next::Continue),
            (true, false) => {
                self.budget.stop(&self.member.worker.comet.config, self.member.worker.now_ms());
                Poll::Pending
            }
        }
    }

    /// Reads into the worker's buffer, so that a connection that is idle needs none.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let mut scratch = self.member.worker.scratch.borrow_mut();
        let mut buffer = ReadBuf::new(&mut scratch);
        let mut stream = self.member.connection.stream.borrow_mut();
        let Some(stream) = &mut *stream else { return Poll::Pending };
        let read = Pin::new(&mut *stream).poll_read(cx, &mut buffer);
        let (bytes, overhead) = (buffer.filled(), stream.take_overhead());
        let (config, now_ms) = (&self.member.worker.comet.config, self.member.worker.now_ms());
        if let Err(flood) = self.budget.take_bytes(bytes.len() + overhead, config, now_ms) {
            return Poll::Ready(Next::End(self.flooded(flood)));
        }
        match read {
            Poll::Pending => {
                // Else it is tokio that has this task wait, and not the device.
                if has_budget_remaining() {
                    self.budget.catch_up(config, now_ms);
                }
                Poll::Pending
            }
            Poll::Ready(Ok(())) if bytes.is_empty() => Poll::Ready(Next::End(End::Left)),
            Poll::Ready(Ok(())) => {
                self.decoder.feed(bytes);
                Poll::Ready(Next::Continue)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Next::End(error.into())),
        }
    }

    /// Whether the device may be listened to: it takes its answers, and its changes are carried out.
    fn may_take(&self) -> bool {
        !self.member.connection.is_stuffed() && self.member.connection.may_change()
    }

    fn carry_out(&mut self, action: Action) -> Next {
        let connection = &self.member.connection;
        match action {
            Action::Nothing => {}
            Action::Reply(bytes) | Action::Subscribed(bytes) => connection.answer(bytes),
            Action::Heartbeat(answer) => {
                if let Some(room) = self.member.only_room() {
                    self.room_count = self.member.worker.comet.room_count(&room);
                }
                connection.answer(answer.with_count(self.room_count));
            }
            Action::ChangeRoom { room, answer } => {
                connection.agenda.add_change(Change::Room(room, answer))
            }
            Action::Join { rooms, answer } => {
                connection.agenda.add_change(Change::Join(rooms, answer))
            }
            Action::Leave { rooms, answer } => {
                connection.agenda.add_change(Change::Leave(rooms, answer))
            }
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
        if let Some(names) = &*self.member.connection.names.borrow() {
            let (address, seq) = &names.primary;
            self.member.worker.comet.edge.tell(Request::Received(Received {
                address: Some(address.into()),
                seq: seq.0,
                message: Some(message.into()),
            }));
        }
    }

    fn flooded(&self, flood: Flood) -> End {
        self.member.worker.comet.metrics.flooded(flood);
        self.close(CloseReason::BadProtocol)
    }

    pub(super) fn close(&self, reason: CloseReason) -> End {
        End::Closed(self.member.connection.session.borrow_mut().close(reason))
    }
}

/// Lets the device have what waits for it and a last word, for a short time.
async fn finish(worker: &Worker, mut stream: Box<dyn Stream>, connection: &Connection, end: End) {
    let (last_word, drained) = match end {
        End::Gone => return,
        // Nothing is waited for: who has left need not listen.
        End::Left => {
            let _ = stream.shutdown().now_or_never();
            return;
        }
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
    flush(stream, connection, listens).await;
}

/// Writes what waits, and ends the stream in order; resets it where the device does not take all of it in time. What it
/// says is listened to until it has closed too, or the same time is over: then the kernel has it take the rest.
async fn flush(mut stream: Box<dyn Stream>, connection: &Connection, listens: bool) {
    let until = Instant::now() + FLUSH_TIMEOUT;
    let flush = async {
        poll_fn(|cx| connection.outbox.borrow_mut().poll_write(&mut stream, cx)).await?;
        stream.shutdown().await
    };
    match timeout_at(until, flush).await {
        Ok(Ok(())) if listens => {
            let _ = timeout_at(until, discard(&mut stream)).await;
        }
        Ok(_) => {}
        Err(_) => stream.reset_on_drop(),
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
    use orrery_comet_core::Session;
    use orrery_host::Host;
    use orrery_model::Conn;
    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::connection::Shared;
    use crate::outbox::OutboxLimits;

    /// More than the kernel keeps at both ends for a device that does not read.
    const TOO_MUCH: usize = 64 << 20;

    /// Ends a connection for which so many bytes wait, whose device neither reads nor closes meanwhile; gives what the
    /// device finds.
    async fn ended_with(bytes: usize) -> io::Result<usize> {
        let net = Host::system().net;
        let listener = net.listen(([127, 0, 0, 1], 0).into()).await?;
        let address = listener.local_addr()?.to_string();
        let mut device = net.connect(&address).await?;
        let (stream, _) = listener.accept().await?;
        let limits = OutboxLimits { frames: 8, bytes: 1024 };
        let session = Session::new(Dialect::Tcp, 0);
        let connection = Connection::new(Conn(256), session, Shared::of(Rc::default(), limits));
        connection.answer(vec![7; bytes].into());
        flush(stream, &connection, true).await;
        device.read_to_end(&mut Vec::new()).await
    }

    #[tokio::test]
    async fn a_device_that_has_all_is_not_reset_however_long_it_takes_to_close() {
        assert_eq!(ended_with(64).await.unwrap(), 64);
    }

    #[tokio::test]
    async fn a_device_that_does_not_take_what_waits_in_time_is_reset() {
        let end = ended_with(TOO_MUCH).await.unwrap_err();
        assert_eq!(end.kind(), io::ErrorKind::ConnectionReset);
    }
}
