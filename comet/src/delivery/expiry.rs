//! Expiry: deliveries whose receipt may not wait for ever, by the time at which it is due.

use std::collections::BTreeMap;
use std::sync::Weak;

use tokio::time::{Instant, sleep_until};

use super::Delivery;
use crate::limits::DELIVERIES_UNANSWERED_MAX;

/// Deliveries with a deadline.
#[derive(Default)]
pub(super) struct Expiry {
    due: BTreeMap<(Instant, u64), Weak<Delivery>>,
    next: u64,
}

impl Expiry {
    /// Has a delivery answered by `at`, if it is not by then.
    pub(super) fn insert(&mut self, at: Instant, delivery: Weak<Delivery>) {
        // Those that are answered stay until they are due; this keeps them from piling up.
        if self.due.len() >= 2 * DELIVERIES_UNANSWERED_MAX {
            self.due.retain(|_, delivery| delivery.strong_count() > 0);
        }
        self.next += 1;
        self.due.insert((at, self.next), delivery);
    }

    /// Answers what is due, once something is.
    pub(super) async fn expire(&mut self) {
        let Some((&(at, _), _)) = self.due.first_key_value() else {
            return std::future::pending().await;
        };
        sleep_until(at).await;
        let now = Instant::now();
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now {
                return;
            }
            if let Some(delivery) = entry.remove().upgrade() {
                delivery.expire();
            }
        }
    }
}
