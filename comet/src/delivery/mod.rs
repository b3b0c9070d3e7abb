//! Delivery: what logic wants done at connections of this comet, and its receipt.
//!
//! A delivery is shared by the session that took it, the workers it concerns and each outbox in which
//! it waits. Whoever lets go of it last sends the receipt, so none can be forgotten or sent twice.

mod census;
mod expiry;
mod service;
mod session;
mod slip;

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use orrery_comet_core::Encoded;
use orrery_host::Nudge;
use orrery_model::message::{CloseReason, Delivered, DropReason, WhenFull};
use orrery_model::{Address, Conn, Id, Incarnation, Seq};
use orrery_proto::delivery::{Outcome, Receipt, Tally};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

pub(crate) use self::service::Server;
pub(crate) use self::slip::Slip;

/// A connection as the registry names it, under the address by which it was found.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `None` where what arrived is no address: nobody is called so.
    pub(crate) address: Option<Address>,
    pub(crate) conn: Conn,
    pub(crate) seq: Seq,
}

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Work {
    /// Push to exactly these connections.
    Push { encoded: Encoded, targets: Vec<Target> },
    /// Push to the members of a room. The message may outlive the receipt: it waits for others.
    Room { encoded: Arc<Encoded>, room: Address },
    /// Push to everybody; `rate` connections a second on this comet, 0 without limit.
    All { encoded: Encoded, namespace: Option<Id>, rate: u32 },
    /// Close exactly these connections.
    Close { targets: Vec<Target>, reason: CloseReason },
}

impl Work {
    pub(crate) fn targets(&self) -> &[Target] {
        match self {
            Self::Push { targets, .. } | Self::Close { targets, .. } => targets,
            Self::Room { .. } | Self::All { .. } => &[],
        }
    }
}

/// A receipt on its way to logic; its place among the unanswered is free once it has left.
pub(super) type Sent = (Receipt, OwnedSemaphorePermit);

/// A delivery and when it must be answered.
pub(super) type Due = (Instant, Weak<Delivery>);

/// Where the receipt goes.
#[derive(Debug)]
pub(super) struct ReplyTo {
    pub(super) receipts: mpsc::Sender<Sent>,
    pub(super) place: OwnedSemaphorePermit,
    /// Says that the receipt cannot wait for others, where it is due so soon.
    pub(super) nudge: Option<Nudge>,
    /// Where to say by when, should something of it be held.
    pub(super) due: Option<(Instant, mpsc::Sender<Due>)>,
}

/// Nothing was said of this target yet.
const UNSAID: u8 = 0;
/// In the outbox, and the receipt waits until the kernel has it.
const PENDING: u8 = u8::MAX;

/// One delivery. See the module's comment.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) id: u64,
    pub(crate) incarnation: Incarnation,
    /// Whether the receipt waits until the kernel has the bytes.
    pub(crate) wait_written: bool,
    /// What becomes of it at a full outbox.
    pub(crate) when_full: WhenFull,
    pub(crate) work: Work,
    /// One a target.
    outcomes: Box<[AtomicU8]>,
    counts: Counts,
    reply: Mutex<Option<ReplyTo>>,
}

/// What became of a delivery to many.
#[derive(Debug, Default)]
struct Counts {
    queued: AtomicU32,
    written: AtomicU32,
    filtered: AtomicU32,
    dropped: AtomicU32,
    pending: AtomicU32,
    /// Workers whose connections are not counted yet.
    untaken: AtomicU32,
}

impl Delivery {
    pub(super) fn new(
        id: u64,
        incarnation: Incarnation,
        wait_written: bool,
        when_full: WhenFull,
        work: Work,
        reply: ReplyTo,
    ) -> Self {
        let outcomes = work.targets().iter().map(|_| AtomicU8::new(UNSAID)).collect();
        let (counts, reply) = (Counts::default(), Mutex::new(Some(reply)));
        Self { id, incarnation, wait_written, when_full, work, outcomes, counts, reply }
    }

    /// Says what became of it at one target.
    pub(crate) fn say(&self, target: usize, delivered: Delivered) {
        if let Some(outcome) = self.outcomes.get(target) {
            let word = Outcome::from(delivered) as i32;
            outcome.store(u8::try_from(word).unwrap_or(PENDING), Ordering::Relaxed);
        }
    }

    /// Says what became of it at so many connections.
    pub(crate) fn count(&self, delivered: Delivered, connections: u32) {
        let counter = match delivered {
            Delivered::Queued => &self.counts.queued,
            Delivered::Written => &self.counts.written,
            Delivered::Filtered => &self.counts.filtered,
            Delivered::Dropped(_) => &self.counts.dropped,
            Delivered::NotHere | Delivered::Unknown => return,
        };
        counter.fetch_add(connections, Ordering::Relaxed);
    }

