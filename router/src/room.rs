//! Room: whether this node's disk has any left above its reserve. Below it the node gives its leaderships
//! away and takes no more writes, so that what is under way, and what makes room again, can still end.

use std::sync::Arc;

use orrery_host::Tasks;
use orrery_router_store::{Space, Store};
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use crate::blocking::blocking;
use crate::limits::{ROOM_LOOK, ROOM_REGAINED_PERCENT};

/// What was last seen of the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) space: Option<Space>,
    pub(crate) full: bool,
}

/// Whether the disk is below its reserve.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    reserve_bytes: u64,
    seen: watch::Sender<Seen>,
    turns: Arc<Semaphore>,
}

impl Room {
    /// A disk that was not looked at yet; a reserve of 0 is never fallen below.
    pub(crate) fn new(reserve_bytes: u64) -> Self {
        let (seen, turns) = (watch::Sender::new(Seen::default()), Arc::new(Semaphore::new(1)));
        Self { reserve_bytes, seen, turns }
    }

    /// Whether the disk is below its reserve.
    pub(crate) fn is_full(&self) -> bool {
        self.seen.borrow().full
    }

    /// A permit for whoever writes below the reserve what others have to count on: one at a time.
    pub(crate) fn turns(&self) -> Arc<Semaphore> {
        self.turns.clone()
    }

    /// What was last seen.
    pub(crate) fn seen(&self) -> Seen {
        *self.seen.borrow()
    }

    /// To wait for what is seen next.
    pub(crate) fn watch(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    /// Looks at the disk every now and then. Runs until it is dropped.
    pub(crate) async fn look(self, store: Arc<dyn Store>, tasks: Arc<dyn Tasks>) {
        loop {
            let store = store.clone();
            let space = move || store.space().map_err(std::io::Error::other);
            match blocking(&tasks, "disk-space", space).await {
                Ok(space) => self.take(space),
                // It says nothing now; what was seen before stays.
                Err(error) => tracing::warn!(%error, "the disk does not say how much room it has"),
            }
            sleep(ROOM_LOOK).await;
        }
    }

    fn take(&self, space: Space) {
        let was = self.is_full();
        let full = is_full(was, self.reserve_bytes, space.free_bytes);
        if full != was {
            let (free_bytes, reserve_bytes) = (space.free_bytes, self.reserve_bytes);
            match full {
                true => tracing::error!(free_bytes, reserve_bytes, "the disk is below its reserve"),
                false => tracing::info!(free_bytes, reserve_bytes, "the disk has room again"),
            }
        }
        self.seen.send_if_modified(|seen| {
            let now = Seen { space: Some(space), full };
            let changed = seen.full != full;
            *seen = now;
            changed
        });
    }
}

/// Back above the reserve only with some to spare, or a node at the edge would go back and forth.
fn is_full(was: bool, reserve_bytes: u64, free_bytes: u64) -> bool {
    let needed = match was {
        true => reserve_bytes.saturating_mul(ROOM_REGAINED_PERCENT) / 100,
        false => reserve_bytes,
    };
    free_bytes < needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_full_below_its_reserve_and_has_room_with_some_to_spare() {
        assert!(!is_full(false, 1000, 1000));
        assert!(is_full(false, 1000, 999));
        assert!(is_full(true, 1000, 1000));
        assert!(!is_full(true, 1000, 1250));
    }

    #[test]
    fn without_a_reserve_no_disk_is_full() {
        assert!(!is_full(false, 0, 0));
        assert!(!is_full(true, 0, 0));
    }
}
