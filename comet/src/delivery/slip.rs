//! Slip: goes with one frame through an outbox and tells its delivery when the kernel has it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use orrery_model::message::Delivered;

use super::{CLOSED, Delivery, PENDING};

/// The claim of one frame in an outbox on its delivery's receipt. Dropped before the frame was written
/// it says that the connection closed.
#[derive(Debug)]
pub(crate) struct Slip {
    delivery: Option<Arc<Delivery>>,
    /// Which target, or one of many.
    target: Option<usize>,
}

impl Slip {
    /// For a frame about to enter an outbox, if its delivery waits for it to be written.
    pub(crate) fn of(delivery: &Arc<Delivery>, target: Option<usize>) -> Option<Self> {
        if !delivery.wait_written {
            return None;
        }
        match target {
            Some(target) => {
                if let Some(outcome) = delivery.outcomes.get(target) {
                    outcome.store(PENDING, Ordering::Relaxed);
                }
            }
            None => {
                delivery.counts.pending.fetch_add(1, Ordering::Relaxed);
            }
        }
        Some(Self { delivery: Some(delivery.clone()), target })
    }

    /// The kernel has the frame.
    pub(crate) fn written(mut self) {
        self.end(Delivered::Written);
    }

    /// The frame did not enter the outbox after all.
    pub(crate) fn dropped(mut self, delivered: Delivered) {
        self.end(delivered);
    }

    fn end(&mut self, delivered: Delivered) {
        let Some(delivery) = self.delivery.take() else { return };
        match self.target {
            Some(target) => delivery.say(target, delivered),
            None => {
                // Counted before it stops pending: a receipt in between never loses a connection.
                delivery.count(delivered, 1);
                delivery.counts.pending.fetch_sub(1, Ordering::Release);
            }
        }
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        self.end(CLOSED);
    }
}