    /// So many workers are each to count their connections, or have them wait for their turn.
    fn address_workers(&self, workers: usize) {
        let workers = u32::try_from(workers).unwrap_or(u32::MAX);
        self.counts.untaken.store(workers, Ordering::Relaxed);
    }

    /// A worker has done so.
    pub(crate) fn taken(&self) {
        self.counts.untaken.fetch_sub(1, Ordering::Release);
    }

    /// So many connections wait for their turn: a receipt due before calls them unknown.
    pub(crate) fn await_turn(self: &Arc<Self>, connections: u32) {
        self.counts.pending.fetch_add(connections, Ordering::Relaxed);
        self.held();
    }

    /// So many had their turn, or went before it.
    pub(crate) fn had_turn(&self, connections: u32) {
        self.counts.pending.fetch_sub(connections, Ordering::Release);
    }

    /// Something has to wait, be it a target until its connection has a name, maybe for as long as a shard is away, or
    /// connections for their turn at a pace. The receipt does not: it would keep what is known of the others, and its
    /// place from the next deliveries.
    pub(crate) fn held(self: &Arc<Self>) {
        let due = self.reply.lock().as_mut().and_then(|reply| reply.due.take());
        if let Some((at, due)) = due {
            // Full only while logic takes no receipts.
            let _ = due.try_send((at, Arc::downgrade(self)));
        }
    }

    /// Whether it was a push and nobody waits for it any more.
    pub(crate) fn is_late(&self) -> bool {
        matches!(self.work, Work::Push { .. }) && self.reply.lock().is_none()
    }

    /// Answers now, without waiting for what is still under way.
    pub(crate) fn expire(&self) {
        self.answer(true);
    }

    fn answer(&self, early: bool) {
        let Some(ReplyTo { receipts, place, nudge, .. }) = self.reply.lock().take() else {
            return;
        };
        let outcome = |said: &AtomicU8| match said.load(Ordering::Relaxed) {
            PENDING => Outcome::Unknown.into(),
            UNSAID if early => Outcome::Unknown.into(),
            UNSAID => Outcome::NotHere.into(),
            said => i32::from(said),
        };
        let many = matches!(self.work, Work::Room { .. } | Work::All { .. });
        // Before the rest: a worker that takes it from here on may be counted or not.
        let partial = many && early && self.counts.untaken.load(Ordering::Acquire) > 0;
        // First: whatever stops pending from here on is counted twice, and never not at all.
        let unknown = self.counts.pending.load(Ordering::Acquire);
        let read = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        let receipt = Receipt {
            id: self.id,
            outcomes: self.outcomes.iter().map(outcome).collect(),
            tally: many.then(|| Tally {
                queued: read(&self.counts.queued),
                written: read(&self.counts.written),
                filtered: read(&self.counts.filtered),
                dropped: read(&self.counts.dropped),
                unknown,
                partial,
            }),
            wrong_incarnation: false,
        };
        // There is room for as many as may be unanswered. A session that ended needs no receipt.
        let _ = receipts.try_send((receipt, place));
        if let Some(nudge) = nudge {
            nudge.nudge();
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.answer(false);
    }
}

/// What to say of a connection that closed while the message waited.
const CLOSED: Delivered = Delivered::Dropped(DropReason::Closed);

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_model::message::Message;
    use tokio::sync::Semaphore;

    #[test]
    fn a_receipt_due_before_every_worker_began_says_that_it_is_partial() {
        let receipt_when = |taken: usize| {
            let (receipts, mut sent) = mpsc::channel(1);
            let places = Arc::new(Semaphore::new(1));
            let place = places.try_acquire_owned().unwrap();
            let room = Address::room(Id::new("lobby").unwrap());
            let message = Message { op: 1, body: bytes::Bytes::new() };
            let work = Work::Room { encoded: Arc::new(Encoded::new(message)), room };
            let reply = ReplyTo { receipts, place, nudge: None, due: None };
            let when_full = WhenFull::default();
            let delivery = Delivery::new(1, Incarnation(1), true, when_full, work, reply);
            delivery.address_workers(2);
            (0..taken).for_each(|_| delivery.taken());
            delivery.expire();
            sent.try_recv().unwrap().0.tally.unwrap().partial
        };
        assert!(receipt_when(0));
        assert!(receipt_when(1));
        assert!(!receipt_when(2));
    }
}
