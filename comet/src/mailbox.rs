//! Mailbox: what a worker is told, and the way to tell it. A connection is reached only by these.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use orrery_host::Stream;
use orrery_model::message::CloseReason;
use orrery_model::{Address, Conn, Incarnation, Seq};
use orrery_tls::Acceptor;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::admission::Place;
use crate::delivery::Delivery;
use crate::drain::Elsewhere;
use crate::limits::WORKER_QUEUE;
use crate::presence::{Names, worker_of};
use crate::slow::SlowPage;

/// How a device reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    WebSocket,
    /// Over requests of their own, which the WebSocket's door takes.
    Http,
}

/// An accepted connection on its way to its worker.
pub(crate) struct Arrival {
    pub(crate) stream: Box<dyn Stream>,
    pub(crate) remote: SocketAddr,
    pub(crate) transport: Transport,
    /// Where the transport is spoken within TLS.
    pub(crate) tls: Option<Acceptor>,
    pub(crate) place: Place,
    /// When it has to be authenticated.
    pub(crate) deadline: Instant,
}

/// What a worker is told.
pub(crate) enum ToWorker {
    /// A new connection, to be adopted.
    Arrived(Arrival),
    /// Deliveries in the order in which logic sent them, of which some concern its connections.
    Deliver(Vec<Arc<Delivery>>),
    /// Closes a connection, if it is called so.
    Close { conn: Conn, address: Address, seq: Seq, reason: CloseReason },
    /// Closes a connection, if it is called so: the registry has no such route any more.
    Lost { conn: Conn, address: Address, seq: Seq },
    /// Tells what the connections in some slots, from this one on, are called in an incarnation.
    CallRoll { from: usize, incarnation: Incarnation, answer: oneshot::Sender<Roll> },
    /// Closes any one connection; answers whether there was one.
    CloseOne(CloseReason, oneshot::Sender<bool>),
    /// Sends so many connections elsewhere, at most; answers how many.
    SendAway { most: usize, elsewhere: Arc<Elsewhere>, answer: oneshot::Sender<usize> },
    /// Tells the slowest devices in some slots, from this one on, at most so many.
    FindSlow { from: usize, most: usize, answer: oneshot::Sender<SlowPage> },
    /// Closes all connections and takes no more.
    CloseAll(CloseReason),
    /// Has a connection bind again under the comet's new incarnation.
    Rebind(Conn),
}

/// What some of a worker's connections are called. Those that are being bound, bound again or closed are left
/// out.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    pub(crate) called: Vec<(Conn, Arc<Names>)>,
    /// The slot to go on from, if there are more.
    pub(crate) next: Option<usize>,
}

/// The mailboxes of all workers. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Workers {
    mailboxes: Arc<[mpsc::Sender<ToWorker>]>,
    turn: Arc<AtomicUsize>,
}

