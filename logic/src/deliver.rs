//! Deliver: the session to one comet. Deliveries that wait at the same time share a message, and while some are
//! unanswered what comes right after a message waits for a moment; each is answered once, by the comet's receipt or
//! by the news that none will come.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{Either, pending};
use orrery_host::{Gather, Host, Nudge, Task, cannot_wait};
use orrery_model::limits::INTERNAL_MESSAGE_BYTES_MAX;
use orrery_proto::delivery::delivery_client::DeliveryClient;
use orrery_proto::delivery::{Deliver, Deliveries, Receipt, Receipts};
use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::limits::{
    DELIVERIES_PER_BATCH_MAX, DELIVERIES_UNANSWERED_MAX, DELIVERIES_WAITING_BYTES_MAX,
    DELIVERIES_WAITING_MAX, DELIVERY_BATCH_BYTES_MAX, DELIVERY_GATHER, FIRST_WORD_MAX,
    FORGET_EVERY, RECONNECT_FIRST, RECONNECT_LAST,
};
use crate::metrics::Metrics;

/// Why a delivery has no receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DeliverError {
    /// The queue to the comet is full; certainly not delivered.
    #[error("the queue to the comet is full")]
    Overloaded,
    /// The session broke, or is closing; may or may not have been delivered.
    #[error("the session to the comet broke")]
    Lost,
}

/// A receipt that is waited for.
pub(crate) type Awaited = oneshot::Receiver<Receipt>;

/// A delivery on its way, until it is answered.
struct Outgoing {
    deliver: Deliver,
    answer: oneshot::Sender<Receipt>,
    queued: Instant,
    /// Its share of the bytes that may wait, of which it has as many as its encoded length.
    bytes: OwnedSemaphorePermit,
}

/// The session to one comet. Ends when dropped; what waits is then lost.
pub(crate) struct DeliverySession {
    queue: mpsc::Sender<Outgoing>,
    bytes: Arc<Semaphore>,
    nudge: Nudge,
    channel: Channel,
    draining: Arc<AtomicBool>,
    _task: Task,
}

impl DeliverySession {
    /// Opens a session that connects by itself, again and again.
    pub(crate) fn open(comet: String, channel: Channel, metrics: Metrics, host: &Host) -> Self {
        Self::gathering(DELIVERY_GATHER, comet, channel, metrics, host)
    }

    /// The same, with messages so far apart while something is unanswered.
    fn gathering(
        window: Duration,
        comet: String,
        channel: Channel,
        metrics: Metrics,
        host: &Host,
    ) -> Self {
        let (queue, outgoing) = mpsc::channel(DELIVERIES_WAITING_MAX);
        let nudge = Nudge::default();
        let draining = Arc::<AtomicBool>::default();
        let driver = Driver {
            comet,
            client: DeliveryClient::new(channel.clone())
                .max_decoding_message_size(INTERNAL_MESSAGE_BYTES_MAX),
            outgoing,
            held: None,
            gather: Gather::nudged(window, nudge.clone()),
            unanswered: HashMap::new(),
            last_id: 0,
            draining: draining.clone(),
            metrics,
            host: host.clone(),
        };
        let task = host.tasks.spawn("delivery session", driver.run());
        let bytes = Arc::new(Semaphore::new(DELIVERIES_WAITING_BYTES_MAX));
        Self { queue, bytes, nudge, channel, draining, _task: task }
    }

    /// The connection it uses, for other calls to the same comet.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Whether the comet has said that it takes no more devices, the last time that it said anything of it.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Queues deliveries in order, all or none, without waiting.
    ///
    /// # Errors
    /// [`DeliverError`], with none of them queued.
    pub(crate) fn send(&self, deliveries: Vec<Deliver>) -> Result<Vec<Awaited>, DeliverError> {
        let places =
            self.queue.try_reserve_many(deliveries.len()).map_err(|error| match error {
                mpsc::error::TrySendError::Full(()) => DeliverError::Overloaded,
                mpsc::error::TrySendError::Closed(()) => DeliverError::Lost,
            })?;
        let is_urgent = deliveries.iter().any(|deliver| cannot_wait(deliver.timeout_ms));
        let lengths: Vec<usize> = deliveries.iter().map(Message::encoded_len).collect();
        let total = u32::try_from(lengths.iter().sum::<usize>()).unwrap_or(u32::MAX);
        let all = self.bytes.clone().try_acquire_many_owned(total);
        let mut all = all.map_err(|_| DeliverError::Overloaded)?;
        let queued = Instant::now();
        let queue = |(place, (deliver, length)): (mpsc::Permit<'_, Outgoing>, (Deliver, usize))| {
            let (answer, awaited) = oneshot::channel();
            let bytes = all.split(length).expect("the whole is the sum of its parts");
            place.send(Outgoing { deliver, answer, queued, bytes });
            awaited
        };
        let awaited = places.zip(deliveries.into_iter().zip(lengths)).map(queue).collect();
        if is_urgent {
            self.nudge.nudge();
        }
        Ok(awaited)
    }
}

/// What a session task owns.
struct Driver {
    comet: String,
    client: DeliveryClient<Channel>,
    outgoing: mpsc::Receiver<Outgoing>,
    /// A delivery that did not fit into the last message.
    held: Option<Outgoing>,
    gather: Gather,
    unanswered: HashMap<u64, oneshot::Sender<Receipt>>,
    last_id: u64,
    draining: Arc<AtomicBool>,
    metrics: Metrics,
    host: Host,
}

