//! Session: one logic's stream of deliveries, spread over the workers, and of receipts back.

use std::sync::Arc;
use std::time::Duration;

use orrery_comet_core::Encoded;
use orrery_host::{Gather, Nudge, cannot_wait};
use orrery_model::message::{CloseReason, Message};
use orrery_model::{Address, Conn, Id, Incarnation, Seq};
use orrery_proto::convert::{WireError, when_full as when_full_of};
use orrery_proto::delivery::deliver::Kind;
use orrery_proto::delivery::{self as wire, Deliver, Deliveries, Receipt, Receipts};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::expiry::Expiry;
use super::{Delivery, Due, ReplyTo, Sent, Target, Work};
use crate::comet::Comet;
use crate::drain::Wish;
use crate::limits::{DELIVERIES_UNANSWERED_MAX, RECEIPTS_BATCH, RECEIPTS_GATHER};
use crate::metrics::Metrics;
use crate::presence::worker_of;

/// Reads deliveries and hands each to the workers it concerns, in order.
pub(super) struct Reader {
    comet: Arc<Comet>,
    /// Places for deliveries without a receipt.
    places: Arc<Semaphore>,
    receipts: mpsc::Sender<Sent>,
    nudge: Nudge,
    due: mpsc::Sender<Due>,
}

/// Sends receipts in batches.
pub(super) struct Writer {
    receipts: mpsc::Receiver<Sent>,
    due: mpsc::Receiver<Due>,
    drain: watch::Receiver<Option<Wish>>,
    nudge: Nudge,
    metrics: Arc<Metrics>,
    outbound: mpsc::Sender<Result<Receipts, Status>>,
    stop: CancellationToken,
}

/// Makes both sides of a session.
pub(super) fn new(
    comet: Arc<Comet>,
    outbound: mpsc::Sender<Result<Receipts, Status>>,
    stop: CancellationToken,
) -> (Reader, Writer) {
    let (receipts, sent) = mpsc::channel(DELIVERIES_UNANSWERED_MAX);
    let (due, expiring) = mpsc::channel(DELIVERIES_UNANSWERED_MAX);
    let places = Arc::new(Semaphore::new(DELIVERIES_UNANSWERED_MAX));
    let (metrics, nudge) = (comet.metrics.clone(), Nudge::default());
    let drain = comet.drain.watch();
    (
        Reader { comet, places, receipts, nudge: nudge.clone(), due },
        Writer { receipts: sent, due: expiring, drain, nudge, metrics, outbound, stop },
    )
}

