//! Life: a connection from its arrival to its end.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use orrery_comet_core::{Dialect, Session};

use super::Connection;
use super::changes::Changes;
use super::task::Task;
use crate::admission::Place;
use crate::http;
use crate::listen::{Shaken, shake_hands};
use crate::mailbox::{Arrival, Transport};
use crate::metrics::Counted;
use crate::worker::Worker;

/// A connection's life in three parts. The first and the last are boxed: a comet has very many connections in the one
/// between, and an `async fn` would keep the memory of all three, and of what it moves from one to the next twice.
// The large variant is the usual one: a box would only add to it.
#[allow(clippy::large_enum_variant)]
enum Life {
    /// Until its device is greeted; none where that came to nothing.
    Begins(LocalBoxFuture<'static, Option<Task>>),
    /// Counted as connected.
    Goes { task: Task, _connected: Counted },
    /// Its device is told, and no longer connected.
    Ends(LocalBoxFuture<'static, ()>),
    /// Between two of them.
    Turns,
}

/// Runs a connection to its end.
pub(crate) fn run(worker: Rc<Worker>, arrival: Arrival) -> impl Future<Output = ()> {
    Life::Begins(begin(worker, arrival).boxed_local())
}

impl Future for Life {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        loop {
            *this = match this {
                Self::Begins(beginning) => match ready!(beginning.poll_unpin(cx)) {
                    Some(task) => {
                        let worker = &task.member.worker;
                        let dialect = task.member.connection.dialect();
                        let _connected = worker.comet.metrics.connected(dialect);
                        Self::Goes { task, _connected }
                    }
                    None => return Poll::Ready(()),
                },
                Self::Goes { task, .. } => {
                    let end = ready!(task.poll_serve(cx));
                    let Self::Goes { task, .. } = std::mem::replace(this, Self::Turns) else {
                        unreachable!("it was so a moment ago");
                    };
                    Self::Ends(task.end(end).boxed_local())
                }
                Self::Ends(ending) => return ending.poll_unpin(cx),
                Self::Turns => unreachable!("nobody looks in between"),
            };
        }
    }
}

/// From a connection's arrival until its device is greeted.
async fn begin(worker: Rc<Worker>, arrival: Arrival) -> Option<Task> {
    let Arrival { stream, remote: address, transport, tls, place, deadline } = arrival;
    let Place { connection: permit, handshake, remote } = place;
    let stream = stream.adopt().ok()?;
    let (stream, dialect) = match (transport, tls) {
        (Transport::Tcp, None) => (stream, Dialect::Tcp),
        (Transport::Http, _) => (stream, Dialect::Http),
        (transport, tls) => {
            let shaken = Box::pin(shake_hands(&worker.comet, stream, transport, tls, deadline));
            match worker.closing.run_until_cancelled(shaken).await {
                Some(Some(Shaken::Hands(stream, dialect))) => (stream, dialect),
                // Whatever it opens is a connection of its own.
                Some(Some(Shaken::Http(stream, read))) => {
                    Box::pin(http::serve(&worker, stream, read, address, (handshake, deadline)))
                        .await;
                    return None;
                }
                Some(None) | None => {
                    worker.comet.metrics.handshakes_failed.inc();
                    return None;
                }
            }
        }
    };
    // The word to close went to those that were connections by then.
    if worker.closing.is_cancelled() {
        return None;
    }
    let mut registration = worker.comet.presence.begin(worker.index, permit);
    let session = Session::new(dialect, worker.ms_of(deadline));
    let connection = Connection::new(registration.conn(), session, worker.shared.clone());
    let connection = Rc::new(connection);
    connection.stream.replace(Some(stream));
    let mut task = Task::new(worker.clone(), connection, remote);
    let greeted = task.greet(&mut registration, address.ip(), deadline).await;
    drop(handshake);
    match greeted {
        Ok(()) => {
            task.changes = Changes::new(registration);
            Some(task)
        }
        Err(end) => {
            worker.comet.metrics.handshakes_failed.inc();
            drop(registration);
            task.end(end).await;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_takes_less_than_a_kilobyte_of_its_worker() {
        let (task, connection) = (size_of::<Life>(), size_of::<Connection>());
        // With what tokio adds the task fits 512 bytes, and with its counts the connection 320: sizes of which allocators
        // give out blocks.
        assert!(task <= 400 && connection <= 304, "{task}, {connection}");
    }
}