impl Workers {
    /// Makes the mailboxes of so many workers, each with the end that its worker reads.
    pub(crate) fn new(count: usize) -> (Self, Vec<mpsc::Receiver<ToWorker>>) {
        let (mailboxes, read): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(WORKER_QUEUE)).unzip();
        (Self { mailboxes: mailboxes.into(), turn: Arc::default() }, read)
    }

    pub(crate) fn count(&self) -> usize {
        self.mailboxes.len()
    }

    /// Hands a new connection to the worker whose turn it is.
    pub(crate) async fn arrived(&self, arrival: Arrival) {
        let worker = self.turn.fetch_add(1, Ordering::Relaxed) % self.mailboxes.len();
        self.tell(worker, ToWorker::Arrived(arrival)).await;
    }

    pub(crate) async fn deliver(&self, worker: usize, deliveries: Vec<Arc<Delivery>>) {
        self.tell(worker, ToWorker::Deliver(deliveries)).await;
    }

    pub(crate) async fn rebind(&self, conn: Conn) {
        self.tell(worker_of(conn), ToWorker::Rebind(conn)).await;
    }

    pub(crate) async fn close(&self, conn: Conn, address: Address, seq: Seq, reason: CloseReason) {
        self.tell(worker_of(conn), ToWorker::Close { conn, address, seq, reason }).await;
    }

    pub(crate) async fn lost(&self, conn: Conn, address: Address, seq: Seq) {
        self.tell(worker_of(conn), ToWorker::Lost { conn, address, seq }).await;
    }

    /// A part of a worker's roll; empty where the worker has ended.
    pub(crate) async fn call_roll(
        &self,
        worker: usize,
        from: usize,
        incarnation: Incarnation,
    ) -> Roll {
        let (answer, answered) = oneshot::channel();
        self.tell(worker, ToWorker::CallRoll { from, incarnation, answer }).await;
        answered.await.unwrap_or_default()
    }

    /// Closes any one connection; false when there is none left.
    pub(crate) async fn close_one(&self, reason: CloseReason) -> bool {
        for _ in 0..self.mailboxes.len() {
            let worker = self.turn.fetch_add(1, Ordering::Relaxed) % self.mailboxes.len();
            let (answer, answered) = oneshot::channel();
            self.tell(worker, ToWorker::CloseOne(reason, answer)).await;
            if answered.await == Ok(true) {
                return true;
            }
        }
        false
    }

    /// Sends so many connections elsewhere, from each worker alike as far as it has them; tells how many. All workers are
    /// asked at once: one that is busy holds up no other.
    pub(crate) async fn send_away(&self, count: usize, elsewhere: &Arc<Elsewhere>) -> usize {
        let mut asked: Vec<usize> = (0..self.mailboxes.len()).collect();
        // Not always the same worker gives the odd one.
        asked.rotate_left(self.turn.fetch_add(1, Ordering::Relaxed) % self.mailboxes.len());
        let mut left = count;
        // What some do not have the others are asked for; each round lets go of at least one worker, or is the last.
        while left > 0 && !asked.is_empty() {
            let workers = asked.len();
            let share = |number: usize| (left + workers - 1 - number) / workers;
            let round = asked.iter().enumerate().filter(|(number, _)| share(*number) > 0);
            let round = round.map(|(number, &worker)| async move {
                let (most, elsewhere) = (share(number), elsewhere.clone());
                let (answer, answered) = oneshot::channel();
                self.tell(worker, ToWorker::SendAway { most, elsewhere, answer }).await;
                (worker, most, answered.await.unwrap_or(0).min(most))
            });
            let round = join_all(round).await;
            left -= round.iter().map(|(_, _, sent)| sent).sum::<usize>();
            let gone = |worker| round.iter().any(|(it, most, sent)| *it == worker && sent < most);
            asked.retain(|worker| !gone(*worker));
        }
        count - left
    }

    /// A part of a worker's slow devices; empty where the worker has ended.
    pub(crate) async fn find_slow(&self, worker: usize, from: usize, most: usize) -> SlowPage {
        let (answer, answered) = oneshot::channel();
        self.tell(worker, ToWorker::FindSlow { from, most, answer }).await;
        answered.await.unwrap_or_default()
    }

    pub(crate) async fn close_all(&self, reason: CloseReason) {
        for worker in 0..self.mailboxes.len() {
            self.tell(worker, ToWorker::CloseAll(reason)).await;
        }
    }

    /// A worker that ended has no connections left: what it is told then concerns nobody.
    async fn tell(&self, worker: usize, what: ToWorker) {
        if let Some(mailbox) = self.mailboxes.get(worker) {
            let _ = mailbox.send(what).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    type Asked = (usize, oneshot::Sender<usize>);

    /// What each worker is asked to send away by now.
    fn asked(mailboxes: &mut [mpsc::Receiver<ToWorker>]) -> Vec<Option<Asked>> {
        let asked = |mailbox: &mut mpsc::Receiver<ToWorker>| match mailbox.try_recv() {
            Ok(ToWorker::SendAway { most, answer, .. }) => Some((most, answer)),
            Ok(_) => panic!("somebody wants something else"),
            Err(_) => None,
        };
        mailboxes.iter_mut().map(asked).collect()
    }

    #[tokio::test]
    async fn all_workers_are_asked_at_once_and_those_who_have_enough_make_up_for_the_others() {
        let (workers, mut mailboxes) = Workers::new(3);
        let elsewhere = Arc::<Elsewhere>::default();
        let mut sending = std::pin::pin!(workers.send_away(8, &elsewhere));
        assert_eq!(sending.as_mut().now_or_never(), None);
        let first = asked(&mut mailboxes).into_iter().flatten().collect::<Vec<_>>();
        assert_eq!(first.iter().map(|(most, _)| *most).collect::<Vec<_>>(), [3, 3, 2]);
        // The second has one only, and the third has ended.
        for ((most, answer), has) in first.into_iter().zip([100, 1]) {
            answer.send(most.min(has)).unwrap();
        }
        assert_eq!(sending.as_mut().now_or_never(), None);
        let mut second = asked(&mut mailboxes);
        assert!(second[1..].iter().all(Option::is_none));
        let (most, answer) = second[0].take().unwrap();
        assert_eq!(most, 4);
        answer.send(3).unwrap();
        assert_eq!(sending.await, 7, "nobody has another one");
    }
}