impl Reader {
    /// Runs until the stream ends.
    pub(super) async fn run(self, mut deliveries: Streaming<Deliveries>) {
        loop {
            match deliveries.message().await {
                Ok(Some(batch)) => {
                    if self.take(batch).await.is_none() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(status) => {
                    tracing::debug!(%status, "a session of deliveries broke");
                    return;
                }
            }
        }
    }

    /// `None` when the session is over.
    async fn take(&self, batch: Deliveries) -> Option<()> {
        let mut mail: Vec<Vec<Arc<Delivery>>> = vec![Vec::new(); self.comet.workers.count()];
        for deliver in batch.deliveries {
            let place = match self.places.clone().try_acquire_owned() {
                Ok(place) => place,
                Err(_) => {
                    // What was taken so far must be on its way, or no receipt could free a place.
                    self.send(&mut mail).await;
                    self.places.clone().acquire_owned().await.ok()?
                }
            };
            let nudge = cannot_wait(deliver.timeout_ms).then(|| self.nudge.clone());
            let reply = ReplyTo { receipts: self.receipts.clone(), place, nudge, due: None };
            let Some(delivery) = self.accept(deliver, reply).await else { continue };
            self.address(&mut mail, &delivery);
        }
        self.send(&mut mail).await;
        Some(())
    }

    /// Makes a delivery of what arrived, or answers it at once.
    async fn accept(&self, deliver: Deliver, mut reply: ReplyTo) -> Option<Arc<Delivery>> {
        let Deliver { id, incarnation, kind, wait_written, timeout_ms, when_full } = deliver;
        let incarnation = Incarnation(incarnation);
        let wrong_incarnation = self.comet.presence.incarnation() != Some(incarnation);
        let asked = work(kind).and_then(|work| Ok((work, when_full_of(when_full)?)));
        let (work, when_full) = match asked {
            Ok((Some(work), when_full)) if !wrong_incarnation => {
                (work, when_full.unwrap_or(self.comet.config.when_full.into()))
            }
            Ok(_) => {
                let receipt = Receipt { id, wrong_incarnation, ..Receipt::default() };
                let _ = reply.receipts.try_send((receipt, reply.place));
                return None;
            }
            Err(error) => {
                tracing::warn!(%error, "logic sent a malformed delivery");
                let receipt = Receipt { id, ..Receipt::default() };
                let _ = reply.receipts.try_send((receipt, reply.place));
                return None;
            }
        };
        let due = Instant::now() + Duration::from_millis(timeout_ms.into());
        if !wait_written && timeout_ms > 0 {
            reply.due = Some((due, self.due.clone()));
        }
        let delivery =
            Arc::new(Delivery::new(id, incarnation, wait_written, when_full, work, reply));
        if wait_written {
            // The other side ends with the session.
            let _ = self.due.send((due, Arc::downgrade(&delivery))).await;
        }
        Some(delivery)
    }

    /// Puts a delivery into the mail of the workers it concerns.
    fn address(&self, mail: &mut [Vec<Arc<Delivery>>], delivery: &Arc<Delivery>) {
        match &delivery.work {
            Work::Room { .. } | Work::All { .. } => {
                delivery.address_workers(mail.len());
                for batch in mail {
                    batch.push(delivery.clone());
                }
            }
            Work::Push { targets, .. } | Work::Close { targets, .. } => {
                for target in targets {
                    let Some(batch) = mail.get_mut(worker_of(target.conn)) else { continue };
                    if !batch.last().is_some_and(|last| Arc::ptr_eq(last, delivery)) {
                        batch.push(delivery.clone());
                    }
                }
            }
        }
    }

    async fn send(&self, mail: &mut [Vec<Arc<Delivery>>]) {
        for (worker, batch) in mail.iter_mut().enumerate() {
            if !batch.is_empty() {
                self.comet.workers.deliver(worker, std::mem::take(batch)).await;
            }
        }
    }
}

impl Writer {
    /// Runs until the session ends, or is stopped: then what there is to tell is told, and waits for nothing more.
    pub(super) async fn run(mut self) {
        let mut expiry = Expiry::default();
        let mut sent = Vec::with_capacity(RECEIPTS_BATCH);
        let mut gather = Gather::nudged(RECEIPTS_GATHER, self.nudge.clone());
        let stopped = self.stop.clone().cancelled_owned();
        tokio::pin!(stopped);
        let mut stopping = false;
        let mut told_draining = None;
        loop {
            // First of all: whoever had a session before goes by what was said there until then.
            let draining = self.drain.borrow_and_update().is_some();
            if told_draining != Some(draining) {
                told_draining = Some(draining);
                let word = Receipts { receipts: Vec::new(), draining: Some(draining) };
                if self.outbound.send(Ok(word)).await.is_err() {
                    return;
                }
            }
            let receipts = async {
                if self.receipts.len() < RECEIPTS_BATCH && !stopping {
                    gather.ready().await;
                }
                self.receipts.recv_many(&mut sent, RECEIPTS_BATCH).await
            };
            tokio::select! {
                biased;
                // Rare, and waited for by whoever is about to send devices here.
                Ok(()) = self.drain.changed() => {}
                n = receipts => {
                    if n == 0 {
                        return;
                    }
                    sent.iter().for_each(|(receipt, _)| self.metrics.receipt(receipt));
                    // The places are free once the batch is on its way.
                    let (receipts, places): (Vec<_>, Vec<_>) = sent.drain(..).unzip();
                    if self.outbound.send(Ok(Receipts { receipts, draining: None })).await.is_err() {
                        return;
                    }
                    gather.sent();
                    drop(places);
                }
                // The next round gathers no more, and ends when there is nothing left.
                () = &mut stopped, if !stopping => {
                    stopping = true;
                    self.receipts.close();
                }
                Some((at, delivery)) = self.due.recv() => expiry.insert(at, delivery),
                () = expiry.expire() => {}
            }
        }
    }
}

/// What is to be done; `None` where it concerns nobody, or is of a kind this build does not know.
fn work(kind: Option<Kind>) -> Result<Option<Work>, WireError> {
    Ok(Some(match kind {
        None => return Ok(None),
        Some(Kind::ToConnections(to)) => {
            Work::Push { encoded: encoded(to.message), targets: targets(to.targets) }
        }
        Some(Kind::ToRoom(to)) => {
            let room = Address::try_from(to.room.unwrap_or_default())?;
            Work::Room { encoded: Arc::new(encoded(to.message)), room }
        }
        Some(Kind::ToAll(to)) => {
            let namespace = match to.namespace.as_str() {
                "" => None,
                text => match Id::new(text) {
                    Ok(namespace) => Some(namespace),
                    // Nobody is in what is no namespace.
                    Err(_) => return Ok(None),
                },
            };
            Work::All { encoded: encoded(to.message), namespace, rate: to.rate }
        }
        Some(Kind::Close(close)) => Work::Close {
            targets: targets(close.targets),
            reason: wire::CloseReason::try_from(close.reason)
                .map_or(CloseReason::Kicked, CloseReason::from),
        },
    }))
}

fn encoded(message: Option<orrery_proto::common::Message>) -> Encoded {
    Encoded::new(Message::from(message.unwrap_or_default()))
}

fn targets(wire: Vec<wire::Target>) -> Vec<Target> {
    let target = |target: wire::Target| Target {
        address: target.address.and_then(|address| Address::try_from(address).ok()),
        conn: Conn(target.conn),
        seq: Seq(target.seq),
    };
    wire.into_iter().map(target).collect()
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::drain::Drain;

    /// The writer of a session of this comet, and what a receipt is sent by.
    fn writer(
        comet: &Drain,
    ) -> (Writer, mpsc::Sender<Sent>, mpsc::Receiver<Result<Receipts, Status>>) {
        let (receipts, sent) = mpsc::channel(8);
        let (_, due) = mpsc::channel(1);
        let (outbound, told) = mpsc::channel(8);
        let (nudge, metrics, stop) = (Nudge::default(), Arc::default(), CancellationToken::new());
        let drain = comet.watch();
        (Writer { receipts: sent, due, drain, nudge, metrics, outbound, stop }, receipts, told)
    }

    fn sent(id: u64) -> Sent {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        (Receipt { id, ..Receipt::default() }, place)
    }

    fn ids(told: &mut mpsc::Receiver<Result<Receipts, Status>>) -> Vec<u64> {
        let batches = std::iter::from_fn(|| told.try_recv().ok());
        batches.flat_map(|batch| batch.unwrap().receipts).map(|receipt| receipt.id).collect()
    }

    #[tokio::test]
    async fn what_was_gathered_when_a_session_is_stopped_is_sent() {
        let comet = Drain::new();
        let (writer, receipts, mut told) = writer(&comet);
        let stop = writer.stop.clone();
        let running = writer.run();
        tokio::pin!(running);
        receipts.try_send(sent(1)).unwrap();
        assert_eq!(running.as_mut().now_or_never(), None);
        assert_eq!(ids(&mut told), [1], "after a pause at once");
        receipts.try_send(sent(2)).unwrap();
        stop.cancel();
        receipts.try_send(sent(3)).unwrap();
        // That somebody could still send something is waited for no more.
        running.await;
        assert_eq!(ids(&mut told), [2, 3]);
    }

    #[tokio::test]
    async fn a_receipt_that_is_due_soon_is_not_gathered() {
        let comet = Drain::new();
        let (mut writer, receipts, mut told) = writer(&comet);
        let nudge = Nudge::default();
        writer.nudge = nudge.clone();
        let running = writer.run();
        tokio::pin!(running);
        receipts.try_send(sent(1)).unwrap();
        assert_eq!(running.as_mut().now_or_never(), None);
        assert_eq!(ids(&mut told), [1]);
        receipts.try_send(sent(2)).unwrap();
        nudge.nudge();
        assert_eq!(running.as_mut().now_or_never(), None);
        assert_eq!(ids(&mut told), [2]);
    }
}