impl Driver {
    async fn run(mut self) {
        let mut pause = RECONNECT_FIRST;
        loop {
            let opened = Instant::now();
            let end = self.session().await;
            // Receipts of a broken session never come.
            self.unanswered.clear();
            if self.outgoing.is_closed() && self.outgoing.is_empty() {
                return;
            }
            if opened.elapsed() > RECONNECT_LAST {
                pause = RECONNECT_FIRST;
            }
            tracing::debug!(comet = %self.comet, %end, "delivery session ended");
            let jitter = self.host.random.below(pause.as_millis() as u64 / 2 + 1);
            tokio::time::sleep(pause + Duration::from_millis(jitter)).await;
            pause = (pause * 2).min(RECONNECT_LAST);
        }
    }

    /// One life of the stream; returns why it ended.
    async fn session(&mut self) -> tonic::Status {
        // One message may be under way while the next is composed.
        let (batches, stream) = mpsc::channel::<Deliveries>(1);
        let opening = self.client.session(ReceiverStream::new(stream));
        let mut receipts = match opening.await {
            Ok(response) => response.into_inner(),
            Err(status) => return status,
        };
        let _open = self.metrics.delivery_session();
        // It may be another one at this address by now. Each says first whether it is draining, and until it has what was
        // said before goes on.
        let mut is_first = true;
        let mut unsaid = pin!(tokio::time::sleep(FIRST_WORD_MAX));
        let mut forget = tokio::time::interval(FORGET_EVERY);
        forget.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let room = self.unanswered.len() < DELIVERIES_UNANSWERED_MAX;
            let place =
                if room { Either::Left(batches.reserve()) } else { Either::Right(pending()) };
            let next = async {
                let place = place.await.ok()?;
                if self.held.is_none() {
                    self.held = self.outgoing.recv().await;
                }
                // Where nothing is unanswered, whoever pushes may be waiting for the answer to this one.
                if !self.unanswered.is_empty() && self.outgoing.len() < DELIVERIES_PER_BATCH_MAX {
                    self.gather.ready().await;
                }
                self.held.is_some().then_some(place)
            };
            tokio::select! {
                biased;
                // Answers first: they end waits and make room.
                received = receipts.message() => match received {
                    Ok(Some(receipts)) => {
                        let first = std::mem::take(&mut is_first).then_some(false);
                        if let Some(draining) = receipts.draining.or(first) {
                            self.draining.store(draining, Ordering::Relaxed);
                        }
                        answer(&mut self.unanswered, receipts);
                    }
                    Ok(None) => return tonic::Status::unavailable("the comet ended the session"),
                    Err(status) => return status,
                },
                // One of an earlier version says nothing where it takes devices.
                () = &mut unsaid, if is_first => {
                    is_first = false;
                    self.draining.store(false, Ordering::Relaxed);
                }
                // A long wait in the arm below must not keep the forgotten ones.
                _ = forget.tick() => self.unanswered.retain(|_, answer| !answer.is_closed()),
                place = next => {
                    let Some(place) = place else {
                        return tonic::Status::cancelled("the session is no longer needed");
                    };
                    let batch = self.compose();
                    if !batch.deliveries.is_empty() {
                        self.metrics.delivered(batch.deliveries.len());
                        place.send(batch);
                        self.gather.sent();
                    }
                }
            }
        }
    }

    /// Takes what waits, in order, until the message is full.
    fn compose(&mut self) -> Deliveries {
        let mut deliveries = Vec::new();
        let mut bytes = 0;
        while let Some(next) = self.held.take().or_else(|| self.outgoing.try_recv().ok()) {
            // Nobody waits any longer: it was already reported as unknown, and late is worse than never.
            if next.answer.is_closed() {
                continue;
            }
            let size = next.bytes.num_permits();
            let full = bytes + size > DELIVERY_BATCH_BYTES_MAX
                || deliveries.len() == DELIVERIES_PER_BATCH_MAX;
            if full && !deliveries.is_empty() {
                self.held = Some(next);
                break;
            }
            bytes += size;
            self.last_id += 1;
            self.unanswered.insert(self.last_id, next.answer);
            let timeout_ms = left_ms(next.deliver.timeout_ms, next.queued.elapsed());
            deliveries.push(Deliver { id: self.last_id, timeout_ms, ..next.deliver });
        }
        Deliveries { deliveries }
    }
}

/// What is left of the time for an answer after it has waited here: the comet counts it from the arrival. 0 has no end.
fn left_ms(timeout_ms: u32, waited: Duration) -> u32 {
    match timeout_ms {
        0 => 0,
        timeout_ms => {
            let waited_ms = u32::try_from(waited.as_millis()).unwrap_or(u32::MAX);
            timeout_ms.saturating_sub(waited_ms).max(1)
        }
    }
}

/// Hands receipts to those who wait for them.
fn answer(unanswered: &mut HashMap<u64, oneshot::Sender<Receipt>>, receipts: Receipts) {
    for receipt in receipts.receipts {
        if let Some(answer) = unanswered.remove(&receipt.id) {
            // Whoever waited may have given up meanwhile.
            let _ = answer.send(receipt);
        }
    }
}

#[cfg(test)]
mod tests;
